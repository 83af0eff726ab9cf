"""What an ID table says of the tokenizer that made it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmq.metrics.rate_distortion import least_error
from mmq.semantic_ids import FitRef, TokenizerRef
from mmq.tokenizers._base import Tokenizer


def reference(tokenizer: Tokenizer[Any], fingerprint: str) -> TokenizerRef:
    """The tokenizer's name, hash and positions, and what its fit was worth where that is known.

    Args:
        tokenizer: a fitted one.
        fingerprint: content hash of its folder.
    """
    noted = TokenizerRef(
        name=tokenizer.kind, fingerprint=fingerprint, positions=tokenizer.positions
    )
    fit = fit_reference(tokenizer)
    if fit is not None:
        noted["fit"] = fit
    tuned_from = getattr(tokenizer, "tuned_from", None)
    if tuned_from:
        noted["tuned_from"] = list(tuned_from)
    return noted


def fit_reference(tokenizer: Tokenizer[Any]) -> FitRef | None:
    """What the figures of the fit say of the codes alone; None for one of an older mmq."""
    codes, bound = tokenizer.figures.get("fvu_codes"), tokenizer.figures.get("bound") or {}
    if not isinstance(codes, Mapping):
        return None
    return FitRef(
        fvu_codes={part: _finite(value) for part, value in codes.items()},
        bound=_finite(bound.get("fvu")),
        noise=noise_fvu(tokenizer.dimensions, tokenizer.codebook_sizes),
        noise_setting=getattr(tokenizer.settings, "noise_setting", None),
    )


def noise_fvu(dimensions: Mapping[str, int], codebook_sizes: Sequence[int]) -> float:
    """The least fraction of variance that codes leave of pure noise.

    Args:
        dimensions: modality -> width; the noise is unit vectors in random directions.
        codebook_sizes: codewords a position.

    >>> round(noise_fvu({"text": 4}, [4, 4]), 6)  # one bit a direction
    0.25
    """
    variances = [np.full(width, 1 / width) for width in dimensions.values()]
    return least_error(np.concatenate(variances), sum(math.log2(size) for size in codebook_sizes))


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
