"""Before the first step: the scale of the latents, and codebooks by k-means of the residuals."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmq.nn.residual import quantise
from mmq.tokenizers._kmeans import euclidean_kmeans, start_sample
from mmq.tokenizers._rqvae.network import RQVAE


@torch.no_grad()
def start(network: RQVAE, x: Tensor, generator: np.random.Generator) -> None:
    """Scale the encoder to latents as long as the vectors, and set codebooks by k-means.

    Args:
        network: not trained yet.
        x: vectors ``(items, width)`` that it will be trained on.
        generator: which of them are drawn.
    """
    size = network.settings.codebook_size
    rows = torch.from_numpy(generator.permutation(len(x)))[: start_sample(size)]
    x = x[rows.to(x.device)]
    last = network.encoder[-1]
    assert isinstance(last, nn.Linear)
    z = network.encoder(x)
    last.weight.mul_(x.norm() / z.norm().clamp_min(1e-12))
    last.bias.zero_()
    start_codebooks(network, x, generator)


@torch.no_grad()
def start_codebooks(network: RQVAE, x: Tensor, generator: np.random.Generator) -> None:
    """Set every codebook to k-means of the residuals of vectors ``(items, width)``.

    Level after level; where items are fewer than codes the random start stays.
    """
    size = network.settings.codebook_size
    left = network.encoder(x)
    for i in range(len(network.codebooks)):
        network.mean_squares[i] = left.square().sum(1).mean()
        if len(left) >= size:
            network.codebooks[i] = euclidean_kmeans(left, size, generator)
        left = quantise(left, network.codebooks[i : i + 1]).residuals[-1]
