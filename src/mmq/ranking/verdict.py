"""Where a ranker stands beside means on the same impressions, in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmq.metrics.ranking_intervals import Difference, auc_difference, gauc_difference
from mmq.metrics.resampling import SIGNIFICANT
from mmq.ranking.data import RankingData
from mmq.ranking.evaluation import RankingEvaluation, evaluate_ranking
from mmq.ranking.impressions import Impressions
from mmq.ranking.means import Means


class Beside(NamedTuple):
    """A ranker beside means.

    Attributes:
        means: what means are worth.
        auc: difference over all rows.
        gauc: difference within users; NaN where it cannot be had.
        sentence: who is ahead, and what to do if it is not the ranker.
    """

    means: RankingEvaluation
    auc: Difference
    gauc: Difference
    sentence: str


def fitted_means(data: RankingData) -> Means:
    """Means, fitted to the training part of a log."""
    means = Means(device="cpu")
    means.fit(data)
    return means


def beside_means(
    found: RankingEvaluation, means: Means, data: RankingData, part: Impressions, name: str
) -> Beside:
    """How a ranker's figures compare with those of means.

    Args:
        found: of the ranker on ``part``.
        means: fitted ones.
        data: the log.
        part: of the log.
        name: what it is called, ``validation`` or ``test``.
    """
    other = evaluate_ranking(means, data, part)
    scores = found.predictions, other.predictions
    labels = np.asarray(part.labels)
    rows = auc_difference(np.asarray(part.users), labels, scores, np.random.default_rng(0))
    within = gauc_difference((found.by_user, other.by_user), np.random.default_rng(0))
    figures = {
        "AUC": (rows, found.figures["auc"], other.figures["auc"]),
        "GAUC": (within, found.figures["gauc"], other.figures["gauc"]),
    }
    clauses, signs = [], []
    for title, (difference, own, theirs) in figures.items():
        if not np.isnan(difference.mean):
            sign = _sign(difference)
            word = {1: "ahead of", 0: "not significantly different from", -1: "behind"}[sign]
            clauses.append(f"{word} means in {title} ({own:.4f} against {theirs:.4f} on {name})")
            signs.append(sign)
    sentence = ", ".join(clauses)
    if min(signs) <= 0:
        sentence += ": lower learning_rate or raise dropout, give --ids or columns, or use means"
    return Beside(other, rows, within, sentence)


def _sign(difference: Difference) -> int:
    if difference.p_value >= SIGNIFICANT:
        return 0
    return 1 if difference.mean > 0 else -1
