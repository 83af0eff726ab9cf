"""Codewords before the first step: means of spherical k-means on the encoder's own outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from mmq.tokenizers.kmeans import spherical_kmeans
from mmq.tokenizers.mmq.network import MMQNetwork

MEMBERS = 64
"""Items drawn for a codeword: enough for a start, and bounded for large catalogues."""


@torch.no_grad()
def start_codebooks(
    network: MMQNetwork, x: Tensor, present: Tensor, generator: torch.Generator
) -> None:
    """Set every codebook to k-means of its expert's outputs, over items that have its modality."""
    size = network.settings.codebook_size
    drawn = torch.randperm(len(x), generator=generator)[: max(10_000, MEMBERS * size)]
    latents, _ = network.latents(x[drawn], present[drawn])
    spoken = network.spoken_for(present[drawn]) > 0
    for n in range(network.length):
        points = latents[spoken[:, n], n]
        if len(points) >= size:  # a modality that few items have keeps its random start
            network.codebooks[n] = spherical_kmeans(points, size, generator)
