"""How sure AUC and GAUC are: bootstrap over users, whose rows are not independent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmq.metrics.ranking import UserAUCs, check_scored
from mmq.metrics.resampling import Interval


def auc_interval(
    users: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 200,
) -> Interval:
    """Percentile bootstrap interval of the AUC of all rows; users are drawn, with all their rows.

    Args:
        users: ``(rows,)`` any integers.
        labels: ``(rows,)`` 0 or 1.
        scores: ``(rows,)``.
        rng: draws the resamples.
        level: share of the resampled figures that lie within.
        resamples: of as many users as there are, with replacement.
    """
    weighted = WeightedAUC(users, labels, scores)
    drawn = [weighted(weights) for weights in _user_weights(weighted.users, rng, resamples)]
    return Interval(weighted(np.ones(weighted.users)), *_ends(np.array(drawn), level))


def auc_difference(
    users: np.ndarray,
    labels: np.ndarray,
    scores: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    resamples: int = 200,
) -> Difference:
    """By how much the first AUC of all rows is above the second; users are drawn, as above.

    Args:
        users: ``(rows,)`` any integers.
        labels: ``(rows,)`` 0 or 1.
        scores: two times ``(rows,)``.
        rng: draws the resamples, the same for both.
        resamples: of as many users as there are, with replacement.
    """
    one, other = (WeightedAUC(users, labels, each) for each in scores)
    drawn = [one(w) - other(w) for w in _user_weights(one.users, rng, resamples)]
    everyone = np.ones(one.users)
    return Difference.of(one(everyone) - other(everyone), np.array(drawn))


def gauc_difference(
    found: tuple[UserAUCs, UserAUCs], rng: np.random.Generator, resamples: int = 1000
) -> Difference:
    """By how much the first GAUC is above the second; both are of the same rows."""
    one, other = found
    if not len(one.auc):
        return Difference(np.nan, np.nan)
    rows = one.rows.astype(np.float64)
    gained = (one.auc - other.auc) * rows
    count = len(rows)
    drawn = np.empty(resamples)
    for number in range(resamples):
        some = rng.integers(count, size=count)
        drawn[number] = gained[some].sum() / rows[some].sum()
    return Difference.of(float(gained.sum() / rows.sum()), drawn)


class Difference(NamedTuple):
    """Of two rankers on the same rows.

    Attributes:
        mean: first - second; NaN where neither can be had.
        p_value: two-sided, by bootstrap: no less than one over the resamples.
    """

    mean: float
    p_value: float

    @classmethod
    def of(cls, mean: float, drawn: np.ndarray) -> Difference:
        """Of a difference and those of resamples."""
        known = drawn[~np.isnan(drawn)]
        beyond = min((known <= 0).sum(), (known >= 0).sum()) + 1
        return cls(mean, min(1.0, 2 * float(beyond) / (len(known) + 1)))


class WeightedAUC:
    """The AUC of all rows, each weighed as its user is; see :func:`auc_interval`."""

    def __init__(self, users: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> None:
        check_scored(labels, scores)
        numbers = np.unique(users, return_inverse=True)[1]
        order = np.argsort(scores)
        ordered = np.asarray(scores)[order]
        self.users = int(numbers.max()) + 1
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._liked, self._who = np.asarray(labels)[order] == 1, numbers[order]

    def __call__(self, weights: np.ndarray) -> float:
        """With ``(users,)`` weights; NaN where all that count have one label."""
        rows = weights[self._who].astype(np.float64)
        positive = np.add.reduceat(np.where(self._liked, rows, 0.0), self._starts)
        negative = np.add.reduceat(np.where(self._liked, 0.0, rows), self._starts)
        below = np.cumsum(negative) - negative / 2
        pairs = positive.sum() * negative.sum()
        return float(positive @ below / pairs) if pairs else np.nan


def _user_weights(users: int, rng: np.random.Generator, resamples: int) -> Iterator[np.ndarray]:
    """How often each of so many users is drawn, for every resample."""
    for _ in range(resamples):
        yield np.bincount(rng.integers(users, size=users), minlength=users)


def gauc_interval(
    found: UserAUCs, rng: np.random.Generator, level: float = 0.95, resamples: int = 1000
) -> Interval:
    """Percentile bootstrap interval of the weighted GAUC; eligible users are drawn.

    NaN throughout where there are none.
    """
    count = len(found.auc)
    if not count:
        return Interval(found.weighted, np.nan, np.nan)
    gained, rows = found.auc * found.rows, found.rows.astype(np.float64)
    drawn = np.empty(resamples)
    for number in range(resamples):
        some = rng.integers(count, size=count)
        drawn[number] = gained[some].sum() / rows[some].sum()
    return Interval(found.weighted, *_ends(drawn, level))


def _ends(drawn: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
