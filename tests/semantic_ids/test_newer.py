import numpy as np
import pytest

from mmq.errors import DataError, FormatError
from mmq.semantic_ids import SemanticIDs, build_manifest, require_newer_table

SIZES = (4, 3)
CODES = np.array([[0, 1], [3, 2], [0, 1], [2, 0]])


def table(items, codes, tokenizer="5f0c", sizes=SIZES):
    reference = None if tokenizer is None else {"name": "mmq", "fingerprint": tokenizer}
    return SemanticIDs.build(items, codes, sizes, build_manifest(sizes, tokenizer=reference))


def known(**changes):
    return table(["a", "b", "c", "d"], CODES, **changes)


@pytest.mark.parametrize("tokenizer", ["5f0c", None])
def test_rows_in_the_older_table(tokenizer):
    ids = table(["new", "d", "b", "newer"], [[1, 1], [2, 0], [3, 2], [0, 1]], tokenizer)
    rows = require_newer_table(known(tokenizer=tokenizer), ids)
    assert rows.tolist() == [-1, 3, 1, -1]
    assert require_newer_table(ids, ids).tolist() == [0, 1, 2, 3]


def test_all_items_may_be_new_where_the_tokenizer_is_the_same():
    ids = table(["x", "y"], CODES[:2])
    assert require_newer_table(known(), ids).tolist() == [-1, -1]
    with pytest.raises(FormatError, match="none of the model's items and does not say which"):
        require_newer_table(known(tokenizer=None), table(["x", "y"], CODES[:2], None))


def test_another_rank_is_no_other_id():
    """Items that share an ID may be told apart in another order."""
    turned = table(["c", "a"], CODES[[2, 0]])
    assert turned.rank.tolist() == [0, 1]
    assert require_newer_table(known(), turned).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (table(["a"], CODES[:1], "beef"), r"tokenizer 'mmq' \(5f0c\), not 'mmq' \(beef\)"),
        (table(["a"], CODES[:1], None), r"tokenizer 'mmq' \(5f0c\), not unknown"),
        (table(["a"], CODES[:1], sizes=(4, 4)), r"codebooks of \[4, 3\] codes, not \[4, 4\]"),
        (
            table(["a", "b", "x", "c"], [[0, 1], [3, 1], [2, 2], [1, 1]]),
            "2 of the 3 items that the model knows have another semantic ID in this table; add",
        ),
    ],
)
def test_tables_that_are_refused(ids, expected):
    with pytest.raises(FormatError, match=expected):
        require_newer_table(known(), ids)


def test_item_ids_as_text_and_as_numbers():
    numbers = table([7, 8], CODES[:2])
    assert require_newer_table(numbers, table(["8", "9"], CODES[1:3])).tolist() == [1, -1]
    with pytest.raises(DataError, match="whole numbers"):
        require_newer_table(numbers, table(["eight"], CODES[:1]))
