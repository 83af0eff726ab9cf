from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmq.reports._neighbours import neighbours
from mmq.semantic_ids import SemanticIDs

tables = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=30).map(
    lambda codes: SemanticIDs.build(range(len(codes)), codes, [4, 4, 4])
)


def slowly(ids: SemanticIDs, row: int, count: int) -> list[tuple[int, int]]:
    """The same, one item and one position at a time."""
    found = []
    for other in range(len(ids)):
        same = [p for p in range(ids.length) if ids.codes[other, p] == ids.codes[row, p]]
        weight = sum(math.log(len(ids) / sum(ids.codes[:, p] == ids.codes[row, p])) for p in same)
        if other != row and same:
            found.append((-len(same), -round(weight, 5), other))
    return [(other, -shared) for shared, _, other in sorted(found)[:count]]


@given(tables, st.data(), st.integers(1, 12))
def test_like_a_plain_loop(ids: SemanticIDs, data: st.DataObject, count: int) -> None:
    row = data.draw(st.integers(0, len(ids) - 1))
    found = neighbours(ids, row, count)
    expected = slowly(ids, row, count)
    assert [near.shared_codes for near in found] == [shared for _, shared in expected]
    assert {near.row for near in found if near.shared_codes == ids.length} == {
        other for other, shared in expected if shared == ids.length
    }
    for near in found:
        assert near.shared_codes == np.sum(ids.codes[near.row] == ids.codes[row])
        assert near.row != row


def test_rarer_codes_come_first() -> None:
    codes = [[0, 0], [0, 1], [1, 0], [0, 2], [0, 3]]  # the 0 of the second position is rarer
    found = neighbours(SemanticIDs.build(range(5), codes, [4, 4]), 0)
    assert [near.row for near in found] == [2, 1, 3, 4]
    assert found[0].shared_codes == 1


def test_an_item_alone_has_no_neighbours() -> None:
    assert neighbours(SemanticIDs.build([1, 2], [[0], [1]], [2]), 0) == []
    assert neighbours(SemanticIDs.build([1], [[0]], [2]), 0) == []
