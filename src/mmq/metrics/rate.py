"""What no code of a rate can fall below, where embeddings are Gaussian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np


def gaussian_fvu(variances: np.ndarray, bits: float) -> float:
    """The least fraction of variance that codes of so many bits leave unexplained.

    Reverse water-filling (Cover & Thomas, theorem 10.3.3): a direction is coded down to the water
    level, those below it not at all. Of all distributions with these variances the Gaussian is the
    hardest to code, so that clustered embeddings may fall below it; noise cannot.

    Args:
        variances: ``(d,)`` of independent directions, such as the eigenvalues of a covariance.
        bits: of a code.

    >>> gaussian_fvu(np.ones(4), 4)
    0.25
    """
    ordered = np.sort(variances[variances > 0])[::-1]
    if not len(ordered):
        return float("nan")
    logs = np.cumsum(np.log2(ordered))
    counts = np.arange(1, len(ordered) + 1)
    levels = (logs - 2 * bits) / counts  # log2 of the level if the first so many are coded
    coded = int(np.flatnonzero(levels <= np.log2(ordered))[-1]) + 1
    left = coded * 2.0 ** levels[coded - 1] + ordered[coded:].sum()
    return float(left / ordered.sum())


def noise_fvu(dimensions: Mapping[str, int], codebook_sizes: Sequence[int]) -> float:
    """The same of embeddings that are pure noise: unit vectors in random directions.

    Args:
        dimensions: modality -> width.
        codebook_sizes: codewords a position.
    """
    variances = [np.full(width, 1 / width) for width in dimensions.values()]
    return gaussian_fvu(np.concatenate(variances), math.log2(math.prod(codebook_sizes)))
