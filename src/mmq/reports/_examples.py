"""Which items a report shows: drawn by a seed from the ordinary ones, never picked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmq.errors import DataError, SettingsError
from mmq.metrics.buckets import bucket_ids
from mmq.semantic_ids import SemanticIDs

ITEMS_A_CODE = 8
CODES_A_GROUP = 2
LEAST_CODES = 6
"""Codes shown in all; with few groups each shows more."""

MOST_CODES = 16
"""Codes shown in all; with more groups than that the rest is left out."""

COLLISIONS = 4
ITEMS_A_COLLISION = 6


class CodeExample(NamedTuple):
    """A code with some of the items that have it.

    Attributes:
        group: name of the group of positions.
        position: place of the codebook in the ID, from 0.
        code: the code.
        items: how many items have it.
        rows: some of them, rows of the table.
    """

    group: str
    position: int
    code: int
    items: int
    rows: np.ndarray


class Collision(NamedTuple):
    """A semantic ID that several items share.

    Attributes:
        items: how many.
        rows: some of them, rows of the table.
    """

    items: int
    rows: np.ndarray


def sample_rows(ids: SemanticIDs, count: int, seed: int) -> np.ndarray:
    """Rows of a few items, in order."""
    rng = np.random.default_rng([seed, 0])
    return np.sort(rng.choice(len(ids), min(count, len(ids)), replace=False))


def sample_codes(
    ids: SemanticIDs, groups: Mapping[str, Sequence[int]], seed: int
) -> list[CodeExample]:
    """Codes of every group that are neither rare nor crowded, with items drawn at random.

    A code is drawn from the middle third of its codebook's codes by number of items, those that
    only one item has left aside.
    """
    rng = np.random.default_rng([seed, 1])
    each = max(CODES_A_GROUP, LEAST_CODES // len(groups))
    each = each if each * len(groups) <= MOST_CODES else 1
    examples = []
    for group, positions in list(groups.items())[: MOST_CODES // each]:
        chosen: set[tuple[int, int]] = set()
        for number in range(each if positions else 0):
            position = positions[number % len(positions)]
            middle = [c for c in _middling(ids, position) if (position, c) not in chosen]
            if middle:
                code = int(rng.choice(middle))
                chosen.add((position, code))
                examples.append(_example(ids, group, position, code, rng))
    return examples


def code_example(
    ids: SemanticIDs, groups: Mapping[str, Sequence[int]], text: str, seed: int
) -> CodeExample:
    """The code of ``POSITION=CODE``, positions counted from 0, with items drawn at random.

    Raises:
        SettingsError: it does not read so, or there is no such position or code.
        DataError: no item has the code.
    """
    position, code = _parsed(text, ids.codebook_sizes)
    if not (ids.codes[:, position] == code).any():
        raise DataError(f"no item has the code {code} at position {position}; try another code")
    group = next(name for name, each in groups.items() if position in each)
    return _example(ids, group, position, code, np.random.default_rng([seed, 3]))


def _parsed(text: str, sizes: Sequence[int]) -> tuple[int, int]:
    position, _, code = text.partition("=")
    if not all(each.isascii() and each.isdigit() for each in (position, code)):
        raise SettingsError(f"--code {text!r} should read POSITION=CODE, such as 0=17")
    if int(position) >= len(sizes):
        raise SettingsError(
            f"--code {text}: IDs have {len(sizes)} codes, so positions are 0 to {len(sizes) - 1}"
        )
    size = sizes[int(position)]
    if int(code) >= size:
        raise SettingsError(
            f"--code {text}: the codebook of position {position} has the codes 0 to {size - 1}"
        )
    return int(position), int(code)


def sample_collisions(ids: SemanticIDs, seed: int) -> list[Collision]:
    """The fullest semantic ID and a few others that items share; none where all are distinct."""
    rng = np.random.default_rng([seed, 2])
    buckets = bucket_ids(ids.codes)
    sizes = np.bincount(buckets)
    shared = np.flatnonzero(sizes > 1)
    if len(shared) == 0:
        return []
    fullest = shared[sizes[shared].argmax()]
    others = shared[shared != fullest]
    drawn = rng.choice(others, min(COLLISIONS - 1, len(others)), replace=False)
    return [
        Collision(int(sizes[bucket]), np.flatnonzero(buckets == bucket)[:ITEMS_A_COLLISION])
        for bucket in (fullest, *drawn)
    ]


def _middling(ids: SemanticIDs, position: int) -> list[int]:
    counts = np.bincount(ids.codes[:, position])
    shared = np.flatnonzero(counts > 1)
    order = shared[np.argsort(counts[shared], kind="stable")]
    third = len(order) // 3
    middle: list[int] = order[third : len(order) - third].tolist()
    return middle


def _example(
    ids: SemanticIDs, group: str, position: int, code: int, rng: np.random.Generator
) -> CodeExample:
    rows = np.flatnonzero(ids.codes[:, position] == code)
    drawn = np.sort(rng.choice(rows, min(ITEMS_A_CODE, len(rows)), replace=False))
    return CodeExample(group, position, code, len(rows), drawn)
