from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mmq.errors import DataError, DivergedError, SettingsError
from mmq.metrics import retrieval
from mmq.metrics.buckets import bucket_ids
from mmq.metrics.retrieval import (
    Ranks,
    check_gain_law,
    count_ranks,
    coverage,
    expected_ndcg,
    expected_recall,
    exposure_gini,
    first_hit_figures,
    retrieval_figures,
    user_figures,
)

CUTOFFS = st.lists(st.integers(1, 30), min_size=1, max_size=4)
PLACES = st.lists(st.tuples(st.integers(0, 25), st.integers(1, 12)), min_size=1, max_size=40)


def ranks_of(pairs: list[tuple[int, int]]) -> Ranks:
    above, tied = np.array(pairs).T
    return Ranks(above, tied)


def orderings(scores: list[float]) -> list[list[int]]:
    """All lists of the items that descend in score, each as often as any other."""
    items = range(len(scores))
    return [sorted(order, key=lambda item: -scores[item]) for order in permutations(items)]


def plain_figures(order: list[int], targets: set[int], k: int) -> tuple[float, float, float]:
    """Recall by all targets, recall by those that fit, and NDCG of one list."""
    hits = [place for place, item in enumerate(order[:k]) if item in targets]
    fitting = min(k, len(targets))
    ideal = sum(1 / math.log2(place + 2) for place in range(fitting))
    gain = sum(1 / math.log2(place + 2) for place in hits)
    return len(hits) / len(targets), len(hits) / fitting, gain / ideal


@st.composite
def shops(draw: st.DrawFn) -> tuple[list[float], list[int], set[int]]:
    """Scores of a few items, the items that are candidates, and the targets among these."""
    scores = draw(st.lists(st.sampled_from([0.0, 0.5, 2.0, -math.inf]), min_size=1, max_size=7))
    numbers = st.sets(st.integers(0, len(scores) - 1), min_size=1)
    allowed = sorted(draw(numbers.filter(lambda some: len(some) <= 5)))
    return scores, allowed, draw(st.sets(st.sampled_from(allowed), min_size=1))


@given(shops(), st.integers(1, 7))
def test_expected_figures_are_means_over_all_ways_to_break_ties(shop, k: int) -> None:
    scores, allowed, targets = shop
    mask = np.isin(np.arange(len(scores)), allowed)
    rows = np.tile(np.array(scores), (len(targets), 1))
    ranks = Ranks.of(rows, np.array(sorted(targets)), mask)

    orders = [
        [allowed[place] for place in order]
        for order in orderings([scores[item] for item in allowed])
    ]
    for number, target in enumerate(sorted(targets)):
        recall, _, ndcg = np.mean([plain_figures(o, {target}, k) for o in orders], axis=0)
        assert expected_recall(ranks, k)[number] == pytest.approx(recall)
        assert expected_ndcg(ranks, k)[number] == pytest.approx(ndcg)

    together = np.mean([plain_figures(order, targets, k) for order in orders], axis=0)
    users = np.full(len(targets), 7)
    by_all = user_figures(ranks, [k], users)
    by_fitting = user_figures(ranks, [k], users, "reachable")
    assert by_all[f"recall@{k}"] == pytest.approx(together[0])
    assert by_fitting[f"recall@{k}"] == pytest.approx(together[1])
    assert by_all[f"ndcg@{k}"] == by_fitting[f"ndcg@{k}"] == pytest.approx(together[2])

    first = first_hit_figures(ranks, [k], users)
    best = [min(place for place, item in enumerate(o) if item in targets) for o in orders]
    hits = [place < k for place in best]
    assert first[f"hit@{k}"] == pytest.approx(np.mean(hits))
    gained = [hit / (place + 1) for hit, place in zip(hits, best, strict=True)]
    assert first[f"mrr@{k}"] == pytest.approx(np.mean(gained))


@given(st.lists(st.integers(0, 40), min_size=1), st.integers(1, 30))
def test_without_ties_the_figures_are_the_ordinary_ones(places: list[int], k: int) -> None:
    ranks = ranks_of([(place, 1) for place in places])
    assert expected_recall(ranks, k).tolist() == [float(place < k) for place in places]
    gains = [1 / math.log2(place + 2) if place < k else 0.0 for place in places]
    assert expected_ndcg(ranks, k) == pytest.approx(gains, rel=1e-12)


