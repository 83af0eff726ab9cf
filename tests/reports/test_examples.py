from __future__ import annotations

import numpy as np
import pytest

from mmq.reports._examples import (
    ITEMS_A_CODE,
    ITEMS_A_COLLISION,
    MOST_CODES,
    sample_codes,
    sample_collisions,
    sample_rows,
)
from mmq.semantic_ids import SemanticIDs

GROUPS = {"shared": [0, 1], "text": [2], "image": [3]}


@pytest.fixture(scope="module")
def ids() -> SemanticIDs:
    codes = np.minimum(np.random.default_rng(0).geometric(0.3, size=(400, 4)) - 1, 11)
    return SemanticIDs.build(range(400), codes, [12] * 4)


def test_codes_have_their_items(ids: SemanticIDs) -> None:
    examples = sample_codes(ids, GROUPS, 0)
    assert [(e.group, e.position) for e in examples] == [
        ("shared", 0),
        ("shared", 1),
        ("text", 2),
        ("text", 2),
        ("image", 3),
        ("image", 3),
    ]
    assert len({(e.position, e.code) for e in examples}) == 6
    for example in examples:
        holders = np.flatnonzero(ids.codes[:, example.position] == example.code)
        assert example.items == len(holders)
        assert len(example.rows) == min(ITEMS_A_CODE, len(holders))
        assert set(example.rows.tolist()) <= set(holders.tolist())


def test_codes_are_of_middling_size(ids: SemanticIDs) -> None:
    for seed in range(20):
        for example in sample_codes(ids, GROUPS, seed):
            sizes = np.sort(np.bincount(ids.codes[:, example.position]))
            sizes = sizes[sizes > 1]
            third = len(sizes) // 3
            assert sizes[third] <= example.items <= sizes[len(sizes) - 1 - third]


def test_the_seed_decides(ids: SemanticIDs) -> None:
    def drawn(seed: int) -> list[list[int]]:
        return [example.rows.tolist() for example in sample_codes(ids, GROUPS, seed)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert sample_rows(ids, 3, 1).tolist() == sample_rows(ids, 3, 1).tolist()
    assert sample_rows(ids, 1000, 0).tolist() == list(range(400))


def test_codes_that_no_two_items_share_are_no_example() -> None:
    ids = SemanticIDs.build(range(3), [[0, 0], [1, 0], [2, 0]], [3, 3])
    assert [example.position for example in sample_codes(ids, {"a": [0], "b": [1]}, 0)] == [1]


def test_many_groups_stay_bounded() -> None:
    codes = np.zeros((5, 40), int)
    ids = SemanticIDs.build(range(5), codes, [2] * 40)
    assert len(sample_codes(ids, {f"g{i}": [i] for i in range(40)}, 0)) == MOST_CODES


def test_collisions_are_real_and_the_fullest_comes_first() -> None:
    codes = [[0]] * 9 + [[1]] * 2 + [[2]] * 3 + [[3]] + [[4]] * 2 + [[5]] * 2
    ids = SemanticIDs.build(range(len(codes)), codes, [6])
    found = sample_collisions(ids, 0)
    assert len(found) == 4
    assert (found[0].items, len(found[0].rows)) == (9, ITEMS_A_COLLISION)
    for collision in found:
        (code,) = set(ids.codes[collision.rows, 0].tolist())
        assert collision.items == sum(ids.codes[:, 0] == code) > 1
    assert len({int(ids.codes[collision.rows[0], 0]) for collision in found}) == 4


def test_no_collisions() -> None:
    assert sample_collisions(SemanticIDs.build(range(3), [[0], [1], [2]], [3]), 0) == []
