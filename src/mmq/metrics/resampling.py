"""How sure a mean over users or seeds is: bootstrap intervals and a paired test.

Two fitted models are compared over users: :func:`paired_t_test`. Two methods, each run with several
seeds, are compared over users and seeds: :func:`paired_by_user`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmq.errors import DataError, SettingsError

SIGNIFICANT = 0.05
"""p below which a difference counts; intervals hold the rest of what is likely."""

_BLOCK = 1 << 19  # drawn values at a time: 4 MB of them, 4 MB of their places


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """A test of whether two systems differ.

    Attributes:
        difference: mean of first - second.
        t: the difference over its standard error.
        p_value: two-sided, of Student's t.
        low: of the 95% confidence interval of the difference, of the same t.
        high: its other end.
        pairs: users or seeds that were compared.
    """

    difference: float
    t: float
    p_value: float
    low: float
    high: float
    pairs: int

    @classmethod
    def of(cls, difference: float, error: float, freedom: float, pairs: int) -> PairedTest:
        """Of a difference with its standard error; an error of 0 leaves no doubt."""
        if error == 0:
            t = math.copysign(math.inf, difference) if difference else 0.0
            return cls(difference, t, float(difference == 0), difference, difference, pairs)
        t, margin = difference / error, error * _quantile(1 - SIGNIFICANT, freedom)
        p = _two_sided(t, freedom)
        return cls(difference, t, p, difference - margin, difference + margin, pairs)


class PerUser(NamedTuple):
    """A figure of every user.

    Attributes:
        users: ``(n,)`` ids, each once, in any order.
        figures: ``(n,)``.
    """

    users: np.ndarray
    figures: np.ndarray


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1) over runs; the latter is NaN for a single run."""

    mean: float
    sd: float


def bootstrap_interval(
    values: np.ndarray, rng: np.random.Generator, level: float = 0.95, resamples: int = 1000
) -> Interval:
    """Percentile bootstrap interval of the mean of ``values`` (Efron & Tibshirani 1993, ch. 13).

    Args:
        values: ``(n,)``, a figure of every user.
        rng: draws the resamples.
        level: share of the resampled means that lie within.
        resamples: of n values each, with replacement.

    Raises:
        DataError: there are no values, or one is not finite.
        SettingsError: the level is not between 0 and 1, or there are no resamples.

    >>> hits = np.array([1.0, 0.0, 0.0, 1.0] * 25)
    >>> mean, low, high = bootstrap_interval(hits, np.random.default_rng(0))
    >>> round(low, 2), mean, round(high, 2)
    (0.4, 0.5, 0.59)
    """
    _check_values(values, least=1)
    if not 0 < level < 1 or resamples < 1:
        raise SettingsError(
            f"an interval of level {level} from {resamples} resamples cannot be had; the level "
            "should be between 0 and 1, such as 0.95, of at least one resample"
        )
    n, values = len(values), np.asarray(values, np.float64)
    block = max(1, _BLOCK // n)
    means = np.empty(resamples)
    for start in range(0, resamples, block):
        part = means[start : start + block]
        values.take(rng.integers(0, n, (len(part), n))).mean(axis=1, out=part)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_t_test(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """The paired t-test of two systems measured on the same users, or with the same seeds.

    Args:
        first: ``(n,)`` figures of one system.
        second: ``(n,)`` figures of the other, in the same order. Where all differences are the
            same, t is infinite and p 0; where all are 0, t is 0 and p 1.

    Raises:
        DataError: the two have different lengths, fewer than two values, or one not finite.
    """
    if first.shape != second.shape:
        raise DataError(
            f"one system has {len(first)} figures and the other {len(second)}; "
            "measure both on the same users"
        )
    differences = np.asarray(first - second, np.float64)
    return PairedTest.of(*_mean_and_error(differences), len(differences) - 1, len(differences))


def paired_by_user(runs: Sequence[tuple[PerUser, PerUser]]) -> PairedTest:
    """The paired test of two methods that were both run with several seeds, on many users.

    Another seed would give other weights, other users other figures, and a method is better only if
    it is so beyond both. The squared errors of the mean over users (each with the mean difference
    of the seeds that have him or her) and of the mean over seeds add up; Student's t has the
    degrees of freedom of Satterthwaite (1946). What users and seeds do together is in both, so the
    test errs on the safe side.

    Args:
        runs: for each seed the figures of both methods; users that only one has are left out.

    Raises:
        DataError: fewer than two seeds or users, or a figure that is not finite.
    """
    users, differences = [], []
    for first, second in runs:
        met, a, b = np.intersect1d(
            first.users, second.users, assume_unique=True, return_indices=True
        )
        if len(met):
            users.append(met)
            differences.append(first.figures[a] - second.figures[b])
    if len(users) < 2:
        raise DataError(f"{len(users)} seeds are too few to tell; run both with at least 2")
    place = np.unique(np.concatenate(users), return_inverse=True)[1]
    of_users = np.bincount(place, weights=np.concatenate(differences)) / np.bincount(place)
    of_seeds = np.array([each.mean() for each in differences])
    mean, user_error = _mean_and_error(of_users)
    seed_error = _mean_and_error(of_seeds)[1]
    variances = np.array([user_error, seed_error]) ** 2
    squares = variances**2 / [len(of_users) - 1, len(of_seeds) - 1]
    freedom = float(variances.sum() ** 2 / squares.sum()) if squares.any() else 1.0
    return PairedTest.of(mean, math.sqrt(variances.sum()), freedom, len(of_users))


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Figure -> mean and sd over runs that differ in their seed; all have the same figures.

    >>> over_seeds([{"ndcg@10": 0.25}, {"ndcg@10": 0.5}, {"ndcg@10": 0.75}])
    {'ndcg@10': Spread(mean=0.5, sd=0.25)}
    """
    spreads = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs])
        sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        spreads[name] = Spread(float(values.mean()), sd)
    return spreads


def _mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    """Mean and its standard error."""
    _check_values(differences, least=2)
    n = len(differences)
    return float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)


def _check_values(values: np.ndarray, least: int) -> None:
    if len(values) < least:
        raise DataError(f"{len(values)} figures are too few to tell; give at least {least}")
    if not np.isfinite(values).all():
        raise DataError("a figure is NaN or infinite; leave out what could not be measured")


def _two_sided(t: float, freedom: float) -> float:
    """P(|T| >= |t|) of Student's t: the incomplete beta function I_x(freedom / 2, 1 / 2)."""
    x, complement = freedom / (freedom + t * t), t * t / (freedom + t * t)
    a, b = freedom / 2, 0.5
    if complement == 0:
        return 1.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log(complement) - log_beta)
    if x < (a + 1) / (a + b + 2):
        return front / a * _beta_fraction(a, b, x)
    return 1 - front / b * _beta_fraction(b, a, complement)


@functools.cache
def _quantile(level: float, freedom: float) -> float:
    """t with P(|T| <= t) = level, by bisection."""
    low, high = 0.0, 1.0
    while _two_sided(high, freedom) > 1 - level:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _two_sided(middle, freedom) > 1 - level else (low, middle)
    return high


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), from its far end."""
    value = 1.0
    # it converges in some sqrt(max(a, b)) steps where x is below (a + 1) / (a + b + 2)
    for m in range(30 + int(4 * math.sqrt(max(a, b))), -1, -1):
        even = (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 + odd / (1 + even / value)
    return 1 / value
