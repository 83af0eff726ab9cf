from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mmq.errors import DataError, SettingsError
from mmq.metrics.calibration import calibration, log_loss

PROBABILITIES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-20, 1 - 1e-16]))
ROWS = st.lists(st.tuples(st.integers(0, 1), PROBABILITIES), min_size=1, max_size=60)


def columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = zip(*rows, strict=True)
    return np.array(labels), np.array(probabilities, np.float64)


def plain_bins(rows: list[tuple[int, float]], bins: int) -> list[tuple[float, float, int]]:
    """Mean prediction, share of label 1 and rows of each bin; equal predictions stay together."""
    ordered = sorted(probability for _, probability in rows)
    members: dict[int, list[tuple[int, float]]] = {}
    for label, probability in rows:
        first = ordered.index(probability)
        middle = first + ordered.count(probability) / 2
        members.setdefault(int(middle * bins / len(rows)), []).append((label, probability))
    return [
        (
            math.fsum(probability for _, probability in members[bin]) / len(members[bin]),
            sum(label for label, _ in members[bin]) / len(members[bin]),
            len(members[bin]),
        )
        for bin in sorted(members)
    ]


@given(ROWS)
def test_log_loss_agrees_with_a_loop(rows) -> None:
    eps = 2.0**-52
    costs = [-math.log(min(max(p if label else 1 - p, eps), 1 - eps)) for label, p in rows]
    assert log_loss(*columns(rows)) == pytest.approx(math.fsum(costs) / len(rows), abs=1e-12)


@pytest.mark.parametrize("sharpness", [1.0, 10.0, 100.0])
def test_log_loss_agrees_with_scikit_learn(sharpness: float) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 5000)
    p = 1 / (1 + np.exp(-sharpness * rng.normal(size=5000)))
    assert log_loss(labels, p) == pytest.approx(metrics.log_loss(labels, p), abs=1e-9)


def test_sure_and_wrong_costs_36_nats() -> None:
    for dtype in (np.float64, np.float32, np.int8):
        loss = log_loss(np.array([0, 1]), np.array([1, 0], dtype))
        assert loss == pytest.approx(52 * math.log(2))
    assert log_loss(np.array([0, 1]), np.array([0, 1])) == pytest.approx(0, abs=1e-15)


@given(ROWS, st.integers(1, 12))
def test_bins_agree_with_a_loop(rows, bins: int) -> None:
    found, plain = calibration(*columns(rows), bins), plain_bins(rows, bins)
    for mine, theirs in zip(found, zip(*plain, strict=True), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    gaps = [abs(predicted - observed) * count for predicted, observed, count in plain]
    assert found.expected_error == pytest.approx(math.fsum(gaps) / len(rows), abs=1e-12)
    assert len(found.rows) <= bins
    assert found.rows.sum() == len(rows)


@given(ROWS, st.randoms(), st.integers(1, 12))
def test_the_order_of_rows_does_not_count(rows, random, bins: int) -> None:
    found = calibration(*columns(rows), bins)
    shuffled = calibration(*columns(random.sample(rows, len(rows))), bins)
    for first, second in zip(found, shuffled, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("rows", [10, 97, 1000, 12_345])
def test_bins_of_distinct_predictions_have_equal_counts(rows: int) -> None:
    rng = np.random.default_rng(rows)
    found = calibration(rng.integers(0, 2, rows), rng.permutation(rows) / rows)
    assert len(found.rows) == 10
    assert found.rows.max() - found.rows.min() <= 1
    assert (np.diff(found.predicted) > 0).all()


def test_equal_predictions_are_not_parted() -> None:
    labels = np.array([1, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    probabilities = np.array([0.1] * 6 + [0.2, 0.3, 0.4, 0.5])
    found = calibration(labels, probabilities, bins=5)
    assert found.rows.tolist() == [6, 2, 2]
    np.testing.assert_allclose(found.predicted, [0.1, 0.25, 0.45])
    np.testing.assert_allclose(found.observed, [1 / 6, 1, 1])


def test_figures_of_a_calibrated_model_and_of_one_that_says_twice_as_much() -> None:
    rng = np.random.default_rng(4)
    chance = rng.uniform(0, 0.5, 200_000)
    labels = rng.random(200_000) < chance
    right, twice = calibration(labels, chance), calibration(labels, 2 * chance)
    assert right.expected_error < 0.005
    assert right.ratio == pytest.approx(1, abs=0.01)
    assert twice.expected_error == pytest.approx(0.25, abs=0.005)
    assert twice.ratio == pytest.approx(2 * right.ratio)


def test_ratio_without_clicks() -> None:
    nothing = np.zeros(4, int)
    assert calibration(nothing, np.array([0.1, 0.2, 0.3, 0.0])).ratio == math.inf
    assert calibration(nothing, np.zeros(4)).ratio == 1


LABELS, GOOD = np.array([0, 1, 1, 0]), np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("evaluate", [log_loss, calibration])
@pytest.mark.parametrize(
    ("labels", "probabilities", "sentence"),
    [
        (LABELS, GOOD[:2], "the columns have different lengths: {'label': 4, 'probability': 2}; "),
        (LABELS, GOOD[:, None], r"the probability column has the shape \(4, 1\); give one value"),
        (LABELS + 1, GOOD, r"row 1 has the label 2 \(2 such rows\)"),
        (LABELS, 4 * GOOD, r"row 2 has the probability 1.2\d* \(2 such rows\); probabilities are"),
        (LABELS, GOOD - 0.2, r"row 0 has the probability -0.1 \(1 such rows\); .* a sigmoid$"),
        (LABELS, GOOD * np.nan, r"row 0 has the probability nan \(4 such rows\); train the model"),
        (LABELS, GOOD.astype(str), "the probability column is of type <U32; give numbers"),
        (LABELS[:0], GOOD[:0], "there are no rows to evaluate; give at least one$"),
    ],
)
def test_rows_that_cannot_be_evaluated(evaluate, labels, probabilities, sentence: str) -> None:
    with pytest.raises(DataError, match=f"^{sentence}"):
        evaluate(labels, probabilities)


def test_no_bins() -> None:
    with pytest.raises(SettingsError, match=r"^0 bins cannot hold the predictions; give at least"):
        calibration(LABELS, GOOD, bins=0)
