"""How good predictions are as probabilities of label 1: log loss and calibration.

That is no matter of order, which :mod:`mmq.metrics.ranking` measures: dividing all predictions by
ten changes no AUC.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mmq.errors import SettingsError
from mmq.metrics.ranking import check_scored, refuse_rows


class Calibration(NamedTuple):
    """What was predicted beside what came, in bins of ascending prediction.

    Attributes:
        predicted: ``(bins,)`` mean prediction.
        observed: ``(bins,)`` share of rows of label 1.
        rows: ``(bins,)`` int64, rows of each bin; none is empty.
    """

    predicted: np.ndarray
    observed: np.ndarray
    rows: np.ndarray

    @property
    def expected_error(self) -> float:
        """ECE: mean over rows of their bin's ``|predicted - observed|``.

        Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning". Most
        figures in print are of bins of equal width. Ours are of equal counts, since predictions of
        clicks are low and would crowd in the first of ten; the two are not to be compared.
        """
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))

    @property
    def ratio(self) -> float:
        """Mean prediction over share of label 1: 1 is calibrated, above 1 predicts too much.

        He et al. 2014, "Practical Lessons from Predicting Clicks on Ads at Facebook", call this
        calibration. Where no row has label 1 it is infinite, or 1 if 0 was predicted throughout.
        """
        expected, came = float(self.rows @ self.predicted), float(self.rows @ self.observed)
        if came == 0:
            return math.inf if expected else 1.0
        return expected / came


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative log-likelihood of the labels, in nats a row.

    Probabilities are kept 2.2e-16 (the epsilon of float64, whatever their own type) away from 0
    and 1, so that a row can cost 36 nats at most.

    Args:
        labels: ``(rows,)`` 0, 1 or bool.
        probabilities: ``(rows,)`` of label 1.

    Raises:
        DataError: lengths differ, a label is not 0 or 1, a probability is not from 0 to 1, or
            there are no rows.

    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.5])), 4)
    0.6931
    """
    positive, probabilities = _check(labels, probabilities)
    epsilon = np.finfo(np.float64).eps
    likelihood = np.where(positive, probabilities, 1 - probabilities)
    return float(-np.log(likelihood.clip(epsilon, 1 - epsilon)).mean())


def calibration(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Calibration:
    """Predicted and observed share of label 1 in bins of as equal counts as ties allow.

    Equal predictions are never parted: they all go to the bin of the middle one of them, so that
    there may be fewer than ``bins``.

    Args:
        labels: ``(rows,)`` as in :func:`log_loss`.
        probabilities: ``(rows,)`` as in :func:`log_loss`.
        bins: at most so many.

    Raises:
        DataError: as in :func:`log_loss`.
        SettingsError: fewer than one bin.

    >>> found = calibration(np.array([0, 0, 1, 0, 1, 1]),
    ...                     np.array([0.1, 0.1, 0.3, 0.6, 0.7, 0.8]), bins=2)
    >>> found.rows.tolist(), round(found.expected_error, 4), round(found.ratio, 4)
    ([3, 3], 0.1, 0.8667)
    """
    positive, probabilities = _check(labels, probabilities)
    if bins < 1:
        raise SettingsError(f"{bins} bins cannot hold the predictions; give at least 1")
    values, value_of_row, rows = np.unique(probabilities, return_inverse=True, return_counts=True)
    clicks = np.bincount(value_of_row[positive], minlength=len(values))
    twice_middle = 2 * np.cumsum(rows) - rows
    bin_of_value = np.unique(twice_middle * bins // (2 * len(positive)), return_inverse=True)[1]
    total, predicted, observed = (
        np.bincount(bin_of_value, weights) for weights in (rows, rows * values, clicks)
    )
    return Calibration(predicted / total, observed / total, total.astype(np.int64))


def _check(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the label is 1, and the probabilities as float64."""
    positive, values = check_scored(labels, probabilities, "probability")
    refuse_rows(
        (values < 0) | (values > 1),
        values,
        "probability",
        "probabilities are from 0 to 1, scores become some through a sigmoid",
    )
    return positive, values.astype(np.float64)
