"""Shrinkage of codewords after training: they are means of few items and so are too long.

A codeword with n members, whose items scatter around it with variance s^2 (summed over
dimensions), is off by s^2 / n on average; its own squared length is inflated by as much. The
positive-part James-Stein estimate multiplies it by ``1 - s^2 / (n |D c|^2)``, ``D c`` being what it
adds to the reconstruction. The error on the items of the fit rises a little, that on new items
falls more. Cosine look-up ignores the length of a codeword, so that no code changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmq.tokenizers.mmq.network import MMQNetwork


@torch.no_grad()
def shrink_codewords(network: MMQNetwork, x: Tensor, present: Tensor, amount: float) -> None:
    """Shorten codewords in place, then re-centre the decoders.

    Nothing happens with decoders that are not linear, or where the look-up is not by cosine.

    Args:
        network: trained.
        x: ``(items, sum of dimensions)`` inputs of the fit.
        present: ``(items, m)`` presence.
        amount: share of the James-Stein correction to apply, 0 to 1.
    """
    if amount == 0 or network.settings.distance != "cosine":
        return
    if not isinstance(network.decoder, nn.Linear):
        return
    before = _moments(network, x, present)
    contribution = network.codebooks @ network.decoder.weight.T  # n k (sum of dimensions)
    length = (contribution * before.weight[:, None, None]).square().sum(2)
    noise = before.scatter / before.members.clamp_min(1)
    factor = (1 - amount * noise / length.clamp_min(1e-12)).clamp(0, 1)
    network.codebooks.mul_(factor.unsqueeze(2))
    after = _moments(network, x, present)
    network.decoder.bias += after.residual
    for decoder, residual in zip(network.modality_decoders, after.own_residuals, strict=True):
        assert isinstance(decoder, nn.Linear)
        decoder.bias += residual


class _Moments:
    """Sums over the items: members of each code, mean weights, mean residuals, scatter."""

    members: Tensor  # n k
    weight: Tensor  # n, mean fusion weight
    residual: Tensor  # sum of dimensions, mean of what the decoder leaves
    own_residuals: list[Tensor]  # a modality: d_m
    scatter: Tensor  # scalar, squared error an item, corrected for what was fitted


def _moments(network: MMQNetwork, x: Tensor, present: Tensor) -> _Moments:
    n, k = network.codebooks.shape[:2]
    widths = list(network.dimensions.values())
    result = _Moments()
    result.members, result.weight = torch.zeros(n, k), torch.zeros(n)
    total, error = torch.zeros(sum(widths)), torch.tensor(0.0)
    own, seen = [torch.zeros(width) for width in widths], torch.zeros(len(widths))
    for block, mask in zip(x.split(4096), present.split(4096), strict=True):
        output = network(block, mask)
        spoken = network.spoken_for(mask)
        result.members.scatter_add_(1, output.codes.T, spoken.T)
        result.weight += output.weights.sum(0)
        wide = torch.repeat_interleave(mask, torch.tensor(widths), dim=1)
        left = (block - output.reconstruction) * wide
        total += left.sum(0)
        error += left.square().sum()
        parts = block.split(widths, 1)
        for m, (part, made) in enumerate(zip(parts, output.auxiliary, strict=True)):
            own[m] += ((part - made) * mask[:, m : m + 1]).sum(0)
        seen += mask.sum(0)
    result.weight /= result.members.sum(1).clamp_min(1)
    result.residual = total / torch.repeat_interleave(seen, torch.tensor(widths)).clamp_min(1)
    result.own_residuals = [t / s.clamp_min(1) for t, s in zip(own, seen, strict=True)]
    used = int((result.members > 0).sum())
    freedom = max(1, len(x) - used)  # as many means as codes in use were fitted to every dimension
    result.scatter = error / freedom
    return result
