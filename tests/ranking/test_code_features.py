import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq import SemanticIDs
from mmq.ranking._code_features import CODE_FEATURES, prefixes, single_codes


@st.composite
def tables(draw):
    """A table, and codes of other items of the same tokenizer."""
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    row = st.tuples(*(st.integers(0, size - 1) for size in sizes))
    known = draw(st.lists(row, min_size=1, max_size=15))
    others = draw(st.lists(row, max_size=15))
    ids = SemanticIDs.build(range(len(known)), known, sizes)
    return ids, np.array(others, np.int32).reshape(-1, len(sizes))


@given(tables())
def test_single_codes_by_loops(case):
    ids, others = case
    features = single_codes(ids)
    assert features.size == sum(ids.codebook_sizes)
    for codes in (ids.codes, others):
        expected = [
            [
                sum(ids.codebook_sizes[:position]) + int(code)
                for position, code in enumerate(item)
            ]
            for item in codes
        ]  # fmt: skip
        assert features.rows(codes).tolist() == expected
        assert features.rows(codes).dtype == np.int64


@given(tables())
def test_prefixes_by_loops(case):
    """Equal prefixes have equal numbers, others have others; unknown ones share one a length."""
    ids, others = case
    features = prefixes(ids)
    known = {tuple(item[: end + 1]) for item in ids.codes.tolist() for end in range(ids.length)}
    assert features.size == len(known) + ids.length
    codes = np.concatenate([ids.codes, others])
    rows = features.rows(codes)
    assert rows.dtype == np.int64
    assert rows.shape == codes.shape
    assert 0 <= rows.min() <= rows.max() < features.size
    numbers = {}
    for item, found in zip(codes.tolist(), rows.tolist(), strict=True):
        for end, number in enumerate(found):
            prefix = tuple(item[: end + 1])
            key = prefix if prefix in known else ("unknown", end)
            assert numbers.setdefault(key, number) == number
    assert len(set(numbers.values())) == len(numbers)


def test_a_new_item_keeps_what_it_shares_with_others():
    ids = SemanticIDs.build(["a", "b"], [[1, 2, 0], [1, 0, 2]], (3, 3, 3))
    rows = prefixes(ids).rows(np.array([[1, 2, 0], [1, 2, 2], [0, 2, 0]]))
    assert rows[1, :2].tolist() == rows[0, :2].tolist()
    assert rows[1, 2] != rows[0, 2]
    assert rows[2, 2] == rows[1, 2]  # a prefix that no item had


@pytest.mark.parametrize("kind", CODE_FEATURES)
def test_the_order_of_items_has_no_say(kind):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (50, 3))
    turned = rng.permutation(50)
    one, other = (
        CODE_FEATURES[kind](SemanticIDs.build(range(50), each, (4, 4, 4)))
        for each in (codes, codes[turned])
    )
    asked = rng.integers(0, 4, (30, 3))
    assert one.rows(asked).tolist() == other.rows(asked).tolist()
