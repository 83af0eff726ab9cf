"""Items that were shown to users, as numbers, and the users' positives before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmq.data._sequences import Packed, Sequences
from mmq.errors import DataError

BLOCK = 1 << 18
"""Rows that are looked at together."""

_BY_ROW = ("users", "items", "labels", "columns", "numbers", "ends")


@dataclass(frozen=True, eq=False)
class Impressions:
    """One part of a log: a row for each item that was shown. Numbers are places in its vocabulary.

    A history is what of the user's positives came before the row.

    Attributes:
        users: ``(rows,)`` int32.
        items: ``(rows,)`` int32.
        labels: ``(rows,)`` uint8, 1 for a positive.
        columns: ``(rows, c)`` int32, values of further columns of categories.
        numbers: ``(rows, numeric columns)`` float32, NaN where there is none.
        positives: of each user, oldest first.
        ends: ``(rows,)`` int64 where each history ends among ``positives.rows``.
        dealt: whether histories end at times that were dealt to the rows, so that a row may be in
            its own history, from which it is left out.
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray
    positives: Sequences
    ends: np.ndarray
    dealt: bool = False

    def __len__(self) -> int:
        return len(self.users)

    def require_both_labels(self, name: str) -> None:
        """Raise :class:`DataError` if all labels are alike; ``name`` is that of the part."""
        positive = int(np.count_nonzero(self.labels))
        if positive in (0, len(self)):
            raise DataError(
                f"all {len(self):,} rows of the {name} part have the label {int(positive > 0)}, so "
                "there is nothing to tell apart; give a longer log, or divide it otherwise"
            )

    def take(self, rows: np.ndarray | slice) -> Impressions:
        """Some of the impressions."""
        taken: dict[str, Any] = {name: np.asarray(getattr(self, name)[rows]) for name in _BY_ROW}
        return replace(self, **taken)

    def histories(self, length: int) -> Packed:
        """The last ``length`` items of each history; it may be empty."""
        first = self.positives.first[self.users]
        found = Sequences(self.positives.rows, first, self.ends).latest(length).pack()
        if not self.dealt:
            return found
        rows = np.repeat(np.arange(len(self)), found.lengths)
        other = found.rows != self.items[rows]
        return Packed(found.rows[other], np.bincount(rows[other], minlength=len(self)))

    def batches(self, size: int) -> Iterator[Impressions]:
        """Consecutive pieces."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))
