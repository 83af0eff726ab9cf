"""Every setting of the MMQ tokenizer, with the paper's symbol where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from mmq.tokenizers._base import TrainingSettings

DEFAULT_EXPERTS = 2

SWEEPS = 3
"""Sweeps over the codes where they are found together."""

OF_GRADIENT = (
    *("epochs", "batch_size", "learning_rate", "schedule", "warmup", "weight_decay"),
    *("latent_dim", "distance", "codebook", "start", "revival"),
    *("reconstruction_weight", "auxiliary_weight", "orthogonality_weight", "orthogonality"),
    *("commitment_weight", "input_noise"),
)
"""Settings that say something of learning="gradient" alone."""


class MMQSettings(TrainingSettings):
    """Settings of the MMQ tokenizer; defaults are those of docs/results/variants_and_speed.md."""

    learning: Literal["least-squares", "gradient"] = "least-squares"
    """"least-squares": codes of all positions are found together, and codewords fitted to them in
    closed form, in turn; the error of the codes alone is lower, a fit takes seconds. "gradient":
    the paper's way (Eq. 1-14): every expert finds its code alone, and all learn by gradient."""
    shared_experts: Annotated[int, Field(ge=0)] | None = None
    """N_s: experts that read all modalities together; None: 2, or where least squares find that it
    lowers the error by a thirtieth, all experts of the ID."""
    specific_experts: int | dict[str, int] = DEFAULT_EXPERTS
    """N_m: experts a modality, one number for all or one a name (2 where none is given)."""
    smoothing: NonNegativeFloat | None = None
    """For learning="least-squares": noise of the shape of the data, in their deviations, that
    codewords are made robust with; None tries 0, 0.25, 0.5, 0.75 and 1 on validation items."""

    shared_start: Literal["joint", "separate"] | None = None
    """For learning="least-squares": what the codes of shared experts are clusters of at first. With
    "joint", of all modalities side by side: a code names a combination of what they say. With
    "separate", of one modality each. None tries both, and takes the second where it leaves a
    thirtieth less unexplained."""

    latent_dim: PositiveInt = 256
    """d: width of latents and codewords."""

    distance: Literal["cosine", "l2"] = "cosine"
    """How the nearest codeword is found (Eq. 7); "l2" is the ablation "w/o cosine"."""

    codebook: Literal["index", "ema", "loss", "literal"] = "index"
    """How codewords learn: the index straight-through estimator (Eq. 16-18), moving averages of
    their members, a codebook loss, or through no loss at all ("literal" Eq. 14; for the printed
    text also set start="random", revival=false and commitment_weight=0)."""
    temperature: PositiveFloat = 0.05
    """tau of the soft index (Eq. 16)."""
    start: Literal["kmeans", "random"] = "kmeans"
    """Codewords start as means of spherical k-means on the encoder's outputs, or at random."""
    revival: bool = True
    """Whether codes unused over an epoch restart at random encoder outputs."""

    reconstruction_weight: NonNegativeFloat = 12.0
    """alpha of Eq. 14."""
    auxiliary_weight: NonNegativeFloat = 10.0
    """beta of Eq. 14; zero is the ablation "w/o auxiliary"."""
    orthogonality_weight: NonNegativeFloat = 0.005
    """gamma of Eq. 14; zero is the ablation "w/o orthogonality"."""
    orthogonality: Literal["weights", "output"] = "weights"
    """Penalty on the experts' weights (Eq. 11-13) or on the correlation of their outputs."""
    commitment_weight: NonNegativeFloat = 2.5
    """Pull of the encoder's output towards its codeword; sum over d, mean over items."""

    input_noise: NonNegativeFloat | None = None
    """Norm of the Gaussian added to each unit embedding in training, then normalised again; None
    takes 1 where a codeword has 40 items or fewer, and less the more it has."""

    refinement: Annotated[int, Field(ge=0)] | None = None
    """Sweeps over the codes of an item, each chosen anew to lower the error of the codes'
    reconstruction in the light of the others. None: 3 for "least-squares", where 0 leaves each in
    the light of those before it; 0 for "gradient", which leaves them as the experts chose them
    (Eq. 7), and above it fits the codewords anew by least squares."""

    removed: ClassVar[Mapping[str, Any]] = {
        "experts": "linear",
        "decoders": "linear",
        "hidden_dim": 512,
        "temperature_end": None,
        "ema_decay": 0.99,
        "assignment": "nearest",
        "revival_until": 0.8,
        "auxiliary": "ungated",
        "codebook_weight": 10.0,
        "entropy_weight": 0.0,
        "modality_dropout": 0.0,
    }

    @model_validator(mode="after")
    def _fits_together(self) -> MMQSettings:
        specific = self.specific_experts
        counts = list(specific.values()) if isinstance(specific, dict) else [specific]
        if any(count < 0 for count in counts):
            raise ValueError("specific_experts should not be negative")
        if self.shared_experts == 0 and specific == 0:  # those of names are counted in a fit
            raise ValueError("shared_experts and specific_experts are both zero; give one expert")
        self._check_learning()
        return self

    def _check_learning(self) -> None:
        """Refuse what would change nothing."""
        if self.learning == "gradient":
            for name in ("smoothing", "shared_start"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for learning = 'least-squares'; leave it out")
            return
        fields = type(self).model_fields
        for name in OF_GRADIENT:
            if getattr(self, name) != fields[name].default:
                raise ValueError(
                    f"{name} is for learning = 'gradient'; set that too, or leave it out"
                )

    @property
    def sweeps(self) -> int:
        """The setting ``refinement``, resolved."""
        if self.refinement is not None:
            return self.refinement
        return SWEEPS if self.learning == "least-squares" else 0

    @property
    def has_epochs(self) -> bool:
        """Whether it learns by gradient."""
        return self.learning == "gradient"

    @property
    def noise_setting(self) -> str:
        """That of the way of learning."""
        return "input_noise" if self.learning == "gradient" else "smoothing"

    @property
    def shared(self) -> int:
        """N_s where it is not chosen by the data."""
        return DEFAULT_EXPERTS if self.shared_experts is None else self.shared_experts

    def experts_of(self, modality: str) -> int:
        """N_m of a modality."""
        if isinstance(self.specific_experts, dict):
            return self.specific_experts.get(modality, DEFAULT_EXPERTS)
        return self.specific_experts

    def resolved_noise(self, items: int) -> float:
        """The setting, or for ``items`` items what keeps so few from being learned by heart.

        A codeword is a mean of its ``items / K`` members, and the noise stands for the members it
        has not seen: the more it has, the less is needed.
        """
        if self.input_noise is not None:
            return self.input_noise
        return min(1.0, 40 * self.codebook_size / items)


def of_learning(values: Mapping[str, Any], learning: str) -> dict[str, Any]:
    """Those of some settings that say something of one way of learning, and that way."""
    others = ("smoothing",) if learning == "gradient" else OF_GRADIENT
    own = {name: value for name, value in values.items() if name not in others}
    return {**own, "learning": learning}
