"""The contract of every tokenizer."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from pydantic import Field, PositiveInt

from mmq._model_folder import Config, FolderFormat
from mmq._version import __version__
from mmq.data import Catalogue, CatalogueFile
from mmq.made_from import Checkpoint
from mmq.model import Model
from mmq.settings import Settings
from mmq.tokenizers._card import tokenizer_card
from mmq.tokenizers._search_space import Space
from mmq.training._optimiser import LearningSettings

ITEMS_PER_CODEWORD = 1024
"""Items a codeword that a fit learns from at most: a mean of 1,024 members is within 1/1,024 of
their variance of the true one."""

MOST_NUMBERS = 2**28
"""Numbers in the embeddings that a fit learns from at most (1 GiB), unless it is asked for more."""

S = TypeVar("S", bound="TokenizerSettings")


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

    def most_items(self, width: int) -> int:
        """Items that a fit learns from at most, of embeddings of ``width`` numbers in all."""
        enough = ITEMS_PER_CODEWORD * self.codebook_size
        return max(self.codebook_size, min(enough, MOST_NUMBERS // width))

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
        items: part -> how many items it has; of a sample of a catalogue also "catalogue", all of
            them.
        epochs: passes made, or rounds of least squares and sweeps.
        seconds: wall time of the fit.
        items_per_second: items fitted on, per second of that time.
        chosen: what the data chose before the fit; empty where there is nothing to choose. See
            :class:`~mmq.tokenizers._additive.choice.Choice`.
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
    items: dict[str, int]
    epochs: int
    seconds: float
    items_per_second: float
    chosen: dict[str, Any]

    def figures(self) -> dict[str, Any]:
        """The figures that do not depend on the machine's speed, for config.json and the card."""
        return {k: v for k, v in self._asdict().items() if k not in {"seconds", "items_per_second"}}


class TokenizerConfig(Config):
    """What the config.json of a tokenizer has to hold."""

    modalities: dict[str, PositiveInt]
    reductions: dict[str, str]


class Tokenizer(Model[S], Generic[S]):
    """Catalogue in, codes out. Numpy in, numpy out, order kept.

    config.json says beside what all models say: ``modalities`` (name -> width),
    ``codebook_sizes``, ``ordered``, ``positions``, ``reductions`` (name -> digest of the PCA its
    input went through) and, after stage 2, ``tuned_from`` (fingerprints of the tokenizers that it
    was fine-tuned from).
    """

    folder_format = FolderFormat(
        "tokenizer", TokenizerConfig, version=2, oldest=1, again="fit it again with mmq fit"
    )
    reductions: dict[str, str]
    """Modality -> digest of the PCA its embeddings went through, checked by ``mmq encode``."""
    tuned_from: list[str]
    """Fingerprints of the tokenizers that it was fine-tuned from, the latest last."""

    def __init__(self, settings: S | None = None, *, device: str = "auto", **values: Any) -> None:
        super().__init__(settings, device=device, **values)
        self.reductions, self.tuned_from = {}, []

    @classmethod
    def search_space(cls, fixed: Mapping[str, Any]) -> Space:
        """Where ``mmq tune`` draws settings from; nothing is searched of a kind that has none.

        Args:
            fixed: settings that the user has fixed, which may say which others there are.
        """
        return {}

    @property
    @abstractmethod
    def length(self) -> int:
        """Positions of a semantic ID."""

    @property
    @abstractmethod
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codewords a position."""

    @property
    @abstractmethod
    def ordered(self) -> bool:
        """Whether every code refines the codes before it."""

    @property
    @abstractmethod
    def dimensions(self) -> dict[str, int]:
        """Modality -> width of the embedding it was fitted on."""

    @property
    @abstractmethod
    def positions(self) -> dict[str, list[int]]:
        """Name of a group ("shared" or a modality) -> its positions in the ID."""

    @abstractmethod
    def fit(
        self,
        catalogue: Catalogue,
        hold_out: float = 0.0,
        checkpoint: Checkpoint | None = None,
    ) -> FitResult:
        """Learn from the items; figures of the fit."""

    @abstractmethod
    def encode(self, catalogue: Catalogue) -> np.ndarray:
        """Codes ``(items, length)`` int32."""

    def encoder(self) -> Callable[[Catalogue], np.ndarray]:
        """:meth:`encode` for many catalogues; what it needs of the tokenizer is made once."""
        return self.encode

    @abstractmethod
    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Modality -> reconstructed unit-scale embedding ``(items, dimension)``."""

    @abstractmethod
    def similarities(self, catalogue: Catalogue) -> np.ndarray:
        """``(items, length, k)`` similarity to every codeword; larger is nearer."""

    @abstractmethod
    def measure(self, catalogue: Catalogue) -> Figures:
        """How well the codes stand for the embeddings of these items."""

    @abstractmethod
    def require_inputs(self, file: CatalogueFile) -> None:
        """Raise :class:`~mmq.errors.DataError` unless a catalogue file can be encoded."""

    def config(self) -> dict[str, Any]:
        """See :class:`Tokenizer`."""
        return {
            "mmq": __version__,
            "modalities": self.dimensions,
            "codebook_sizes": list(self.codebook_sizes),
            "ordered": self.ordered,
            "positions": self.positions,
            "reductions": self.reductions,
            "settings": self.settings.to_dict(),
            "figures": self.figures,
            **({"tuned_from": self.tuned_from} if self.tuned_from else {}),
        }

    def card(self, config: Mapping[str, Any]) -> str:
        """Markdown with the settings and the figures of the fit."""
        return tokenizer_card(config)
