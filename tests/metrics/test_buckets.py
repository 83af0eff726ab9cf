from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.metrics.buckets import BucketIndex, bucket_ids, occurrence


@st.composite
def code_tables(draw: st.DrawFn) -> np.ndarray:
    """Few distinct rows, of codebooks small or so large that one int64 does not hold an ID."""
    length = draw(st.integers(1, 8))
    size = draw(st.sampled_from([1, 2, 3, 3000, 2**20, 2**31 - 1]))
    row = st.lists(st.integers(0, size - 1), min_size=length, max_size=length)
    pool = draw(st.lists(row, min_size=1, max_size=6))
    picks = draw(st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=30))
    return np.array([pool[pick] for pick in picks], np.int32)


@given(code_tables())
def test_bucket_ids_number_the_sorted_distinct_rows(codes: np.ndarray) -> None:
    rows = [tuple(row) for row in codes.tolist()]
    number = {row: place for place, row in enumerate(sorted(set(rows)))}
    assert bucket_ids(codes).tolist() == [number[row] for row in rows]


@given(code_tables(), code_tables())
def test_find_agrees_with_a_dictionary(codes: np.ndarray, others: np.ndarray) -> None:
    index, buckets = BucketIndex.build(codes)
    known = dict(zip(map(tuple, codes.tolist()), buckets.tolist(), strict=True))
    width = codes.shape[1]
    queries = np.concatenate([codes, codes[:, ::-1], np.resize(others, (4, width)), codes - 1])
    expected = [known.get(tuple(row), -1) for row in queries.tolist()]
    assert index.find(queries).tolist() == expected
    assert len(index) == len(known)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_occurrence_counts_the_earlier_ones(values: list[int]) -> None:
    expected = [values[:place].count(value) for place, value in enumerate(values)]
    assert occurrence(np.array(values, np.int64)).tolist() == expected


def test_empty_tables() -> None:
    empty = np.zeros((0, 3), np.int32)
    index, buckets = BucketIndex.build(empty)
    assert len(index) == len(buckets) == 0
    assert index.find(np.zeros((2, 3), np.int32)).tolist() == [-1, -1]


def test_ids_too_long_for_one_int64_are_packed_in_steps() -> None:
    codes = np.random.default_rng(0).integers(0, 3000, (500, 6))
    codes[0] = 2999
    index, buckets = BucketIndex.build(codes)
    assert len(index.levels) == 2
    assert len(set(buckets.tolist())) == len({tuple(row) for row in codes.tolist()})


@pytest.mark.parametrize("seed", [0, 1])
def test_buckets_follow_a_permutation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, order = rng.integers(0, 4, (200, 3)), rng.permutation(200)
    assert (bucket_ids(codes[order]) == bucket_ids(codes)[order]).all()
