from __future__ import annotations

import numpy as np
import pytest
import torch
from decoding_cases import Case, assert_same, brute_force, cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmq.decoding import (
    Decoded,
    Excluded,
    Filters,
    ParallelScores,
    PrefixIndex,
    exact_search,
)
from mmq.decoding import _bounded as bounded
from mmq.decoding import _inverted as inverted
from mmq.decoding import _prefix_index as prefix_index
from mmq.decoding._bounded import bounded_search
from mmq.decoding._inverted import InvertedIndex, count_blocks

ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds for the smallest index and any number of blocks, and nobody is left to the scan."""
    monkeypatch.setattr(prefix_index, "LEAST_LEAVES", 0)
    monkeypatch.setattr(prefix_index, "MOST_BLOCKS", 99)
    monkeypatch.setattr(prefix_index, "_USERS", 1)
    monkeypatch.setattr(bounded, "_SHARE", 0.01)


def scanned(
    scores: ParallelScores, index: PrefixIndex, k: int, filters: Filters | None = None
) -> Decoded:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_index, "LEAST_LEAVES", len(index) + 1)
        return exact_search(scores, index, k, filters)


def draw(
    items: int, sizes: list[int], users: int, peak: float, seed: int = 0
) -> tuple[np.ndarray, list[Tensor]]:
    """Codes, the low ones more often, and log-probabilities; the larger ``peak``, the steeper."""
    rng = np.random.default_rng(seed)
    codes = np.stack([(rng.random(items) ** 2 * size).astype(np.int32) for size in sizes], 1)
    logits = [peak * rng.standard_normal((users, size)).astype(np.float32) for size in sizes]
    return codes, [torch.from_numpy(each).log_softmax(1) for each in logits]


@ANY
@given(cases(filtered=True), st.sampled_from([1, 4, 1 << 20]))
def test_bounds_are_brute_force(any_size: None, case: Case, cells: int) -> None:
    """Any length, sizes and filters; scores and IDs often equal; blocks of any size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverted, "_CELLS", cells)
        patch.setattr(inverted, "_CELLS_A_LEAF", 0)
        found = exact_search(case.scores, case.index, case.k, case.filters)
    assert_same(found, brute_force(case))


@pytest.mark.parametrize("peak", [0.0, 0.3, 3.0, 30.0])
@pytest.mark.parametrize("sizes", [[30] * 5, [7, 90, 3, 40], [3000, 3000, 5], [8] * 16])
def test_bounds_find_what_a_scan_finds(sizes: list[int], peak: float) -> None:
    """Rows and scores to the bit, and those whom bounds do not help are said to be."""
    codes, log_probs = draw(20_000, sizes, 20, peak)
    index = PrefixIndex.build(codes, sizes)
    expected = scanned(ParallelScores(log_probs), index, 15)
    found = bounded_search(index.inverted, log_probs, 15)
    leaves = scanned(ParallelScores(log_probs), PrefixIndex.build(_distinct(codes), sizes), 15)
    complete = found.complete
    assert torch.equal(bounded.scores_of(found.best[complete]), leaves.scores[complete])
    whole = exact_search(ParallelScores(log_probs), index, 15)
    assert_same(whole, expected)


def _distinct(codes: np.ndarray) -> np.ndarray:
    distinct: np.ndarray = np.unique(codes, axis=0)
    return distinct


def test_steep_scores_need_few_ids_and_flat_ones_are_left_to_the_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "_SHARE", 10)
    sizes = [40] * 4
    codes, steep = draw(30_000, sizes, 16, 3.0)
    index = PrefixIndex.build(codes, sizes)
    looked = []
    monkeypatch.setattr(bounded, "_leaves_of", _counting(bounded._leaves_of, looked))
    found = bounded_search(index.inverted, steep, 10)
    assert found.complete.float().mean() > 0.8
    assert sum(looked) / 16 < index.leaves / 10
    _, flat = draw(30_000, sizes, 16, 0.0)
    assert not bounded_search(index.inverted, flat, 10).complete.any()


def _counting(function, looked: list[int]):  # type: ignore[no-untyped-def]
    def wrapped(*args):  # type: ignore[no-untyped-def]
        leaves = function(*args)
        looked.append(len(leaves.numbers))
        return leaves

    return wrapped


