"""RQ-VAE: encoder, residual codebooks, decoder, for one vector.

Axes: ``b`` batch, ``l`` level, ``k`` codeword, ``d`` latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmq.nn import losses, residual
from mmq.nn.residual import Levels
from mmq.tokenizers._fused import FusedNetwork, Quantiser
from mmq.tokenizers._network import Softened, SoftInputs
from mmq.tokenizers._rqvae.settings import RQVAESettings

CODEBOOK_WEIGHT = 1.0
"""Pull of a codeword towards its members, for codebook="loss"."""


class RQVAEOutput(NamedTuple):
    """What one pass gives."""

    reconstruction: Tensor  # b width
    quantiser_loss: Tensor  # scalar, sum over items
    levels: Levels  # of the batch, without gradient


class RQVAE(Quantiser):
    """Encoder, one codebook a level, decoder (Lee et al. 2022; TIGER, Rajput et al. 2023).

    Args:
        width: of the vectors.
        length: levels.
        settings: shapes and options.
    """

    mean_squares: Tensor

    def __init__(self, width: int, length: int, settings: RQVAESettings) -> None:
        super().__init__()
        self.settings = settings
        sizes = [width, *settings.hidden_sizes, settings.latent_dim]
        self.encoder, self.decoder = _layers(sizes), _layers(sizes[::-1])
        d = settings.latent_dim
        codebooks = torch.randn(length, settings.codebook_size, d) * d**-0.5
        self.codebooks = nn.Parameter(codebooks)
        self.register_buffer("mean_squares", torch.ones(length))  # of the residuals, a level
        self.codebook_sizes = (settings.codebook_size,) * length

    def forward(self, x: Tensor) -> RQVAEOutput:
        """Encode, quantise and reconstruct vectors ``(b, width)``."""
        settings = self.settings
        z = self.encoder(x)
        levels = residual.quantise(z, self.codebooks)
        codebook = CODEBOOK_WEIGHT if settings.codebook == "loss" else 0.0
        quantised, loss = residual.straight_through(
            z, self.codebooks, levels, settings.commitment_weight, codebook
        )
        if settings.codebook == "index":
            quantised = residual.through_index(
                z, self.codebooks, self.mean_squares, settings.temperature
            )
        return RQVAEOutput(self.decoder(quantised), loss, levels)

    def encode(self, x: Tensor) -> Tensor:
        """Codes ``(b, l)`` int64 of vectors ``(b, width)``."""
        return self.quantise(x).codes.T

    def quantise(self, x: Tensor) -> Levels:
        """Codes and residuals of vectors ``(b, width)``, without gradient."""
        return residual.quantise(self.encoder(x), self.codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, width)`` of int64 codes ``(b, l)``."""
        vectors: Tensor = self.decoder(residual.take(self.codebooks, codes))
        return vectors

    def logits(self, x: Tensor) -> Tensor:
        """Similarity ``(b, l, k)`` of every level's residual to its codewords."""
        residuals = self.quantise(x).residuals
        levels = zip(residuals[:-1], self.codebooks, self.mean_squares, strict=True)
        return torch.stack([residual.level_logits(r, c, s) for r, c, s in levels], dim=1)

    def addends(self) -> tuple[Tensor, Tensor]:
        """The bias of a linear decoder, and what it makes of every codeword."""
        (linear,) = self.decoder
        assert isinstance(linear, nn.Linear)
        return linear.bias, self.codebooks @ linear.weight.T

    def soften(
        self, x: Tensor, inputs: SoftInputs, codes: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Codes ``(b, l, k)`` as exact one-hots with a gradient, their logits, what they decode to,
        and latents.

        Gradients reach encoder and codebooks.

        Args:
            x: ``(b, width)``.
            inputs: for temperature and noise.
            codes: ``(b, l)`` of the forward pass; None for those of ``x``.
        """
        z = self.encoder(x)
        index, logits = residual.soft_codes(
            z,
            self.codebooks,
            self.mean_squares,
            inputs.temperature,
            inputs.noise,
            codes,
        )
        vectors: Tensor = self.decoder(index.flatten(1) @ self.codebooks.flatten(0, 1))
        return index, logits, vectors, z

    def commitment(self, z: Tensor) -> Tensor:
        """Pull of the latents towards their codewords, summed over levels and items."""
        levels = residual.quantise(z.detach(), self.codebooks)
        return residual.straight_through(z, self.codebooks, levels, 1.0, 0.0)[1]


class RQVAENetwork(FusedNetwork[RQVAE]):
    """An RQ-VAE for all modalities together, or one for each.

    Args:
        dimensions: modality -> width of its embedding, in order.
        settings: shapes and options.
    """

    def __init__(self, dimensions: Mapping[str, int], settings: RQVAESettings) -> None:
        super().__init__(
            dimensions,
            settings,
            lambda width, length: RQVAE(width, length, settings),
            settings.refinement,
        )
        self.settings = settings

    def soften(self, inputs: SoftInputs) -> Softened:
        """Codes with their gradient; the logits have the scale of a cosine at every level."""
        groups, present, target = self.groups(), inputs.present, inputs.target
        own = [
            None if inputs.codes is None else inputs.codes[:, place]
            for place in self.positions.values()
        ]
        parts = zip(groups, self.inputs(inputs.x, present), own, strict=True)
        indices, logits, vectors, latents = zip(
            *(group.soften(x, inputs, codes) for group, x, codes in parts), strict=True
        )
        widths = torch.tensor(list(self.dimensions.values()), device=target.device)
        there = present.repeat_interleave(widths, dim=1)

        def commitment() -> Tensor:
            seen = zip(groups, latents, self.seen(present), strict=True)
            pulls = [group.commitment(z[rows]) for group, z, rows in seen]
            return torch.stack(pulls).sum() / len(target)

        return Softened(
            torch.cat(indices, dim=1),
            torch.cat(logits, dim=1),
            {
                "reconstruction": lambda: losses.squared_error(
                    torch.cat(vectors, 1), target, there
                ),
                "commitment": commitment,
            },
        )


def _layers(sizes: list[int]) -> nn.Sequential:
    """Linear layers with activations between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        linear = nn.Linear(before, after)
        nn.init.orthogonal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.SiLU()]
    return nn.Sequential(*layers[:-1])
