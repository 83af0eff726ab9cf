"""Look-up of a semantic ID: the rows of the items that have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmq.errors import DataError
from mmq.metrics.buckets import BucketIndex


class Rows(NamedTuple):
    """Rows of several IDs: those of query i are ``rows[offsets[i] : offsets[i + 1]]``."""

    rows: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, eq=False)
class IdIndex:
    """Rows of a semantic ID, in the order of their rank.

    Attributes:
        buckets: the distinct IDs.
        rows: ``(items,)`` all rows, bucket after bucket, by rank within one.
        starts: ``(distinct IDs + 1,)`` where each bucket starts in ``rows``.
    """

    buckets: BucketIndex
    rows: np.ndarray
    starts: np.ndarray

    @classmethod
    def build(cls, codes: np.ndarray, rank: np.ndarray) -> IdIndex:
        """The index of ``codes`` ``(items, length)`` and ``rank`` ``(items,)``.

        Raises:
            DataError: two items have the same ID and the same rank.
        """
        index, buckets = BucketIndex.build(codes)
        starts = np.concatenate([[0], np.cumsum(np.bincount(buckets, minlength=len(index)))])
        buckets *= int(rank.max()) + 1
        buckets += rank
        rows = np.argsort(buckets)
        ordered = buckets[rows]
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(same):
            row = rows[same[0]]
            raise DataError(
                f"two items have the semantic ID {tuple(codes[row].tolist())} and the rank "
                f"{rank[row]}; the pair should be unique, encode the catalogue again"
            )
        return cls(index, rows, starts)

    def find(self, codes: np.ndarray) -> Rows:
        """Rows of each ID of ``codes`` ``(m, length)``; none for an ID that no item has."""
        bucket = self.buckets.find(codes)
        found = bucket >= 0
        first = np.where(found, self.starts[bucket], 0)
        counts = np.where(found, self.starts[bucket + 1], 0) - first
        offsets = np.concatenate([[0], np.cumsum(counts)])
        place = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts)
        return Rows(self.rows[place], offsets)
