from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from mmq.errors import DataError, SettingsError
from mmq.metrics.resampling import (
    PerUser,
    bootstrap_interval,
    over_seeds,
    paired_by_user,
    paired_t_test,
)

FIGURES = st.floats(0, 1).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=2, max_size=40))
def test_paired_t_test_agrees_with_scipy(pairs) -> None:
    first, second = np.array(pairs).T
    result = paired_t_test(first, second)
    assert result.difference == pytest.approx((first - second).mean(), abs=1e-15)
    if np.ptp(first - second) > 1e-9:  # scipy has no answer where nothing varies
        expected = stats.ttest_rel(first, second)
        assert result.t == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        interval = expected.confidence_interval(0.95)
        assert result.low == pytest.approx(interval.low, rel=1e-9, abs=1e-12)
        assert result.high == pytest.approx(interval.high, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 31, 1000, 22_363, 1_000_000])
@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0, 12.0, 35.0])
def test_p_values_are_precise_for_few_and_many_pairs(n: int, shift: float) -> None:
    """``shift`` in standard errors: p from 1 to 1e-260."""
    noise = np.random.default_rng(n).normal(size=n)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    first = noise + shift / math.sqrt(n)
    result = paired_t_test(first, np.zeros(n))
    assert result.t == pytest.approx(shift, abs=1e-9)
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(result.t), n - 1), rel=1e-7)
    margin = stats.t.ppf(0.975, n - 1) / math.sqrt(n)
    assert result.high - result.difference == pytest.approx(margin, rel=1e-7)
    assert result.difference - result.low == pytest.approx(margin, rel=1e-7)
    assert result.pairs == n


@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=2, max_size=20))
def test_swapping_the_systems_turns_the_sign(pairs) -> None:
    first, second = np.array(pairs).T
    there, back = paired_t_test(first, second), paired_t_test(second, first)
    assert (there.difference, there.t) == (-back.difference, -back.t)
    assert there.p_value == back.p_value
    assert 0 <= there.p_value <= 1


def test_differences_that_do_not_vary() -> None:
    ones = np.ones(4)
    assert paired_t_test(ones, ones) == (0.0, 0.0, 1.0, 0.0, 0.0, 4)
    assert paired_t_test(ones, ones * 2) == (-1.0, -math.inf, 0.0, -1.0, -1.0, 4)


def of(**figures: float) -> PerUser:
    return PerUser(np.array(list(figures)), np.array(list(figures.values())))


def test_errors_of_users_and_of_seeds_add_up() -> None:
    runs = [
        (of(ann=1.0, bob=0.5, eve=0.25), of(bob=0.0, ann=0.5, joe=1.0)),
        (of(bob=0.75, kim=0.0), of(kim=1.0, bob=0.0)),
    ]
    users = [0.5, (0.5 + 0.75) / 2, -1.0]  # of ann, bob, kim
    seeds = [(0.5 + 0.5) / 2, (0.75 - 1.0) / 2]
    variances = [statistics.variance(each) / len(each) for each in (users, seeds)]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 1)
    mean, error = statistics.mean(users), math.sqrt(sum(variances))
    found = paired_by_user(runs)
    assert found.difference == pytest.approx(mean)
    assert found.t == pytest.approx(mean / error)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(mean) / error, freedom))
    margin = error * stats.t.ppf(0.975, freedom)
    assert (found.low, found.high) == pytest.approx((mean - margin, mean + margin))
    assert found.pairs == 3


def test_a_seed_that_stands_out_leaves_a_method_undecided() -> None:
    """A gain of one seed of three is none of the method, however many users there are."""
    rng, users = np.random.default_rng(0), np.arange(5000)
    gains = [np.full(5000, gain) + 0.01 * rng.normal(size=5000) for gain in (0.3, 0.0, 0.0)]
    runs = [(PerUser(users, each), PerUser(users, np.zeros(5000))) for each in gains]
    assert paired_t_test(sum(gains), np.zeros(5000)).p_value < 1e-12
    assert paired_by_user(runs).p_value > 0.3


def test_p_values_of_equal_methods_are_seldom_small() -> None:
    rng, users = np.random.default_rng(1), np.arange(200)
    small = 0
    for _ in range(400):
        seeds = rng.normal(size=3) * 0.05
        common = rng.normal(size=200) * 0.3
        runs = [
            (PerUser(users, common + seed + rng.normal(size=200)), PerUser(users, np.zeros(200)))
            for seed in seeds
        ]
        small += paired_by_user(runs).p_value < 0.05
    assert small < 0.07 * 400


