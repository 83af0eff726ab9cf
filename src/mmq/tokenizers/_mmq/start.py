"""Before the first step: codewords by k-means, linear decoders by least squares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmq.tokenizers._kmeans import spherical_kmeans, start_sample
from mmq.tokenizers._mmq.network import MMQNetwork

_DRAWN = 10_000  # items that decoders are fitted to

RIDGE = 1e-2
"""Damping of the least squares, as a share of the mean variance of what is decoded."""


@torch.no_grad()
def start_codebooks(
    network: MMQNetwork, x: Tensor, present: Tensor, generator: np.random.Generator
) -> None:
    """Set every codebook to k-means of its expert's outputs, over items that have its modality."""
    size = network.settings.codebook_size
    order = torch.from_numpy(generator.permutation(len(x))).to(x.device)
    mask = network.mask(present) > 0
    for place, _ in network.expert_groups().values():
        drawn = order[mask[order, place.start]][: start_sample(size)]
        if len(drawn) < size:  # a modality that few items have keeps its random start
            continue
        latents, _ = network.latents(x[drawn], present[drawn])
        for n in range(place.start, place.stop):
            network.codebooks[n] = spherical_kmeans(latents[:, n], size, generator)


@torch.no_grad()
def start_decoders(
    network: MMQNetwork, x: Tensor, present: Tensor, generator: np.random.Generator
) -> None:
    """Set linear decoders to the least-squares fit of the inputs on the first codewords.

    What is decoded to a modality, by the joint decoder too, is fitted to items that have it.
    """
    order = torch.from_numpy(generator.permutation(len(x))).to(x.device)
    stop = 0
    for m, (modality, width) in enumerate(network.dimensions.items()):
        start, stop = stop, stop + width
        rows = order[present[order, m] > 0][:_DRAWN]
        targets = x[rows, start:stop]
        output = network(x[rows], present[rows])
        fused = torch.bmm(output.weights.unsqueeze(1), output.quantised).squeeze(1)
        own = output.quantised[:, network.positions[modality]].sum(1)
        _solve(network.decoder, slice(start, stop), fused, targets)
        _solve(network.modality_decoders[m], slice(None), own, targets)


def _solve(decoder: nn.Module, place: slice, inputs: Tensor, targets: Tensor) -> None:
    """Ridge regression with an intercept, into outputs of a linear decoder.

    In double precision, and with centred targets, so that inputs that hardly vary predict the mean.
    """
    assert isinstance(decoder, nn.Linear)
    inputs, targets = inputs.double(), targets.double()
    middle, mean = inputs.mean(0), targets.mean(0)
    centred = inputs - middle
    gram = centred.T @ centred
    gram.diagonal().add_(RIDGE * gram.diagonal().mean().clamp_min(1e-9))
    weight = torch.linalg.solve(gram, centred.T @ (targets - mean)).T
    decoder.weight[place] = weight.float()
    decoder.bias[place] = (mean - weight @ middle).float()
