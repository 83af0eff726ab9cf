"""Every setting of the RQ-VAE tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from mmq.tokenizers._base import TrainingSettings
from mmq.tokenizers._fused import RefinementSettings


class RQVAESettings(TrainingSettings, RefinementSettings):
    """Settings of the RQ-VAE tokenizer.

    All losses are sums over dimensions and means over items. Embeddings have unit length, so that
    the reconstruction loss of a modality lies between 0 and about 1 whatever its width; latents
    start at the same length (:func:`mmq.tokenizers._rqvae.start.start`), so that the quantiser's
    losses start on the same scale and TIGER's weights 1, 1 and 0.25 mean what they meant there.

    Shape, width and noise were chosen by the error on a validation part of ML-1M's training items,
    one seed, 100 epochs or fewer. TIGER's own shape is ``hidden_sizes=(512, 256, 128),
    latent_dim=64``: over 60 epochs it did worse on so few items, and it costs more.
    """

    hidden_sizes: tuple[PositiveInt, ...] = ()
    """Hidden layers of the encoder, mirrored in the decoder; none makes both linear, which is what
    ``refinement`` needs."""
    latent_dim: PositiveInt = 128
    """d: width of latents and codewords."""

    codebook: Literal["loss", "ema", "index"] = "loss"
    """How codewords learn: a codebook loss, moving averages of their members, or the index
    straight-through estimator (MMQ, Eq. 16-18)."""
    commitment_weight: NonNegativeFloat = 0.25
    """Pull of a residual towards its codeword."""
    temperature: PositiveFloat = 0.05
    """tau of the soft index, for codebook="index" and soft codes."""

    input_noise: NonNegativeFloat | None = None
    """Norm of the Gaussian added to each unit embedding in training, then normalised again; None
    takes 0.8 where a codeword has 50 items or fewer, and less the more it has."""

    removed: ClassVar[Mapping[str, Any]] = {
        "activation": "silu",
        "distance": "l2",
        "codebook_weight": 1.0,
        "ema_decay": 0.99,
        "assignment": "nearest",
        "revival_until": 0.8,
    }

    @model_validator(mode="after")
    def _fits_together(self) -> RQVAESettings:
        if self.refinement and self.hidden_sizes:
            raise ValueError("refinement needs hidden_sizes = []; set refinement to 0")
        return self

    @property
    def noise_setting(self) -> str:
        """It is trained with noise."""
        return "input_noise"

    def resolved_noise(self, items: int) -> float:
        """The setting, or for ``items`` items what keeps so few from being learned by heart."""
        if self.input_noise is not None:
            return self.input_noise
        return min(0.8, 40 * self.codebook_size / items)
