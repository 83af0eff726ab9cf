"""Buckets: the items that share one semantic ID, numbered densely in lexicographic order of the ID.

An ID is packed into one int64 mixed-radix number. Where the next position would not fit into 63
bits (3000 ** 6 does not), the numbers so far are first replaced by their dense rank, of which
there are at most as many as items; so any length works with plain sorts of int64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_MOST = 2**63 - 1


@dataclass(frozen=True, eq=False)
class BucketIndex:
    """The distinct IDs of a table, searchable.

    Attributes:
        sizes: for each position, one more than the largest code that occurs.
        levels: ``(first position, end position, sorted distinct keys)`` of each packing step; a
            key continues the dense rank that the step before gave.
    """

    sizes: tuple[int, ...]
    levels: tuple[tuple[int, int, np.ndarray], ...]

    @classmethod
    def build(cls, codes: np.ndarray) -> tuple[BucketIndex, np.ndarray]:
        """The index of ``codes`` ``(items, length)`` and the bucket of each item, ``(items,)``."""
        if len(codes) == 0:
            empty = np.zeros(0, np.int64)
            return cls((0,) * codes.shape[1], ((0, 0, empty),)), empty
        sizes = tuple(int(size) + 1 for size in codes.max(axis=0))
        levels = []
        key, span, first = np.zeros(len(codes), np.int64), 1, 0
        for position, size in enumerate(sizes):
            if span > _MOST // size:
                distinct, key = _densify(key)
                levels.append((first, position, distinct))
                span, first = len(distinct), position
            key *= size
            key += codes[:, position]
            span *= size
        distinct, key = _densify(key)
        levels.append((first, len(sizes), distinct))
        return cls(sizes, tuple(levels)), key

    def __len__(self) -> int:
        return len(self.levels[-1][2])

    def find(self, codes: np.ndarray) -> np.ndarray:
        """Bucket of each of ``codes`` ``(m, length)``, -1 where no item has that ID; ``(m,)``."""
        if len(self) == 0:
            return np.full(len(codes), -1, np.int64)
        found = ((codes >= 0) & (codes < np.array(self.sizes))).all(axis=1)
        number = np.zeros(len(codes), np.int64)
        for first, end, distinct in self.levels:
            for position in range(first, end):
                number *= self.sizes[position]
                number += np.where(found, codes[:, position], 0)
            number, hit = _place(distinct, number)
            found &= hit
        return np.where(found, number, -1)


def bucket_ids(codes: np.ndarray) -> np.ndarray:
    """A dense number for each distinct row of ``codes``: ``(items, length)`` -> ``(items,)`` int64.

    Numbers follow the lexicographic order of the rows; codes are not negative.

    >>> bucket_ids(np.array([[4, 1], [0, 9], [4, 1]]))
    array([1, 0, 1])
    """
    return BucketIndex.build(codes)[1]


def bucket_ids_of(
    pieces: Callable[[], Iterable[np.ndarray]], items: int, sizes: Sequence[int]
) -> np.ndarray:
    """:func:`bucket_ids` of codes that come in pieces: ``(items,)`` int64, in bounded memory.

    Args:
        pieces: gives the codes ``(some items, length)`` from the first item on; called once for
            every packing step.
        items: how many there are in all.
        sizes: of the codebooks.

    >>> codes = np.array([[4, 1], [0, 9], [4, 1]])
    >>> bucket_ids_of(lambda: np.split(codes, [2]), 3, [10, 10])
    array([1, 0, 1])
    """
    key, span, first = np.zeros(items, np.int64), 1, 0
    for position, size in enumerate(sizes):
        if span > _MOST // size:
            _pack(key, pieces(), range(first, position), sizes)
            distinct, key = _densify(key)
            span, first = len(distinct), position
        span *= size
    _pack(key, pieces(), range(first, len(sizes)), sizes)
    return _densify(key)[1]


def _pack(
    key: np.ndarray, pieces: Iterable[np.ndarray], positions: range, sizes: Sequence[int]
) -> None:
    """Continue the keys of all items by the codes at some positions, in place."""
    start = 0
    for codes in pieces:
        own = key[start : start + len(codes)]
        for position in positions:
            own *= sizes[position]
            own += codes[:, position]
        start += len(codes)


def occurrence(buckets: np.ndarray) -> np.ndarray:
    """How many earlier items are in the same bucket: ``(items,)`` -> ``(items,)`` int32.

    >>> occurrence(np.array([5, 2, 5, 5]))
    array([0, 0, 1, 2], dtype=int32)
    """
    result = np.zeros(len(buckets), np.int32)
    # only shared buckets are sorted: in a good table they are few
    shared = np.flatnonzero(np.bincount(buckets)[buckets] > 1) if len(buckets) else buckets
    order = shared[np.argsort(buckets[shared], kind="stable")]
    sorted_buckets = buckets[order]
    place = np.arange(len(order))
    starts = np.where(_is_first(sorted_buckets), place, 0)
    result[order] = place - np.maximum.accumulate(starts)
    return result


def _densify(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct values and the place of each key among them (faster than np.unique)."""
    order = np.argsort(key)
    ordered = key[order]
    first = _is_first(ordered)
    distinct = ordered[first]
    np.cumsum(first, out=ordered)
    ordered -= 1
    dense = np.empty_like(key)
    dense[order] = ordered
    return distinct, dense


def _place(distinct: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each key is among ``distinct``, and whether it is there at all."""
    order = np.argsort(key)  # neighbouring look-ups then share the processor's cache
    place = np.empty_like(key)
    place[order] = np.searchsorted(distinct, key[order])
    np.minimum(place, len(distinct) - 1, out=place)
    return place, distinct[place] == key


def _is_first(ordered: np.ndarray) -> np.ndarray:
    """True where a run of equal values starts."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first
