"""Before the first step: codewords by k-means, linear decoders by least squares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmq.nn.experts import LinearExperts
from mmq.tokenizers.kmeans import spherical_kmeans
from mmq.tokenizers.mmq.network import MMQNetwork
from mmq.tokenizers.opq import principal_axes

MEMBERS = 32
"""Items drawn for a codeword: enough for a start, and bounded for large catalogues."""

_REST = 0.1  # of the random start is left where principal axes lead

RIDGE = 1e-2
"""Damping of the least squares, as a share of the mean variance of what is decoded."""


@torch.no_grad()
def start_experts(network: MMQNetwork, x: Tensor, present: Tensor) -> None:
    """Deal the principal axes of what a group of linear experts reads out to them, as OPQ does.

    The axes are an expert's leading rows; its other rows keep a tenth of their random start, so
    that it can still grow there.
    """
    inputs = dict(
        zip(network.dimensions, x.split(list(network.dimensions.values()), 1), strict=True)
    )
    names = list(network.dimensions)
    for name, (_, experts) in network.expert_groups().items():
        if not isinstance(experts, LinearExperts):
            continue
        rows = present[:, names.index(name)] > 0 if name in inputs else present.all(1)
        own = inputs.get(name, x)[rows]
        part = -(-own.shape[1] // experts.experts)
        axes = principal_axes(own - own.mean(0), experts.experts, part * experts.experts)
        weight = experts.weight.view(experts.experts, experts.latent_dim, -1)
        leading = axes.T.view(experts.experts, part, -1)[:, : experts.latent_dim]
        weight.mul_(_REST)
        weight[:, : leading.shape[1]] = leading


@torch.no_grad()
def start_codebooks(
    network: MMQNetwork, x: Tensor, present: Tensor, generator: np.random.Generator
) -> None:
    """Set every codebook to k-means of its expert's outputs, over items that have its modality."""
    size = network.settings.codebook_size
    drawn = torch.from_numpy(generator.permutation(len(x)))[: max(10_000, MEMBERS * size)]
    latents, _ = network.latents(x[drawn], present[drawn])
    spoken = network.spoken_for(present[drawn]) > 0
    for n in range(network.length):
        points = latents[spoken[:, n], n]
        if len(points) >= size:  # a modality that few items have keeps its random start
            network.codebooks[n] = spherical_kmeans(points, size, generator)


@torch.no_grad()
def start_decoders(
    network: MMQNetwork, x: Tensor, present: Tensor, generator: np.random.Generator
) -> None:
    """Set linear decoders to the least-squares fit of the inputs on the first codewords."""
    rows = torch.from_numpy(generator.permutation(len(x)))[:10_000]
    x, present = x[rows], present[rows]
    output = network(x, present)
    fused = torch.bmm(output.weights.unsqueeze(1), output.quantised).squeeze(1)
    _solve(network.decoder, fused, x)
    parts = x.split(list(network.dimensions.values()), dim=1)
    for m, (modality, decoder) in enumerate(
        zip(network.dimensions, network.modality_decoders, strict=True)
    ):
        seen = present[:, m] > 0
        own = output.quantised[seen][:, network.positions[modality]].sum(1)
        _solve(decoder, own, parts[m][seen])


def _solve(decoder: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Ridge regression with an intercept, in place; nothing for decoders that are not linear."""
    if not isinstance(decoder, nn.Linear) or len(inputs) == 0:
        return
    centred = (inputs - inputs.mean(0)).double()
    gram = centred.T @ centred
    damping = RIDGE * gram.diagonal().mean().clamp_min(1e-9)
    gram.diagonal().add_(damping)
    weight = torch.linalg.solve(gram, centred.T @ targets.double()).T.float()
    decoder.weight.copy_(weight)
    decoder.bias.copy_(targets.mean(0) - weight @ inputs.mean(0))
