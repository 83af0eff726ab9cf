"""Histories as rows of items: one flat array for all users, and slices of it.

A *row* is an item's number in the table of items that a recommender knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmq.data._interactions import Interactions


class Packed(NamedTuple):
    """Several sequences end to end.

    Attributes:
        rows: ``(entries,)`` int64.
        lengths: ``(sequences,)`` int64; they sum to ``entries``.
    """

    rows: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of rows: number i is ``rows[first[i] : end[i]]``; they may overlap.

    Attributes:
        rows: ``(entries,)`` whole numbers; int32 of a log, which may be long.
        first: ``(sequences,)`` int64.
        end: ``(sequences,)`` int64.

    >>> histories = Sequences(np.array([7, 8, 9]), np.array([0, 1]), np.array([3, 3]))
    >>> histories.latest(2).pack().rows.tolist(), histories.lengths.tolist()
    ([8, 9, 8, 9], [3, 2])
    """

    rows: np.ndarray
    first: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, packed: Packed) -> Sequences:
        """Sequences that lie end to end."""
        end = np.cumsum(packed.lengths)
        return cls(packed.rows, end - packed.lengths, end)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def lengths(self) -> np.ndarray:
        """``(sequences,)`` entries of each."""
        lengths: np.ndarray = self.end - self.first
        return lengths

    def take(self, numbers: np.ndarray | slice) -> Sequences:
        """Some of the sequences: integers, a slice or a mask."""
        return Sequences(self.rows, self.first[numbers], self.end[numbers])

    def at(self, places: np.ndarray) -> Sequences:
        """The sequence at each place, and an empty one where it is -1."""
        if not len(self):
            nothing = np.zeros(len(places), np.int64)
            return Sequences(self.rows, nothing, nothing)
        there, place = places >= 0, np.maximum(places, 0)
        first, end = (np.where(there, each[place], 0) for each in (self.first, self.end))
        return Sequences(self.rows, first, end)

    def latest(self, length: int) -> Sequences:
        """The last ``length`` entries of each, or all of a shorter one."""
        return Sequences(self.rows, np.maximum(self.first, self.end - length), self.end)

    def pack(self) -> Packed:
        """All sequences copied end to end."""
        lengths = self.lengths
        offsets = np.cumsum(lengths) - lengths
        place = np.arange(int(lengths.sum())) + np.repeat(self.first - offsets, lengths)
        return Packed(self.rows[place].astype(np.int64, copy=False), lengths)

    def windows(self, length: int, generator: np.random.Generator) -> Sequences:
        """Pieces of at most ``length + 1`` entries whose every entry but the first is a target.

        Each entry but the first of a sequence is a target once. Where a long sequence is cut is
        drawn anew with every call, so that an entry stands at the end of longer and shorter
        pieces.
        """
        targets = self.lengths - 1
        long = targets > length
        head = np.where(long, generator.integers(1, length + 1, len(self)), targets)
        pieces = np.where(long, 1 + -(-(targets - head) // length), np.minimum(targets, 1))
        pieces = np.maximum(pieces, 0)
        number = np.repeat(np.arange(len(self)), pieces)
        piece = np.arange(len(number)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        start, head = self.first[number], head[number]
        first = np.where(piece == 0, start, start + head + (piece - 1) * length)
        end = np.minimum(start + head + piece * length + 1, self.end[number])
        return Sequences(self.rows, first, end)


class Cases(NamedTuple):
    """Items that were kept back, each to be predicted from its user's history.

    Attributes:
        histories: one for each case; empty for new users alone, where these are asked for.
        targets: ``(cases,)`` int64 row of the item.
        users: ``(cases,)`` int64 number of the user.
    """

    histories: Sequences
    targets: np.ndarray
    users: np.ndarray

    def take(self, numbers: np.ndarray | slice) -> Cases:
        """Some of the cases: integers, a slice or a mask."""
        return Cases(self.histories.take(numbers), self.targets[numbers], self.users[numbers])

    def with_history(self) -> Cases:
        """Those whose history is not empty."""
        return self.take(self.histories.lengths > 0)

    @property
    def lists(self) -> np.ndarray:
        """``(cases,)`` number of the list that each target is looked for in, by user.

        Targets of one user and one history stand in one list, for metrics over several targets.
        """
        asked = np.stack([self.users, self.histories.first, self.histories.end])
        lists: np.ndarray = np.unique(asked, axis=1, return_inverse=True)[1].reshape(-1)
        return lists


def user_sequences(interactions: Interactions, rows: np.ndarray, known: np.ndarray) -> Sequences:
    """One sequence for each user of ``interactions``, in the order of time.

    Args:
        interactions: the log; the order of input decides ties of time.
        rows: ``(interactions,)`` row of each item.
        known: ``(interactions,)`` bool: which interactions to take.
    """
    order = interactions.user_order()
    order = order[known[order]]
    users = len(interactions.users.ids)
    lengths = np.bincount(interactions.users.codes[order], minlength=users)
    return Sequences.of(Packed(rows[order], lengths))


def held_out_cases(
    interactions: Interactions, rows: np.ndarray, known: np.ndarray, target: np.ndarray
) -> Cases:
    """A case for each ``target``; its history is what is ``known`` of its user before it.

    A list asks for an item once, however often its user meets it. Targets without any history have
    an empty one; :meth:`Cases.with_history` leaves them out.

    Args:
        interactions: the log; the order of input decides ties of time.
        rows: ``(interactions,)`` row of each item.
        known: ``(interactions,)`` bool: what histories consist of.
        target: ``(interactions,)`` bool: what is to be predicted.
    """
    order = interactions.user_order()
    users, known, target = interactions.users.codes[order], known[order], target[order]
    before: np.ndarray = np.cumsum(known, dtype=np.int32 if len(known) < 2**31 else np.int64)
    np.subtract(before, known, out=before)
    starts = np.searchsorted(users, np.arange(len(interactions.users.ids)))
    end, who, asked = before[target], users[target], order[target]
    first = before[starts][who]
    del before, users
    histories = Sequences(rows[order[known]], first.astype(np.int64), end.astype(np.int64))
    cases = Cases(histories, rows[asked].astype(np.int64), who.astype(np.int64))
    return cases.take(_first_asked(cases))


def _first_asked(cases: Cases) -> np.ndarray:
    """The cases that no earlier one of the same list equals; lists are end to end."""
    ends = cases.histories.end
    begins = np.ones(len(ends), bool)
    begins[1:] = (np.diff(cases.users) != 0) | (np.diff(ends) != 0)
    keys = np.cumsum(begins) * (cases.targets.max(initial=0) + 1) + cases.targets
    return np.sort(np.unique(keys, return_index=True)[1])
