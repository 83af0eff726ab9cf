"""Losses as pure functions: Eq. 9-14 and the quantiser's. Sum over features, mean over items."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss


def squared_error(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over ``b`` of the squared error summed over all other axes (Eq. 9 and 10).

    Args:
        prediction: ``(b, ...)``.
        target: the same shape.
        weight: broadcastable mask, zero where a modality is missing, else one.
    """
    if weight is not None:
        prediction, target = prediction * weight, target * weight  # a mask of zeros and ones
    return mse_loss(prediction, target, reduction="sum") / len(prediction)


def orthogonality(rows: Tensor) -> Tensor:
    """``||V V^T - I||_F^2`` of the unit-normed rows ``(n, features)`` (Eq. 11-13)."""
    gram = rows @ rows.T
    squares = gram.diagonal()
    cosines = gram * torch.outer(squares, squares).rsqrt()  # rows normed without a copy of them
    return (cosines - torch.eye(len(rows), device=rows.device)).square().sum()


def output_orthogonality(z: Tensor) -> Tensor:
    """The same penalty on the correlation of the experts' outputs over the batch.

    Args:
        z: latents ``(b, n, d)``. Two experts that say the same thing, up to a rotation, have
            cross-covariances that do not vanish: the penalty is the mean squared correlation
            between the dimensions of different experts, summed over pairs.
    """
    b, n, d = z.shape
    centred = z - z.mean(0)
    unit = centred / centred.square().sum(0, keepdim=True).sqrt().clamp_min(1e-8)
    correlation = unit.reshape(b, n * d).T @ unit.reshape(b, n * d)
    blocks = correlation.view(n, d, n, d).square().sum((1, 3)) / d
    return blocks.sum() - blocks.diagonal().sum()
