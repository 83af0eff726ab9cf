"""The best IDs of independent codes without looking at all: bounds tell what cannot be among them.

The positions are in blocks (:class:`~mmq.decoding._inverted.InvertedIndex`). A score is the sum of
its blocks' scores. Where ``T`` is reached by as many IDs as are wanted, and thresholds of the
blocks add up to ``T``, an ID that is below the threshold in every block is below ``T``: only IDs
with a combination above the threshold of its block are looked at (the pigeonhole of multi-index
hashing; the stopping rule of Fagin's threshold algorithm). RecJPQPrune (arXiv 2505.00560) does so
code by code; combinations of three say far more of an ID than one code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.decoding._inverted import Block, InvertedIndex
from mmq.decoding._running import NONE
from mmq.decoding._selection import largest, pack, scores_of

_GROUP = 32
"""Users at a time: what they look at stays in the cache."""
_LOOKED = 1 << 20
"""IDs that a group may look at, together."""
_SHARE = 120
"""To look at one ID costs as much as to scan some 60; two blocks may cost as much as a scan."""


class Bounded(NamedTuple):
    """What a search with bounds finds.

    Attributes:
        best: ``(b, kept)`` int64, packed scores and leaves (:func:`~mmq.decoding._selection.pack`),
            best first; equal to the bit to what a scan of all leaves finds.
        complete: ``(b,)`` bool: whether that is so; the other users' scores are so flat that a scan
            is cheaper.
    """

    best: Tensor
    complete: Tensor


def bounded_search(index: InvertedIndex, log_probs: Sequence[Tensor], kept: int) -> Bounded:
    """The ``kept`` best leaves of each user.

    Args:
        index: of the IDs.
        log_probs: for each position ``(b, K_l)`` float32, finite, on the CPU.
        kept: leaves wanted.
    """
    limit = int(len(index.codes) / _SHARE)
    size = max(1, min(_GROUP, _LOOKED // (limit + 1)))
    groups = zip(*(each.split(size) for each in log_probs), strict=True)
    parts = [_search(index, _Users.of(group), kept, limit) for group in groups]
    return Bounded(*(torch.cat(each) for each in zip(*parts, strict=True)))


class _Users(NamedTuple):
    """The scores of some users, users by users: code ``c`` of user ``u`` is at ``u * K_l + c``.

    Arrays are flat and indices of numpy's own type, since ``take`` is then some times as fast as
    other ways of indexing.

    Attributes:
        total: b.
        scores: for each position ``(b * K_l,)`` float32.
        deficits: for each position ``(b * K_l,)`` float32, rising for each user: how much less than
            the best of the position.
        codes: for each position ``(b * K_l,)`` int64, whose deficits they are.
        highest: for each position ``(b,)`` float32.
    """

    total: int
    scores: list[np.ndarray]
    deficits: list[np.ndarray]
    codes: list[np.ndarray]
    highest: list[np.ndarray]

    @classmethod
    def of(cls, log_probs: Sequence[Tensor]) -> _Users:
        """Of ``(b, K_l)`` for each position."""
        users = cls(len(log_probs[0]), [], [], [], [])
        for each in log_probs:
            values, codes = each.sort(dim=1, descending=True)
            users.scores.append(each.flatten().numpy())
            users.deficits.append((values[:, :1] - values).flatten().numpy())
            users.codes.append(codes.flatten().numpy())
            users.highest.append(values[:, 0].numpy())
        return users


class _Chosen(NamedTuple):
    """Combinations or leaves of users, side by side; those of a user are neighbours.

    Attributes:
        users: ``(n,)`` int64.
        numbers: ``(n,)`` int64 of the combinations or leaves.
    """

    users: np.ndarray
    numbers: np.ndarray


def _search(index: InvertedIndex, users: _Users, kept: int, limit: int) -> Bounded:
    """:func:`bounded_search` of one group; a user looks at most at ``limit`` IDs of a block."""
    corners = [_corner(block, users) for block in index.blocks]
    found = [_Scored.of(index, users, each.leaves) for each in corners]
    best = _best_of(found, users.total, kept)
    complete = (best[:, -1] != NONE).numpy()
    reached = np.where(complete, scores_of(best[:, -1]).numpy(), np.float32(0))
    rooms = _rooms([each.least for each in corners], users, reached)
    found = []
    for block, room in zip(index.blocks, rooms, strict=True):
        some = _Budget(users.total, limit, complete)
        combinations = _within(block, users, np.where(complete, room, -1), some)
        found.append(_Scored.of(index, users, _leaves_of(block, combinations, some), reached))
    return Bounded(_best_of(found, users.total, kept), torch.from_numpy(complete))


class _Corner(NamedTuple):
    """What a block is asked first.

    Attributes:
        leaves: of the combinations with low ranks.
        least: ``(b,)`` float32: no ID lacks less than this of the best sum that codes could have.
    """

    leaves: _Chosen
    least: np.ndarray


def _corner(block: Block, users: _Users) -> _Corner:
    """What combinations with low ranks hold, and a bound for all."""
    inside, beyond = block.corner
    b = users.total
    numbers = np.zeros((b, inside.shape[1]), np.int64)
    deficits = np.zeros(numbers.shape, np.float32)
    others = np.zeros((b, beyond.shape[1]), np.float32)
    each_user = np.arange(b)[:, None]
    for place, (size, position) in enumerate(zip(block.sizes, block.positions, strict=True)):
        near, far = (each_user * size + ranks[place] for ranks in block.corner)
        numbers *= size
        numbers += users.codes[position].take(near)
        deficits += users.deficits[position].take(near)
        others += users.deficits[position].take(far)
    flat = numbers.ravel()
    there = np.flatnonzero(block.starts.take(flat + 1) > block.starts.take(flat))
    lacks = np.full(flat.shape, np.inf, np.float32)
    lacks[there] = deficits.ravel().take(there)
    least = np.minimum(lacks.reshape(b, -1).min(1), others.min(1, initial=np.inf))
    combinations = _Chosen(there // inside.shape[1], flat.take(there))
    return _Corner(_leaves_of(block, combinations), least)


def _rooms(least: list[np.ndarray], users: _Users, reached: np.ndarray) -> list[np.ndarray]:
    """How much an ID may lack in each block ``(b,)``; one that lacks more in all is below
    ``reached`` ``(b,)``, whatever was rounded."""
    highest = np.stack(users.highest).astype(np.float64)
    rounding = 8 * len(highest) * np.finfo(np.float32).eps
    slack = highest.sum(0) - reached + rounding * (np.abs(reached) + 2 * np.abs(highest).sum(0))
    share = (slack - np.sum(least, axis=0, dtype=np.float64)) / len(least)
    return [each + share for each in least]


class _Budget:
    """How much users may look at; who needs more is struck off."""

    def __init__(self, users: int, limit: int, complete: np.ndarray) -> None:
        self.users, self.limit, self.complete = users, limit, complete

    def granted(self, users: np.ndarray, counts: np.ndarray, spread: int = 1) -> np.ndarray:
        """``counts`` ``(n,)`` of ``users``, 0 of those who are struck off."""
        few = np.bincount(users, counts, minlength=self.users) <= self.limit * spread
        if few.all():
            return counts
        self.complete &= few
        granted: np.ndarray = np.where(few.take(users), counts, 0)
        return granted


def _within(block: Block, users: _Users, room: np.ndarray, budget: _Budget) -> _Chosen:
    """Combinations that lack at most ``room`` ``(b,)``."""
    spread = max(1, len(block.starts) // len(block.leaves))  # many may have no ID
    owners, numbers = np.arange(users.total), np.zeros(users.total, np.int64)
    room = room.astype(np.float32)
    for size, position in zip(block.sizes, block.positions, strict=True):
        deficits, first = users.deficits[position], owners * size
        counts = budget.granted(owners, _reaching(deficits, first, size, room), spread)
        places = _runs(first, counts)
        numbers = (numbers * size).repeat(counts) + users.codes[position].take(places)
        room = room.repeat(counts) - deficits.take(places)
        owners = owners.repeat(counts)
    return _Chosen(owners, numbers)


def _reaching(rising: np.ndarray, first: np.ndarray, size: int, most: np.ndarray) -> np.ndarray:
    """How many of the ``size`` values from ``first`` on are at most ``most``, ``(n,)`` each."""
    counts = np.zeros(len(first), np.int64)
    step = 1 << (size.bit_length() - 1)
    while step:  # a binary search of all at once
        trial = counts + step
        low = rising.take(first + np.minimum(trial, size) - 1) <= most
        counts += step * (low & (trial <= size))
        step //= 2
    return counts


def _runs(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``counts`` numbers from each of ``first`` on, side by side."""
    ends = counts.cumsum()
    runs: np.ndarray = (first - (ends - counts)).repeat(counts)
    runs += np.arange(len(runs))
    return runs


