"""Where a ranker stands beside means on the same impressions, in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmq.metrics.ranking_intervals import Difference, auc_difference, gauc_difference
from mmq.metrics.standing import Standing
from mmq.ranking._data import RankingData
from mmq.ranking._evaluation import RankingEvaluation, evaluate_ranking
from mmq.ranking._impressions import Impressions
from mmq.ranking._means import Means


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
            stands = Standing.of(own, theirs, difference.mean, difference.p_value)
            clauses.append(f"{stands.word} means in {title} ({stands.figures} on {name})")
            signs.append(stands.sign)
    sentence = ", ".join(clauses)
    if min(signs) <= 0:
        sentence += ": lower learning_rate or raise dropout, give --ids or columns, or use means"
    return Beside(other, rows, within, sentence)