@given(PLACES, st.integers(1, 30))
def test_expected_lies_between_best_and_worst_and_grows_with_the_cutoff(pairs, k: int) -> None:
    ranks = ranks_of(pairs)
    best = Ranks(ranks.above, np.ones_like(ranks.tied))
    worst = Ranks(ranks.above + ranks.tied - 1, np.ones_like(ranks.tied))
    for figure in (expected_recall, expected_ndcg):
        value = figure(ranks, k)
        assert (figure(worst, k) <= value + 1e-12).all()
        assert (value <= figure(best, k) + 1e-12).all()
        assert (value <= figure(ranks, k + 1) + 1e-12).all()


@given(PLACES, CUTOFFS, st.data())
def test_first_hits_of_many_users(pairs, cutoffs: list[int], data: st.DataObject) -> None:
    """Users do not disturb one another, and one target a user makes the hit rate the recall."""
    ranks = ranks_of(pairs)
    alone = first_hit_figures(ranks, cutoffs)
    for cutoff in cutoffs:
        assert alone[f"hit@{cutoff}"] == pytest.approx(expected_recall(ranks, cutoff))
    order = np.array(data.draw(st.permutations(range(len(pairs)))))
    shuffled = first_hit_figures(Ranks(ranks.above[order], ranks.tied[order]), cutoffs)
    for name, values in alone.items():
        assert shuffled[name] == pytest.approx(values[order])


@given(PLACES, CUTOFFS, st.data())
def test_means_of_many_users(pairs, cutoffs: list[int], data: st.DataObject) -> None:
    """Users in any order, several targets each, that rank in one list: places all differ."""
    places = np.random.default_rng(len(pairs)).permutation(len(pairs) * 2)[: len(pairs)]
    users = data.draw(st.lists(st.integers(-2, 3), min_size=len(pairs), max_size=len(pairs)))
    ranks = Ranks(places, np.ones_like(places))
    each = user_figures(ranks, cutoffs, np.array(users))
    for k in cutoffs:
        plain = []
        for user in sorted(set(users)):
            own = {int(p) for p, u in zip(places, users, strict=True) if u == user}
            plain.append(plain_figures(list(range(len(pairs) * 2)), own, k))
        assert each[f"recall@{k}"] == pytest.approx([figures[0] for figures in plain])
        assert each[f"ndcg@{k}"] == pytest.approx([figures[2] for figures in plain])
    figures = retrieval_figures(ranks, cutoffs, np.array(users))
    assert figures == {name: pytest.approx(values.mean()) for name, values in each.items()}


@given(PLACES, CUTOFFS)
def test_one_target_a_user_is_the_plain_mean_and_keeps_the_law(pairs, cutoffs: list[int]) -> None:
    ranks = ranks_of(pairs)
    figures = retrieval_figures(ranks, cutoffs)  # checks the law itself
    check_gain_law(figures, cutoffs)
    shuffled = np.random.default_rng(0).permutation(len(pairs))
    assert retrieval_figures(ranks, cutoffs, shuffled) == pytest.approx(figures)
    for k in cutoffs:
        assert figures[f"recall@{k}"] == pytest.approx(expected_recall(ranks, k).mean())
        assert figures[f"ndcg@{k}"] == pytest.approx(expected_ndcg(ranks, k).mean())


