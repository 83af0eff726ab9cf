"""What an ID table says of the tokenizer that made it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmq.metrics.rate import noise_fvu
from mmq.semantic_ids import FitRef, TokenizerRef
from mmq.tokenizers.base import Tokenizer


def reference(tokenizer: Tokenizer, fingerprint: str) -> TokenizerRef:
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


def fit_reference(tokenizer: Tokenizer) -> FitRef | None:
    """What the figures of the fit say of the codes alone; None for one of an older mmq."""
    codes, bound = tokenizer.figures.get("fvu_codes"), tokenizer.figures.get("bound") or {}
    if not isinstance(codes, Mapping):
        return None
    return FitRef(
        fvu_codes={part: _finite(value) for part, value in codes.items()},
        bound=_finite(bound.get("fvu")),
        noise=noise_fvu(tokenizer.dimensions, tokenizer.codebook_sizes),
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
