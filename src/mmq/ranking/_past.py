"""What users liked, and when: the histories of rows that a ranker is asked about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._interactions import Interactions
from mmq.data._item_ids import end_to_end, places
from mmq.data._log import LogReader
from mmq.data._sequences import Packed, Sequences
from mmq.ranking._further import Further
from mmq.ranking._impressions import Impressions
from mmq.ranking._vocabulary import Vocabulary

_READ = ["user_id", "item_id", "timestamp"]
_FURTHEST = 2**63 // 1000 - 1
"""Microseconds that nanoseconds still hold."""


@dataclass(frozen=True, eq=False)
class Histories:
    """The positives of a log by user, in the order of time; those without a time come first.

    Attributes:
        users: ids of the users who have any.
        items: ids of their items.
        positives: of each user, as places in ``items``.
        moments: ``(moments,)`` int64, the distinct times, ascending.
        unit: of the times, ``us`` or ``ns``.
        keys: ``(positives,)`` int64, user and moment as one number, ascending.
    """

    users: pa.Array
    items: pa.Array
    positives: Sequences
    moments: np.ndarray
    unit: str
    keys: np.ndarray

    @classmethod
    def of(cls, log: LogReader, positive_above: float) -> Histories:
        """Those of a log, of which the positives alone are kept in memory.

        Args:
            log: a log without labels and ratings is one of positives.
            positive_above: ratings above it count.
        """
        liked = Interactions.together(
            [piece.positives(positive_above).table.select(_READ) for piece, _ in log]
        )
        order, (users, who) = liked.user_order(), (liked.users.codes, liked.users.ids)
        moments, place = np.unique(liked.times[order], return_inverse=True)
        rows = Packed(liked.items.codes[order], np.bincount(users, minlength=len(who)))
        keys = users[order].astype(np.int64) * (len(moments) + 1) + place
        return cls(who, liked.items.ids, Sequences.of(rows), moments, liked.time_unit, keys)

    def impressions(
        self, rows: Interactions, further: pa.Table, numeric: Collection[str] = ()
    ) -> tuple[Vocabulary, Impressions]:
        """Who and what occurs in some rows or in the histories, and an impression of each row.

        A history is what its user liked before the time of the row, or all of it where the row has
        none. Labels are 0: they are what is asked for.

        Args:
            rows: users, items and times.
            further: other columns of the same rows.
            numeric: names of those that are of numbers.
        """
        own = Further.of(further, numeric, len(rows))
        users = places(rows.users.ids, self.users)
        items = pc.unique(end_to_end([self.items, rows.items.ids]))
        impressions = Impressions(
            users=rows.users.codes,
            items=places(rows.items.ids, items)[rows.items.codes],
            labels=np.zeros(len(rows), np.uint8),
            columns=own.columns,
            numbers=own.numbers,
            positives=self.positives.at(users),
            ends=self._ends(users[rows.users.codes], rows),
        )
        return Vocabulary(rows.users.ids, items, own.values, own.scales), impressions

    def _ends(self, users: np.ndarray, rows: Interactions) -> np.ndarray:
        """``(rows,)`` int64: where each history ends among the positives.

        Args:
            users: ``(rows,)`` place of each row's user in :attr:`users`, -1 for others.
            rows: with times, or without.
        """
        times = _in_unit(rows.times, rows.time_unit, self.unit)
        latest = len(self.moments)
        place = np.where(rows.has_time, np.searchsorted(self.moments, times), latest)
        ends = np.searchsorted(self.keys, users * (latest + 1) + place)
        return np.where(users >= 0, ends, 0)


def _in_unit(times: np.ndarray, unit: str, wanted: str) -> np.ndarray:
    """Times of a unit in another: what is before one of them in that unit is before it in truth."""
    if unit == wanted:
        return times
    if wanted == "us":
        return -(-times // 1000)
    found: np.ndarray = np.clip(times, -_FURTHEST, _FURTHEST) * 1000
    return found
