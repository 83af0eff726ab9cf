"""The contract of every tokenizer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from pydantic import Field, PositiveInt

from mmq.data import Catalogue, CatalogueFile
from mmq.settings import Settings
from mmq.training.loop import LearningSettings


class TokenizerSettings(Settings):
    """Settings that every tokenizer has."""

    codebook_size: int = Field(default=100, ge=2)
    """K: codewords a position."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the start, the order of the items, the noise and the hold-out."""

    @property
    def sweeps(self) -> int:
        """Passes over the codes of an item that choose each anew; 0 where codes are as found."""
        return 0

    @property
    def has_epochs(self) -> bool:
        """Whether the tokenizer is trained over epochs."""
        return False

    @property
    def noise_setting(self) -> str | None:
        """Name of the setting whose noise makes codewords robust; None where there is none."""
        return None


class TrainingSettings(TokenizerSettings, LearningSettings):
    """Settings of every tokenizer that is trained over epochs."""

    epochs: PositiveInt | None = None
    """Passes over the items; None chooses 300 for small catalogues, fewer for large ones."""

    @property
    def has_epochs(self) -> bool:
        """True."""
        return True

    def resolved_epochs(self, items: int) -> int:
        """The setting, or for ``items`` items about 4,500 steps, within 3 to 300 passes."""
        if self.epochs is not None:
            return self.epochs
        return min(300, max(3, math.ceil(4500 * self.batch_size / items)))


class Figures(NamedTuple):
    """How well codes stand for the embeddings of some items.

    Attributes:
        l_recon: squared error of the unit-normed embeddings, sum over dimensions and modalities,
            mean over items (Eq. 9), from all that the tokenizer knows of an item (MMQ: its gates).
        l_recon_codes: the same from the codes alone, which is all that a reader of the ID has.
        fvu: fraction of variance unexplained, of each modality, mean over them; as ``l_recon``.
        fvu_codes: the same from the codes alone.
        fvu_by_modality: modality -> ``fvu_codes`` of its embedding.
    """

    l_recon: float
    l_recon_codes: float
    fvu: float
    fvu_codes: float
    fvu_by_modality: dict[str, float]


class FitResult(NamedTuple):
    """Figures of a fit; each of the parts is "fit" and, with a hold-out, "held_out".

    Attributes:
        l_recon: part -> squared error, see :class:`Figures`, as the next four.
        l_recon_codes: part -> the same from the codes alone.
        fvu: part -> fraction of variance unexplained.
        fvu_codes: part -> the same from the codes alone.
        fvu_by_modality: part -> modality -> fraction of variance unexplained.
        entropy: nats, mean over codebooks, of the codes of all items.
        utilisation: share of codes used at least once, mean over codebooks.
        distinct_share: distinct IDs over items.
        bound: what no code of that many bits can go below for Gaussian data of the same
            covariance: "fvu", "fvu_separate" (each modality coded on its own) and "bits".
        epochs: passes made, or rounds of least squares and sweeps.
        seconds: wall time of the fit.
        items_per_second: items fitted on, per second of that time.
        chosen: what the data chose before the fit, see
            :class:`~mmq.tokenizers.additive.choice.Choice`; empty where there is nothing to choose.
    """

    l_recon: dict[str, float]
    l_recon_codes: dict[str, float]
    fvu: dict[str, float]
    fvu_codes: dict[str, float]
    fvu_by_modality: dict[str, dict[str, float]]
    entropy: float
    utilisation: float
    distinct_share: float
    bound: dict[str, float]
    epochs: int
    seconds: float
    items_per_second: float
    chosen: dict[str, Any]

    def figures(self) -> dict[str, Any]:
        """The figures that do not depend on the machine's speed, for config.json and the card."""
        return {k: v for k, v in self._asdict().items() if k not in {"seconds", "items_per_second"}}


@runtime_checkable
class Tokenizer(Protocol):
    """Catalogue in, codes out. Numpy in, numpy out, order kept."""

    reductions: dict[str, str]
    """Modality -> digest of the PCA its embeddings went through, checked by ``mmq encode``."""

    figures: dict[str, Any]
    """:meth:`FitResult.figures` of the fit, empty before it."""

    @property
    def kind(self) -> str:
        """Name of the kind in config.json and on the command line."""

    @property
    def settings(self) -> TokenizerSettings:
        """All settings."""

    @property
    def length(self) -> int:
        """Positions of a semantic ID."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codewords a position."""

    @property
    def ordered(self) -> bool:
        """Whether every code refines the codes before it."""

    @property
    def dimensions(self) -> dict[str, int]:
        """Modality -> width of the embedding it was fitted on."""

    @property
    def positions(self) -> dict[str, list[int]]:
        """Name of a group ("shared" or a modality) -> its positions in the ID."""

    def fit(
        self,
        catalogue: Catalogue,
        hold_out: float = 0.0,
        checkpoint: Path | None = None,
        resume: bool = False,
        fingerprint: str = "",
    ) -> FitResult:
        """Learn from the items; figures of the fit."""

    def encode(self, catalogue: Catalogue) -> np.ndarray:
        """Codes ``(items, length)`` int32."""

    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Modality -> reconstructed unit-scale embedding ``(items, dimension)``."""

    def similarities(self, catalogue: Catalogue) -> np.ndarray:
        """``(items, length, k)`` similarity to every codeword; larger is nearer."""

    def measure(self, catalogue: Catalogue) -> Figures:
        """How well the codes stand for the embeddings of these items."""

    def require_inputs(self, file: CatalogueFile) -> None:
        """Raise :class:`~mmq.errors.DataError` unless a catalogue file can be encoded."""

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and README.md."""