def test_users_and_seeds_that_are_too_few() -> None:
    one, two = (of(ann=1.0, bob=0.5), of(ann=0.5, bob=0.0)), (of(joe=1.0), of(kim=1.0))
    for runs, match in (([], "0 seeds"), ([one], "1 seeds"), ([one, two], "1 seeds")):
        with pytest.raises(DataError, match=match):
            paired_by_user(runs)
    alone = (of(ann=1.0), of(ann=0.5, bob=0.0))
    with pytest.raises(DataError, match="at least 2"):
        paired_by_user([alone, alone])


def test_p_values_are_uniform_where_systems_are_equal() -> None:
    rng = np.random.default_rng(5)
    p = [paired_t_test(*rng.normal(size=(2, 6))).p_value for _ in range(2000)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("n", [1, 7, 1500])
def test_bootstrap_against_a_loop(n: int) -> None:
    """Same draws, one at a time: the blocks change nothing."""
    values = np.random.default_rng(0).random(n)
    rng = np.random.default_rng(1)
    means = [statistics.fmean(values[rng.integers(0, n, n)]) for _ in range(500)]
    mean, low, high = bootstrap_interval(values, np.random.default_rng(1), 0.8, 500)
    assert mean == pytest.approx(statistics.fmean(values))
    assert low == pytest.approx(np.quantile(means, 0.1))
    assert high == pytest.approx(np.quantile(means, 0.9))


def test_bootstrap_of_many_users_is_the_normal_interval() -> None:
    hits = (np.random.default_rng(2).random(20_000) < 0.1).astype(np.float32)
    mean, low, high = bootstrap_interval(hits, np.random.default_rng(3), resamples=1000)
    margin = 1.96 * math.sqrt(mean * (1 - mean) / len(hits))
    assert high - mean == pytest.approx(margin, rel=0.15)
    assert mean - low == pytest.approx(margin, rel=0.15)


def test_bootstrap_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    intervals = [bootstrap_interval(rng.normal(size=80), rng, 0.9, 200) for _ in range(400)]
    share = np.mean([low <= 0 <= high for _, low, high in intervals])
    assert 0.85 < share < 0.94  # 0.9 with a sd of 0.015, less some for the resamples


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=FIGURES), st.integers(0, 9))
def test_bootstrap_stays_within_the_values_and_follows_its_seed(values, seed: int) -> None:
    once = bootstrap_interval(values, np.random.default_rng(seed), resamples=50)
    again = bootstrap_interval(values, np.random.default_rng(seed), resamples=50)
    assert once == again
    assert values.min() - 1e-12 <= once.low <= once.high <= values.max() + 1e-12


def test_over_seeds() -> None:
    runs = [{"recall@5": value, "ndcg@5": value / 2} for value in (0.1, 0.4, 0.3)]
    spread = over_seeds(runs)
    assert list(spread) == ["recall@5", "ndcg@5"]
    assert spread["recall@5"].mean == pytest.approx(statistics.fmean([0.1, 0.4, 0.3]))
    assert spread["ndcg@5"].sd == pytest.approx(statistics.stdev([0.05, 0.2, 0.15]))
    alone = over_seeds(runs[:1])["recall@5"]
    assert alone.mean == 0.1
    assert math.isnan(alone.sd)


def test_what_cannot_be_tested() -> None:
    rng, values = np.random.default_rng(0), np.arange(4.0)
    with pytest.raises(DataError, match="on the same users"):
        paired_t_test(values, values[1:])
    with pytest.raises(DataError, match="at least 2"):
        paired_t_test(values[:1], values[:1])
    with pytest.raises(DataError, match="at least 1"):
        bootstrap_interval(values[:0], rng)
    for call in (paired_t_test, lambda one, _: bootstrap_interval(one, rng)):
        with pytest.raises(DataError, match="NaN"):
            call(np.array([1.0, math.nan]), values[:2])
    for level, resamples in ((0.0, 10), (95, 10), (0.9, 0)):
        with pytest.raises(SettingsError, match=r"such as 0\.95,"):
            bootstrap_interval(values, rng, level, resamples)
