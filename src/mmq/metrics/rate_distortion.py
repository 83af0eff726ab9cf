"""How far reconstruction can go: the Gaussian rate-distortion bound.

For a Gaussian source of covariance eigenvalues ``l_i`` no code of ``R`` bits an item has a smaller
mean squared error than ``sum_i min(t, l_i)``, where the water level ``t`` satisfies ``sum_i max(0,
log2(l_i / t) / 2) = R`` (reverse water-filling: Cover and Thomas, "Elements of Information Theory",
2nd edition, Sec. 10.3.3). Data that are not Gaussian can be coded better: clusters, above all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_HALVINGS = 200  # of the interval that holds the water level, on a logarithmic scale


class Bound(NamedTuple):
    """What a Gaussian source with the covariance of the embeddings allows at the rate of the ID.

    Attributes:
        fvu: least fraction of variance unexplained.
        fvu_separate: the same where every modality is coded on its own, the bits shared out as
            suits them best.
        bits: an ID's, ``sum log2(codebook size)``.
    """

    fvu: float
    fvu_separate: float
    bits: float

    @property
    def joint_gain(self) -> float:
        """Share of the error that coding all modalities together can save over coding each."""
        return 1 - self.fvu / self.fvu_separate if self.fvu_separate > 0 else 0.0


def gaussian_bound(
    vectors: np.ndarray, widths: Sequence[int], codebook_sizes: Sequence[int]
) -> Bound:
    """The bound for vectors of several modalities.

    Args:
        vectors: ``(items, sum of widths)``, the modalities side by side, each scaled to a variance
            of about one, zero (the mean) where missing.
        widths: of the modalities.
        codebook_sizes: codewords a position of the ID.
    """
    bits = float(sum(math.log2(size) for size in codebook_sizes))
    centred = vectors - vectors.mean(0, dtype=np.float64)
    parts = np.split(centred, np.cumsum(widths)[:-1], axis=1)
    alone = np.concatenate([_spectrum(part) for part in parts])
    joint = _spectrum(centred) if len(parts) > 1 else alone
    return Bound(least_error(joint, bits), least_error(alone, bits), bits)


def least_error(eigenvalues: np.ndarray, bits: float) -> float:
    """Least fraction of the variance that is left at a rate, by reverse water-filling.

    >>> round(least_error(np.array([1.0]), 1.0), 6)  # a Gaussian number at one bit: 2 ** -2
    0.25
    """
    values = np.sort(np.maximum(eigenvalues, 0.0))[::-1]
    total = values.sum()
    if total <= 0:
        return 0.0
    low, high = math.log(values[0]) - 2 * math.log(2) * (bits + 1), math.log(values[0])
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        rate = np.maximum(logs - level, 0).sum() / (2 * math.log(2))
        low, high = (level, high) if rate > bits else (low, level)
    return float(np.minimum(values, math.exp(high)).sum() / total)


def _spectrum(centred: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance of centred rows, from the smaller of the two Gram matrices."""
    items, width = centred.shape
    gram = centred @ centred.T if items < width else centred.T @ centred
    spectrum: np.ndarray = np.linalg.eigvalsh(gram.astype(np.float64)) / items
    return spectrum