def test_an_impossible_code_is_no_reason_to_miss_an_item(any_size: None) -> None:
    sizes = [20, 20, 20]
    codes, log_probs = draw(5000, sizes, 8, 2.0)
    log_probs[1][:, 3:] = -torch.inf
    log_probs[2][0] = -torch.inf
    index = PrefixIndex.build(codes, sizes)
    scores = ParallelScores(log_probs)
    assert_same(exact_search(scores, index, 50), scanned(scores, index, 50))


def test_all_scores_equal(any_size: None) -> None:
    sizes = [9, 9, 9]
    codes, log_probs = draw(3000, sizes, 3, 0.0)
    index = PrefixIndex.build(codes, sizes)
    scores = ParallelScores(log_probs)
    assert_same(exact_search(scores, index, 40), scanned(scores, index, 40))


def test_a_history_is_left_out_and_a_restricted_index_is_inverted(any_size: None) -> None:
    sizes = [25] * 4
    codes, log_probs = draw(8000, sizes, 12, 2.0)
    index = PrefixIndex.build(codes, sizes)
    scores = ParallelScores(log_probs)
    best = exact_search(scores, index, 40).rows
    history = Filters(excluded=Excluded(best.flatten(), torch.arange(0, 481, 40)))
    assert_same(exact_search(scores, index, 10, history), scanned(scores, index, 10, history))
    allowed = torch.arange(8000) % 3 > 0
    few = index.restrict(allowed)
    found = exact_search(scores, few, 10)
    assert "inverted" in few.__dict__
    assert_same(found, scanned(scores, index, 10, Filters(allowed)))


def test_more_items_than_there_are(any_size: None) -> None:
    codes, log_probs = draw(12, [4, 4], 3, 1.0)
    index = PrefixIndex.build(codes, [4, 4])
    scores = ParallelScores(log_probs)
    assert_same(exact_search(scores, index, 30), scanned(scores, index, 30))


def test_one_user_does_not_pay_for_an_index_but_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_index, "LEAST_LEAVES", 100)
    sizes = [20, 20, 20]
    codes, log_probs = draw(4000, sizes, 64, 3.0)
    index = PrefixIndex.build(codes, sizes)
    one = ParallelScores([each[:1] for each in log_probs])
    exact_search(one, index, 5)
    assert "inverted" not in index.__dict__
    exact_search(ParallelScores(log_probs), index, 5)
    assert "inverted" in index.__dict__
    assert index.worth_inverting(1)


def test_every_id_is_listed_once_in_each_block() -> None:
    codes, _ = draw(2000, [6, 50, 9, 4], 1, 1.0)
    ids = PrefixIndex.build(codes, [6, 50, 9, 4]).leaf_codes
    index = InvertedIndex.build(ids, [6, 50, 9, 4])
    assert sum(len(block.sizes) for block in index.blocks) == 4
    for block in index.blocks:
        assert sorted(block.leaves.tolist()) == list(range(len(ids)))
        for place in range(0, len(block.starts) - 1, 97):
            digits = np.unravel_index(place, block.sizes)
            held = ids[block.leaves[block.starts[place] : block.starts[place + 1]]]
            assert (held.numpy()[:, list(block.positions)] == digits).all()


def test_no_combination_beyond_a_corner_is_better_than_its_edge() -> None:
    inside, beyond = inverted._corner((5, 9, 4), 6)
    assert (np.prod(inside + 1, 0) <= 6).all()
    everything = np.indices((5, 9, 4)).reshape(3, -1)
    outside = everything[:, np.prod(everything + 1, 0) > 6]
    dominated = (outside[:, :, None] >= beyond[:, None]).all(0)
    assert dominated.any(1).all()


@pytest.mark.parametrize(
    ("sizes", "leaves", "blocks"),
    [([100] * 6, 1_000_000, 2), ([3000] * 6, 40_000_000, 3), ([256] * 16, 10**6, 8), ([9], 9, 1)],
)
def test_blocks(sizes: list[int], leaves: int, blocks: int) -> None:
    assert count_blocks(sizes, leaves) == blocks
