"""How well a ranker tells positives: over all impressions, within users, by popularity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmq.metrics.calibration import Calibration, calibration, log_loss
from mmq.metrics.ranking import UserAUCs, auc, popularity_strata, user_aucs
from mmq.ranking._base import Ranker
from mmq.ranking._data import RankingData
from mmq.ranking._impressions import Impressions
from mmq.ranking._survey import PARTS

COLD = 5
"""Items with fewer training impressions are cold."""


class Stratum(NamedTuple):
    """The impressions of some items.

    Attributes:
        items: how many there are.
        rows: their impressions.
        positives: those with label 1.
        auc: over them; None where all have one label.
    """

    items: int
    rows: int
    positives: int
    auc: float | None


class RankingEvaluation(NamedTuple):
    """Figures of some impressions.

    Attributes:
        figures: ``auc``, ``gauc``, ``gauc_unweighted``, ``log_loss``, ``calibration_ratio`` (mean
            prediction over share of positives), ``calibration_error``. The GAUCs are NaN where no
            user has rows of both labels.
        rows: impressions.
        positives: those with label 1.
        by_user: AUC within each user who has rows of both labels.
        calibration: prediction beside outcome.
        strata: by training impressions of the item: ``head`` (the quarter with the most) and
            ``tail`` (the quarter with the fewest) of the items that training saw, ``between``,
            ``cold`` (fewer than 5, or none) and ``new`` (none).
        predictions: ``(rows,)``.
    """

    figures: dict[str, float]
    rows: int
    positives: int
    by_user: UserAUCs
    calibration: Calibration
    strata: dict[str, Stratum]
    predictions: np.ndarray


def evaluate_ranking(
    ranker: Ranker[Any], data: RankingData, part: Impressions | None = None
) -> RankingEvaluation:
    """Predict every impression, and see how far predictions tell the positives.

    Args:
        ranker: a fitted one.
        data: the log.
        part: the impressions to measure on; the test part where None.

    Raises:
        DataError: all impressions have one label.
    """
    part = data.test if part is None else part
    names = (name for name, each in zip(PARTS, data.parts, strict=True) if each is part)
    part.require_both_labels(next(names, "given"))
    numbering = ranker.numbering(data.vocabulary)
    predictions = ranker.predict(part, numbering)
    labels = np.asarray(part.labels)
    by_user = user_aucs(part.users, labels, predictions)
    calibrated = calibration(labels, predictions)
    figures = {
        "auc": auc(labels, predictions),
        "gauc": by_user.weighted,
        "gauc_unweighted": by_user.unweighted,
        "log_loss": log_loss(labels, predictions),
        "calibration_ratio": calibrated.ratio,
        "calibration_error": calibrated.expected_error,
    }
    known = ranker.vocabulary.shown
    shown = np.concatenate([[0], known])[numbering.items]
    head = np.concatenate([[0], popularity_strata(known)])[numbering.items]
    groups = {
        "head": head == 1,
        "between": (head == 0) & (shown > 0),
        "tail": head == -1,
        "cold": shown < COLD,
        "new": shown == 0,
    }
    strata = {name: _stratum(part, predictions, items) for name, items in groups.items()}
    return RankingEvaluation(
        figures, len(part), int(labels.sum()), by_user, calibrated, strata, predictions
    )


def _stratum(part: Impressions, predictions: np.ndarray, items: np.ndarray) -> Stratum:
    """Of the items where ``items`` ``(items of the log,)`` is True."""
    rows = items[part.items]
    labels = part.labels[rows]
    positives = int(labels.sum())
    both = 0 < positives < len(labels)
    shown = int(np.count_nonzero(np.bincount(part.items[rows])))
    value = auc(labels, predictions[rows]) if both else None
    return Stratum(shown, len(labels), positives, value)
