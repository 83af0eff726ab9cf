"""Before the first step: codewords by k-means, linear decoders by least squares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mmq.nn.experts import LinearExperts
from mmq.tokenizers.kmeans import spherical_kmeans
from mmq.tokenizers.mmq.network import MMQNetwork
from mmq.tokenizers.opq_quantiser import principal_axes

MEMBERS = 32
"""Items drawn for a codeword: enough for a start, and bounded for large catalogues."""

_DRAWN = 10_000  # items at least, where there are as many
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
    order = torch.from_numpy(generator.permutation(len(x))).to(x.device)
    mask = network.mask(present) > 0
    for place, _ in network.expert_groups().values():
        drawn = order[mask[order, place.start]][: max(_DRAWN, MEMBERS * size)]
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
    """Ridge regression with an intercept, into outputs of a decoder; nothing if it is not linear.

    In double precision, and with centred targets, so that inputs that hardly vary predict the mean.
    """
    if not isinstance(decoder, nn.Linear):
        return
    inputs, targets = inputs.double(), targets.double()
    middle, mean = inputs.mean(0), targets.mean(0)
    centred = inputs - middle
    gram = centred.T @ centred
    gram.diagonal().add_(RIDGE * gram.diagonal().mean().clamp_min(1e-9))
    weight = torch.linalg.solve(gram, centred.T @ (targets - mean)).T
    decoder.weight[place] = weight.float()
    decoder.bias[place] = (mean - weight @ middle).float()
