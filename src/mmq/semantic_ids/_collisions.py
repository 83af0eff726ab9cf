"""Moving an item whose ID is taken to the nearest free one."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from mmq.errors import SettingsError
from mmq.metrics.buckets import BucketIndex, occurrence

LIMIT = 1000
"""Code tuples tried for one item before it stays where it is, told apart by its rank."""

_CHUNK = 1 << 14
_FIRST_LOOK = 4
_FURTHER_LOOK = 64


class Candidates(NamedTuple):
    """The best codewords of some items at every position, best first.

    Attributes:
        codes: ``(m, length, top)`` int, distinct along ``top``.
        scores: ``(m, length, top)`` similarity to each; ``-inf`` forbids a code, so that a
            tokenizer with ordered codes can allow moves at its last position alone.
    """

    codes: np.ndarray
    scores: np.ndarray


class Moved(NamedTuple):
    """What :func:`move_collisions` gives back.

    Attributes:
        codes: ``(items, length)`` int32, those of moved items replaced.
        moved: ``(items,)`` bool.
    """

    codes: np.ndarray
    moved: np.ndarray


def move_collisions(
    codes: np.ndarray,
    candidates: Callable[[np.ndarray], Candidates],
    taken: np.ndarray | None = None,
    limit: int = LIMIT,
) -> Moved:
    """Codes in which every item after the first of a bucket has moved to a free ID.

    Items choose in their order, and no item takes an ID that another was given by the tokenizer.
    Of the free combinations of candidate codes an item gets the one that loses least similarity,
    summed over positions; it keeps its ID (and is told apart by its rank) where none of the best
    ``limit`` is free. The same input always gives the same codes.

    Args:
        codes: ``(items, length)`` int.
        candidates: gives the candidates of the items at some rows ``(m,)`` of ``codes``; called
            in pieces, and for colliding items only.
        taken: ``(old items, length)`` IDs of a table that these items are appended to.
        limit: combinations to try an item.
    """
    if limit < 1:
        raise SettingsError(f"a limit of {limit} leaves nothing to try; choose at least 1")
    result = np.array(codes, np.int32)
    everything = result if taken is None else np.concatenate([taken, result])
    index, buckets = BucketIndex.build(everything)
    colliding = np.flatnonzero(occurrence(buckets)[len(everything) - len(result) :] > 0)
    moved = np.zeros(len(result), bool)
    chosen: set[tuple[int, ...]] = set()
    for start in range(0, len(colliding), _CHUNK):
        rows = colliding[start : start + _CHUNK]
        options = _free_options(candidates(rows), index, limit)
        for row, free in zip(rows.tolist(), options, strict=True):
            pick = next((option for option in free if option not in chosen), None)
            if pick is not None:
                chosen.add(pick)
                result[row], moved[row] = pick, True
    return Moved(result, moved)


def best_first(codes: np.ndarray, scores: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Combinations of one item's candidates, the smallest loss of summed similarity first.

    Of equal losses the one that changes fewer positions comes first. ``codes`` and ``scores`` are
    ``(length, top)``; see :class:`Candidates`.

    >>> list(best_first(np.array([[7, 8], [3, 4]]), np.array([[0.9, 0.5], [0.8, 0.7]])))
    [(7, 3), (7, 4), (8, 3), (8, 4)]
    """
    names = codes.tolist()
    losses = (scores[:, :1].astype(np.float64) - scores).tolist()
    length, top = codes.shape
    heap = [(0.0, 0, (0,) * length)]
    while heap:
        loss, changed, place = heapq.heappop(heap)
        yield tuple([name[i] for name, i in zip(names, place, strict=True)])
        # each combination has one parent: itself with its last changed position one step back
        last = max((position for position in range(length) if place[position]), default=0)
        for position in range(last, length):
            step, lost = place[position] + 1, losses[position]
            if step < top and lost[step] < np.inf:
                child = (*place[:position], step, *place[position + 1 :])
                more = loss - lost[step - 1] + lost[step]
                heapq.heappush(heap, (more, changed + (step == 1), child))


def _free_options(
    candidates: Candidates, index: BucketIndex, limit: int
) -> list[Iterator[tuple[int, ...]]]:
    """For each item the combinations that no ID of ``index`` is, best first, lazily.

    Items with the same candidates share one iterator: what an earlier one of them passed over or
    took is not free for the later ones either, so a thousand copies cost one search.
    """
    place: dict[bytes, int] = {}
    searches: list[Iterator[tuple[int, ...]]] = []
    shared = []
    for codes, scores in zip(*candidates, strict=True):
        key = codes.tobytes() + scores.tobytes()
        if key not in place:
            place[key] = len(searches)
            searches.append(islice(best_first(codes, scores), limit))
        shared.append(place[key])
    looks = [list(islice(search, _FIRST_LOOK)) for search in searches]
    options = [
        chain(free, _further(search, index))
        for free, search in zip(_free(looks, index), searches, strict=True)
    ]
    return [options[number] for number in shared]


def _further(search: Iterator[tuple[int, ...]], index: BucketIndex) -> Iterator[tuple[int, ...]]:
    while look := list(islice(search, _FURTHER_LOOK)):
        yield from _free([look], index)[0]


def _free(looks: list[list[tuple[int, ...]]], index: BucketIndex) -> list[list[tuple[int, ...]]]:
    """Of each list the combinations that are no ID of ``index``; one look-up for all."""
    free = iter(index.find(np.array([option for look in looks for option in look])) < 0)
    return [[option for option in look if next(free)] for look in looks]
