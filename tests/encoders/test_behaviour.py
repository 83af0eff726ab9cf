import collections
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._sequences import Packed, Sequences
from mmq.encoders._behaviour import BehaviourSettings, count_pairs, embed_behaviour
from mmq.errors import DataError

ITEMS = 8
HISTORIES = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=9), min_size=1, max_size=8)


def packed(histories):
    rows = np.array([row for history in histories for row in history], np.int64)
    return Sequences.of(Packed(rows, np.array([len(history) for history in histories])))


def counted_by_hand(histories, window):
    counts = collections.Counter()
    for history in histories:
        for place, first in enumerate(history):
            for other, second in enumerate(history):
                if first != second and 0 < abs(place - other) <= window:
                    counts[first, second] += 1
    return counts


@given(HISTORIES, st.integers(1, 10))
def test_pairs_are_those_of_plain_loops(histories, window):
    pairs = count_pairs(packed(histories), ITEMS, window).tocoo()
    found = dict(zip(zip(pairs.row, pairs.col, strict=True), pairs.data, strict=True))
    assert found == counted_by_hand(histories, window)


def test_counting_in_many_pieces_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    histories = packed([rng.integers(0, 30, 40).tolist() for _ in range(20)])
    whole = count_pairs(histories, 30, 20)
    monkeypatch.setattr("mmq.encoders._behaviour._PAIRS", 100)
    in_pieces = count_pairs(histories, 30, 20)
    np.testing.assert_array_equal(whole.toarray(), in_pieces.toarray())
    assert in_pieces.dtype == in_pieces.indices.dtype == np.int32


def test_the_mutual_information_of_many_pieces_is_that_of_one(monkeypatch):
    rng = np.random.default_rng(5)
    histories = packed([rng.integers(0, 30, 20).tolist() for _ in range(20)])
    settings = BehaviourSettings(dimension=6)
    whole = embed_behaviour(histories, 30, settings)
    monkeypatch.setattr("mmq.encoders._behaviour._PAIRS", 50)
    np.testing.assert_array_equal(whole.matrix, embed_behaviour(histories, 30, settings).matrix)


@pytest.mark.parametrize(("shift", "smoothing"), [(1.0, 1.0), (1.5, 0.75)])
def test_all_dimensions_give_back_the_mutual_information(shift, smoothing):
    """With as many dimensions as items nothing is truncated: U S V' is the matrix itself, so that
    the norms of U sqrt(S) are those of the diagonal of (A A')^(1/2)."""
    rng = np.random.default_rng(1)
    half = ITEMS // 2
    histories = [(rng.integers(0, half, 12) + half * (user % 2)).tolist() for user in range(30)]
    counts = counted_by_hand(histories, 3)
    each = collections.Counter()
    for (first, _), times in counts.items():
        each[first] += times
    company = {item: times**smoothing for item, times in each.items()}
    expected = np.zeros((ITEMS, ITEMS))
    for (first, second), times in counts.items():
        share = company[second] / sum(company.values())
        expected[first, second] = max(0.0, math.log(times / (each[first] * share) / shift))
    settings = BehaviourSettings(dimension=ITEMS, window=3, shift=shift, smoothing=smoothing)
    assert (expected.max(1) > 0).all()
    found = embed_behaviour(packed(histories), ITEMS, settings)
    left, values, _ = np.linalg.svd(expected)
    gram = left @ np.diag(values) @ left.T
    np.testing.assert_allclose(found.matrix @ found.matrix.T, gram, atol=1e-4)


def test_items_without_company_are_missing():
    histories = packed([[0, 1, 2], [2, 1, 0], [4], [5, 5]])
    found = embed_behaviour(histories, 6, BehaviourSettings(dimension=2))
    assert found.present.tolist() == [True, True, True, False, False, False]
    assert not found.matrix[3:].any()


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
def test_items_whose_company_is_no_more_than_chance_are_missing(smoothing):
    """None has a vector of zeros, which a catalogue would refuse."""
    rng = np.random.default_rng(4)
    popular = [rng.permutation(15).tolist() for _ in range(30)]
    pairs = [[15 + 2 * n, 16 + 2 * n] for n in range(4) for _ in range(3)]
    settings = BehaviourSettings(dimension=4, shift=5.0, smoothing=smoothing)
    found = embed_behaviour(packed(popular + pairs), 23, settings)
    assert found.present.tolist() == [False] * 15 + [True] * 8
    assert (np.linalg.norm(found.matrix, axis=1) > 0).tolist() == found.present.tolist()
    with pytest.raises(DataError, match=r"^8 items .* \(shift 5\).* a lower shift"):
        embed_behaviour(packed(popular + pairs), 23, settings.model_copy(update={"dimension": 9}))


def test_items_of_one_kind_of_user_come_together():
    rng = np.random.default_rng(2)
    groups = [rng.permutation(20)[:10] + 20 * (user % 2) for user in range(60)]
    found = embed_behaviour(packed(groups), 40, BehaviourSettings(dimension=4))
    unit = found.matrix / np.linalg.norm(found.matrix, axis=1, keepdims=True)
    near, far = unit[:20] @ unit[:20].T, unit[:20] @ unit[20:].T
    assert near[~np.eye(20, dtype=bool)].mean() > far.mean() + 0.3


def test_the_seed_decides():
    rng = np.random.default_rng(3)
    histories = packed([rng.integers(0, 50, 20).tolist() for _ in range(40)])
    first, again, other = (
        embed_behaviour(histories, 50, BehaviourSettings(dimension=8, seed=seed)).matrix
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_too_few_items_are_refused():
    with pytest.raises(
        DataError, match=r"^2 items occur together .* of 4 dimensions; choose fewer"
    ):
        embed_behaviour(packed([[0, 1], [3]]), 5, BehaviourSettings(dimension=4))
    with pytest.raises(DataError, match=r"^0 items occur together"):
        embed_behaviour(packed([[0], []]), 5, BehaviourSettings(dimension=4))
