"""Items that were shown to users, as numbers, and what the users had liked before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmq.data.sequences import Packed, Sequences
from mmq.errors import DataError

BLOCK = 1 << 18
"""Rows that are looked at together."""


class Positives(NamedTuple):
    """What users liked, oldest first: user u's items are ``items[starts[u] : starts[u + 1]]``.

    Attributes:
        items: ``(positives,)`` int32.
        starts: ``(users + 1,)`` int64.
        keys: ``(positives,)`` int64, rising: user times ``span`` plus time.
        span: more than any time.
        dealt: whether histories end at times that were dealt to the impressions, so that what was
            liked may be in its own history, which is left out.
    """

    items: np.ndarray
    starts: np.ndarray
    keys: np.ndarray
    span: int
    dealt: bool = False


@dataclass(frozen=True, eq=False)
class Impressions:
    """Items that were shown to users. Numbers are places among what occurs in the log.

    A history is what the user liked before the impression.

    Attributes:
        users: ``(rows,)`` int32.
        items: ``(rows,)`` int32.
        labels: ``(rows,)`` uint8, 1 for what was liked.
        columns: ``(rows, c)`` int32, values of further columns of categories.
        positives: where histories lie.
        ends: ``(rows,)`` int64 end of each history in ``positives``.
        numbers: ``(rows, numeric columns)`` float32, NaN where there is none.
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray
    columns: np.ndarray
    positives: Positives
    ends: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def require_both_labels(self, name: str) -> None:
        """Raise :class:`DataError` if all were liked, or none; ``name`` is that of the part."""
        liked = int(np.count_nonzero(self.labels))
        if liked in (0, len(self)):
            raise DataError(
                f"all {len(self):,} rows of the {name} part have the label {int(liked > 0)}, so "
                "there is nothing to tell apart; give a longer log, or divide it otherwise"
            )

    def take(self, rows: np.ndarray | slice) -> Impressions:
        """Some of the impressions."""
        parts = (self.users, self.items, self.labels, self.columns, self.ends, self.numbers)
        users, items, labels, columns, ends, numbers = (np.asarray(part[rows]) for part in parts)
        return Impressions(users, items, labels, columns, self.positives, ends, numbers)

    def histories(self, length: int) -> Packed:
        """The last ``length`` items of each history; it may be empty."""
        first = self.positives.starts[self.users]
        found = Sequences(self.positives.items, first, self.ends).latest(length).pack()
        if not self.positives.dealt:
            return found
        rows = np.repeat(np.arange(len(self)), found.lengths)
        other = found.rows != self.items[rows]
        return Packed(found.rows[other], np.bincount(rows[other], minlength=len(self)))

    def batches(self, size: int) -> Iterator[Impressions]:
        """Consecutive pieces."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))
