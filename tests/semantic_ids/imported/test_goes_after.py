from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mmq.errors import DataError
from mmq.semantic_ids import SemanticIDs
from mmq.semantic_ids._imported import ImportedIds
from mmq.semantic_ids._imported.appending import check_goes_after

OLD = SemanticIDs.build(["a", "b"], [[0, 1], [3, 2]], (4, 3))


def given(items: list[str], codes: list[list[int]]) -> ImportedIds:
    return ImportedIds(
        pa.array(items), np.array(codes, np.int32), np.arange(len(items)), 0, ("codes",)
    )


def test_old_items_may_come_again_as_they_are() -> None:
    check_goes_after(OLD, given(["b", "c"], [[3, 2], [0, 1]]))
    check_goes_after(OLD, given(["c"], [[3, 2]]))


def test_an_old_item_keeps_its_codes() -> None:
    expected = r"item 'b' has \[3, 1\], and \[3, 2\] in the old table \(1 of the 2 known"
    with pytest.raises(DataError, match=expected):
        check_goes_after(OLD, given(["c", "b", "a"], [[0, 0], [3, 1], [0, 1]]))


def test_codes_have_to_fit_the_old_codebooks() -> None:
    expected = r"row 1 \(item 'd'\) has code 3 at position 1, outside its codebook of 3 \(0 to 2\)"
    with pytest.raises(DataError, match=f"{expected}; the old table has no place for it"):
        check_goes_after(OLD, given(["c", "d"], [[0, 0], [0, 3]]))
