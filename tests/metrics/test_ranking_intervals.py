import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import DataError
from mmq.metrics.ranking import auc, user_aucs
from mmq.metrics.ranking_intervals import auc_interval, gauc_interval


def impressions(users=50, rows=1000, seed=0, strength=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    scores = (labels * strength + rng.normal(size=rows)).round(1)  # many ties
    return rng.integers(0, users, rows), labels, scores


class Fixed:
    """A source of randomness that is known beforehand."""

    def __init__(self, draws):
        self.draws = iter(draws)

    def integers(self, high, size):
        drawn = next(self.draws)
        assert len(drawn) == size
        assert drawn.max() < high
        return drawn


@given(st.integers(0, 10**6))
def test_a_resample_is_that_of_users_with_all_their_rows(seed):
    """Against the AUC of rows that are written out as often as their user was drawn."""
    rng = np.random.default_rng(seed)
    users, labels = rng.integers(0, 4, 30) * 10, rng.integers(0, 2, 30)
    labels[:4], users[:4] = [0, 1, 0, 1], [0, 0, 10, 20]
    scores = rng.integers(0, 5, 30) / 4
    known = np.unique(users)
    drawn = rng.integers(0, len(known), len(known))
    rows = np.concatenate([np.flatnonzero(users == known[number]) for number in drawn])
    if len(set(labels[rows])) < 2:
        return
    found = auc_interval(users, labels, scores, Fixed([drawn]), resamples=1)
    assert found.mean == pytest.approx(auc(labels, scores), abs=1e-12)
    expected = auc(labels[rows], scores[rows])
    assert found[1:] == pytest.approx((expected, expected), abs=1e-12)


def test_a_resample_of_gauc_is_that_of_eligible_users():
    found = user_aucs(*impressions(users=5, rows=40))
    drawn = np.array([0, 0, 3, 4, 1])
    expected = np.average(found.auc[drawn], weights=found.rows[drawn])
    low, high = gauc_interval(found, Fixed([drawn]), resamples=1)[1:]
    assert low == high == pytest.approx(expected, abs=1e-12)
    assert gauc_interval(found, np.random.default_rng(0)).mean == found.weighted


def test_the_same_seed_gives_the_same_ends():
    users, labels, scores = impressions()
    found = user_aucs(users, labels, scores)
    for make in (
        lambda rng: auc_interval(users, labels, scores, rng),
        lambda rng: gauc_interval(found, rng),
    ):
        one, again, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert one == again
        assert one != other
        assert one.mean == other.mean
        assert one[1] < one.mean < one[2]


def test_a_higher_level_is_wider_and_more_rows_are_narrower():
    users, labels, scores = impressions()

    def width(level=0.95, rows=1000):
        some = (each[:rows] for each in (users, labels, scores))
        found = auc_interval(*some, np.random.default_rng(0), level)
        return found[2] - found[1]

    assert width(0.5) < width(0.8) < width(0.99)
    assert width() < width(rows=200)


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_ends_are_quantiles_of_the_resamples(level):
    users, labels, scores = impressions(users=6, rows=80)
    found = user_aucs(users, labels, scores)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 6, 6) for _ in range(21)]
    ends = [(1 - level) / 2, (1 + level) / 2]
    for make in (
        lambda some: auc_interval(users, labels, scores, Fixed(some), level, len(some)),
        lambda some: gauc_interval(found, Fixed(some), level, len(some)),
    ):
        figures = [make([drawn]).low for drawn in draws]
        assert make(draws)[1:] == pytest.approx(np.quantile(figures, ends), abs=1e-12)


def test_users_who_are_alike_make_it_wide():
    """Rows of one user are not independent: ten copies of each row tell nothing new."""
    users, labels, scores = impressions(users=200, rows=200, strength=0.5)
    many = [np.repeat(each, 10) for each in (users, labels, scores)]
    one, other = (
        auc_interval(*each, np.random.default_rng(0)) for each in ((users, labels, scores), many)
    )
    assert one == pytest.approx(other, abs=1e-12)


def test_it_holds_the_truth_as_often_as_it_says():
    truth = auc(*impressions(rows=200_000, seed=99)[1:])
    inside = 0
    for seed in range(60):
        users, labels, scores = impressions(rows=300, seed=seed)
        found = auc_interval(users, labels, scores, np.random.default_rng(seed), 0.8, 100)
        inside += found[1] <= truth <= found[2]
    assert 38 <= inside <= 57  # 48 of 60, give or take three standard deviations


def test_user_numbers_have_no_meaning():
    users, labels, scores = impressions(users=6)
    known = np.array([-5, 3, 10, 2**40, 2**50, 2**60])
    one, other = (
        auc_interval(each, labels, scores, np.random.default_rng(0))
        for each in (users, known[users])
    )
    assert one == other


def test_a_resample_without_both_labels_is_left_out():
    users, labels, scores = np.array([0, 1, 1]), np.array([1, 1, 0]), np.array([0.5, 0.7, 0.1])
    draws = [np.array([0, 0]), np.array([1, 1]), np.array([0, 1])]
    found = auc_interval(users, labels, scores, Fixed(draws), resamples=3)
    assert found == pytest.approx((1.0, 1.0, 1.0))


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="label 2"):
        auc_interval(np.arange(2), np.array([0, 2]), np.arange(2.0), np.random.default_rng(0))
    with pytest.raises(DataError, match="different lengths"):
        auc_interval(np.arange(2), np.array([0, 1]), np.arange(3.0), np.random.default_rng(0))


def test_no_eligible_user_has_no_interval() -> None:
    found = user_aucs(np.arange(6), np.arange(6) % 2, np.arange(6.0))
    assert np.isnan(gauc_interval(found, np.random.default_rng(0))).all()