def _leaves_of(block: Block, combinations: _Chosen, budget: _Budget | None = None) -> _Chosen:
    """The IDs that hold combinations."""
    owners, numbers = combinations
    first = block.starts.take(numbers).astype(np.int64)
    counts = block.starts.take(numbers + 1) - first
    if budget is not None:
        counts = budget.granted(owners, counts)
    leaves = block.leaves.take(_runs(first, counts))
    return _Chosen(owners.repeat(counts), leaves.astype(np.int64))


class _Scored(NamedTuple):
    """Leaves of users with their scores, side by side.

    Attributes:
        users: ``(n,)`` int64, rising.
        packed: ``(n,)`` int64 of :func:`~mmq.decoding._selection.pack`.
    """

    users: np.ndarray
    packed: np.ndarray

    @classmethod
    def of(
        cls,
        index: InvertedIndex,
        users: _Users,
        leaves: _Chosen,
        reached: np.ndarray | None = None,
    ) -> _Scored:
        """Scores added up from the first code on, as a scan does; from ``reached`` ``(b,)`` on."""
        owners, numbers = leaves
        columns = index.codes.take(numbers, axis=0).T.astype(np.intp)
        scores = np.zeros(len(numbers), np.float32)
        for table, column in zip(users.scores, columns, strict=True):
            scores += table.take(owners * (len(table) // users.total) + column)
        if reached is not None:
            high = np.flatnonzero(scores >= reached.take(owners))
            owners, numbers, scores = owners.take(high), numbers.take(high), scores.take(high)
        packed = pack(torch.from_numpy(scores), torch.from_numpy(numbers))
        return cls(owners, packed.numpy())


def _best_of(parts: list[_Scored], users: int, kept: int) -> Tensor:
    """``(users, kept)`` packed, best first and none twice; a part has a user's leaf once."""
    rows = torch.cat([_side_by_side(each, users, kept) for each in parts], dim=1)
    best = largest(rows, len(parts) * kept)
    best[:, 1:].masked_fill_(best[:, 1:] == best[:, :-1], NONE)
    return largest(best, kept)


def _side_by_side(part: _Scored, users: int, kept: int) -> Tensor:
    """``(users, kept or more)``, a row for each user."""
    counts = np.bincount(part.users, minlength=users)
    rows = np.full((users, max(int(counts.max()), kept)), NONE)
    first = np.arange(users) * rows.shape[1]
    rows.ravel()[_runs(first, counts)] = part.packed
    return torch.from_numpy(rows)
