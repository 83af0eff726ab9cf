"""How sure AUC and GAUC are: bootstrap over users, whose rows are not independent."""

from __future__ import annotations

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
    check_scored(labels, scores)
    numbers = np.unique(users, return_inverse=True)[1]
    order = np.argsort(scores)
    ordered = np.asarray(scores)[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    liked, who = np.asarray(labels)[order] == 1, numbers[order]
    count = int(numbers.max()) + 1

    def figure(weights: np.ndarray) -> float:
        rows = weights[who].astype(np.float64)
        positive = np.add.reduceat(np.where(liked, rows, 0.0), starts)
        negative = np.add.reduceat(np.where(liked, 0.0, rows), starts)
        below = np.cumsum(negative) - negative / 2
        pairs = positive.sum() * negative.sum()
        return float(positive @ below / pairs) if pairs else np.nan

    drawn = [
        figure(np.bincount(rng.integers(count, size=count), minlength=count))
        for _ in range(resamples)
    ]
    return Interval(figure(np.ones(count)), *_ends(np.array(drawn), level))


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