@given(PLACES, st.sampled_from([math.log2(math.e), math.log2(10)]))
def test_the_law_finds_gains_of_another_logarithm(pairs, factor: float) -> None:
    """NDCG by natural or common logarithms is a constant factor too high."""
    ranks = ranks_of([(above // 5 * 5, 1) for above, _ in pairs])
    figures = retrieval_figures(ranks)
    assume(figures["recall@5"] > 0)
    figures = {name: value * (factor if "ndcg" in name else 1.0) for name, value in figures.items()}
    with pytest.raises(AssertionError, match="from cutoff 0 to 5 recall grows by"):
        check_gain_law(figures, (5, 10))


def test_the_law_holds_between_cutoffs() -> None:
    """The published Beauty figures that cannot be those of one ranking: (N10 - N5)/(R10 - R5)."""
    possible = {"recall@5": 0.04, "ndcg@5": 0.028, "recall@10": 0.06, "ndcg@10": 0.034}
    check_gain_law(possible, (10, 5))
    for wrong in (0.028 + 0.02 * 0.36, 0.028 + 0.02 * 0.285):
        with pytest.raises(AssertionError, match="from cutoff 5 to 10"):
            check_gain_law(possible | {"ndcg@10": wrong}, (5, 10))


def test_retrieval_figures_check_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = ranks_of([(6, 1), (0, 1)])
    by_nature = expected_ndcg(ranks, 5) / 2
    monkeypatch.setattr(retrieval, "expected_ndcg", lambda ranks, cutoff: by_nature)
    with pytest.raises(AssertionError, match="from cutoff 5 to 10"):
        retrieval_figures(ranks)
    assert retrieval_figures(ranks, users=np.array([3, 3]))["ndcg@5"] < 1  # no law for several


def test_targets_that_cannot_share_one_list_are_noticed() -> None:
    with pytest.raises(AssertionError, match="do not rank in one list"):
        user_figures(ranks_of([(0, 1), (0, 1)]), (1,), np.array([4, 4]))


def test_id_level_counts_distinct_ids() -> None:
    codes = np.array([[0, 1], [3, 3], [0, 1], [2, 0], [2, 0], [2, 0]])
    scores = np.array([0.9, 0.5, 0.9, 0.7, 0.7, 0.7])
    buckets = bucket_ids(codes)
    by_id = np.zeros(buckets.max() + 1)
    by_id[buckets] = scores
    target = np.array([1])
    items = Ranks.of(scores[None], target)
    ids = Ranks.of(by_id[None], buckets[target])
    assert (items.above.item(), items.tied.item()) == (5, 1)
    assert (ids.above.item(), ids.tied.item()) == (2, 1)
    assert retrieval_figures(items)["recall@5"] == 0
    assert retrieval_figures(ids)["ndcg@5"] == pytest.approx(0.5)


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**32 - 1), st.booleans())
def test_counts_agree_with_a_loop_and_with_tensors(
    b: int, items: int, seed: int, masked: bool
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (b, items)).astype(np.float32)
    targets = rng.integers(0, items, b)
    candidates = rng.random((b, items)) < 0.6 if masked else np.ones((b, items), bool)
    candidates[np.arange(b), targets] = True
    ranks = Ranks.of(scores, targets, candidates if masked else None)
    for row, target in enumerate(targets):
        rivals = scores[row][candidates[row]]
        assert ranks.above[row] == sum(rivals > scores[row, target])
        assert ranks.tied[row] == sum(rivals == scores[row, target])
    tensor = torch.from_numpy(scores)
    own = tensor.gather(1, torch.from_numpy(targets)[:, None])
    above, tied = count_ranks(tensor, own, torch.from_numpy(candidates) if masked else None)
    assert above.tolist() == ranks.above.tolist()
    assert tied.tolist() == ranks.tied.tolist()
    joined = Ranks.join([ranks, ranks])
    assert joined.above.tolist() == ranks.above.tolist() * 2
    assert joined.tied.tolist() == ranks.tied.tolist() * 2
    assert len(joined) == 2 * b


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_of_a_diverged_model(bad: float) -> None:
    with pytest.raises(DivergedError, match="diverged"):
        Ranks.of(np.array([[0.1, -math.inf], [bad, 0.2]]), np.array([0, 1]))


def test_nan_counts_never_pass_for_ranks() -> None:
    scores = np.array([[math.nan, 1.0]])
    with pytest.raises(AssertionError, match="NaN"):
        Ranks(*count_ranks(scores, scores[:, :1]))


def test_a_target_that_is_no_candidate() -> None:
    mask = np.array([[True, True], [True, False], [True, False]])
    with pytest.raises(DataError, match=r"row 1 is not among its candidates \(2 such rows\)"):
        Ranks.of(np.zeros((3, 2)), np.array([0, 1, 1]), mask)
    with pytest.raises(AssertionError, match="other end"):
        Ranks.of(np.zeros((1, 2)), np.array([-1]))


def test_settings_that_make_no_sense() -> None:
    ranks = ranks_of([(0, 1)])
    for cutoffs in ((), (0, 5)):
        with pytest.raises(SettingsError, match="whole numbers from 1 on"):
            retrieval_figures(ranks, cutoffs)
    with pytest.raises(SettingsError, match="'hits' is not known"):
        retrieval_figures(ranks, recall_denominator="hits")  # type: ignore[arg-type]
    empty = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="no targets"):
        retrieval_figures(Ranks(empty, empty))


@given(st.lists(st.lists(st.integers(-1, 5), min_size=3, max_size=3), min_size=1, max_size=8))
def test_coverage_and_gini_agree_with_a_loop(lists: list[list[int]]) -> None:
    shown = [item for row in lists for item in row if item >= 0]
    assert coverage(np.array(lists), 9) == pytest.approx(len(set(shown)) / 9)
    counts = [shown.count(item) for item in range(9)]
    apart = sum(abs(one - other) for one in counts for other in counts)
    expected = apart / (2 * 9 * len(shown)) if shown else 0.0
    assert exposure_gini(np.array(lists), 9) == pytest.approx(expected)
