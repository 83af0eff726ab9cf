"""Means: a logistic regression on smoothed rates; what every ranker has to beat."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import PositiveFloat

from mmq.errors import FormatError
from mmq.made_from import Checkpoint
from mmq.model import Fit
from mmq.ranking._base import Ranker, validated
from mmq.ranking._data import RankingData
from mmq.ranking._impressions import BLOCK, Impressions
from mmq.ranking._vocabulary import Numbering
from mmq.settings import Settings

_STEPS = 25
"""Newton steps at most; some five are enough."""
_RIDGE = 1e-3
"""Penalty that keeps the weight of a rate that tells nothing finite."""


class MeansSettings(Settings):
    """Settings of :class:`Means`."""

    smoothing: PositiveFloat = 10.0
    """Impressions at the rate of all that are added to those of a user, item or value, before the
    share of positives is taken."""


class Means(Ranker[MeansSettings]):
    """Knows a user, an item and the values of further columns by the share of positives.

    A logistic regression on the log-odds of these shares; in training every impression is left out
    of its own.

    Args:
        settings: or their values by name, ``Means(smoothing=20)``.
    """

    kind, label = "means", "Means"
    settings_class = MeansSettings
    _weights: np.ndarray | None = None
    """``(1 + rates,)`` float64, the bias first."""

    def _fit(self, data: RankingData, checkpoint: Checkpoint | None) -> Fit:
        """It takes seconds and stores no checkpoint."""
        started = time.monotonic()
        numbering = self.numbering(data.vocabulary)
        self._weights = self._regression(data.train, numbering)
        figures = validated(self, data.validation, numbering)
        seconds = time.monotonic() - started
        rows = len(data.train)
        speed = rows / max(seconds, 1e-9)
        return Fit(figures, seconds=seconds, targets=rows, targets_per_second=speed)

    def _regression(self, train: Impressions, numbering: Numbering) -> np.ndarray:
        """Weights by Newton's method, from passes over all impressions."""
        size = 1 + len(numbering.counts)
        weights = np.zeros(size)
        for _ in range(_STEPS):
            slope, curvature = -_RIDGE * weights, _RIDGE * np.eye(size)
            for piece in train.batches(BLOCK):
                inputs = self._inputs(piece, numbering, left_out=True)
                p = _sigmoid(inputs @ weights)
                slope += inputs.T @ (np.asarray(piece.labels) - p)
                curvature += (inputs * (p * (1 - p))[:, None]).T @ inputs
            step = np.linalg.solve(curvature, slope)
            weights += step
            if np.abs(step).max() < 1e-9:
                break
        return weights

    def _inputs(self, part: Impressions, numbering: Numbering, left_out: bool) -> np.ndarray:
        """``(rows, 1 + rates)`` float64."""
        rates = numbering.log_odds(part, self.settings.smoothing, left_out)
        return np.column_stack([np.ones(len(rates)), rates])

    def predict(self, impressions: Impressions, log: RankingData | Numbering) -> np.ndarray:
        """See :meth:`Ranker.predict`."""
        if self._weights is None:
            raise self._unfitted()
        numbering = log if isinstance(log, Numbering) else self.numbering(log.vocabulary)
        parts = [
            _sigmoid(self._inputs(piece, numbering, left_out=False) @ self._weights)
            for piece in impressions.batches(BLOCK)
        ]
        return np.concatenate([np.empty(0), *parts]).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights."""
        if self._weights is None:
            raise self._unfitted()
        return {"weights": self._weights}

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """See :meth:`Ranker.restore`."""
        weights = tensors.get("weights", np.empty(0))
        if tensors.keys() != {"weights"} or weights.shape != (1 + len(self.vocabulary.counts),):
            raise FormatError(
                f"{folder} has not one weight for each rate of means; copy the whole folder or "
                "train it again"
            )
        self._weights = weights


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """Without overflow."""
    e = np.exp(-np.abs(z))
    found: np.ndarray = np.where(z >= 0, 1, e) / (1 + e)
    return found
