"""The contract of every tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from mmq.data import Catalogue


class FitResult(NamedTuple):
    """Figures of a fit; each of the parts is "fit" and, with a hold-out, "held_out".

    Attributes:
        l_recon: part -> squared error of the unit-normed embeddings, sum over dimensions and
            modalities, mean over items (Eq. 9).
        l_recon_codes: the same from the codes alone (catalogue-mean gates).
        fvu: part -> fraction of variance unexplained.
        fvu_by_modality: part -> modality -> the same.
        entropy: nats, mean over codebooks, of the codes of all items.
        utilisation: share of codes used at least once, mean over codebooks.
        distinct_share: distinct IDs over items.
        epochs: passes made.
        seconds: wall time of the training.
        items_per_second: items seen in training per second.
    """

    l_recon: dict[str, float]
    l_recon_codes: dict[str, float]
    fvu: dict[str, float]
    fvu_by_modality: dict[str, dict[str, float]]
    entropy: float
    utilisation: float
    distinct_share: float
    epochs: int
    seconds: float
    items_per_second: float

    def figures(self) -> dict[str, Any]:
        """The figures that do not depend on the machine's speed, for config.json and the card."""
        return {k: v for k, v in self._asdict().items() if k not in {"seconds", "items_per_second"}}


@runtime_checkable
class Tokenizer(Protocol):
    """Catalogue in, codes out. Numpy in, numpy out, order kept."""

    @property
    def length(self) -> int:
        """Positions of a semantic ID."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codewords a position."""

    @property
    def ordered(self) -> bool:
        """Whether a code refines the codes before it."""

    @property
    def dimensions(self) -> dict[str, int]:
        """Modality -> width of the embedding it was fitted on."""

    def fit(self, catalogue: Catalogue, hold_out: float = 0.0) -> FitResult:
        """Learn from the items; figures of the fit."""

    def encode(self, catalogue: Catalogue) -> np.ndarray:
        """Codes ``(items, length)`` int32."""

    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Modality -> reconstructed unit-scale embedding ``(items, dimension)``."""

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and README.md."""
