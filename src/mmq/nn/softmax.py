"""Cross-entropy over a large vocabulary without ever holding all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

_ROWS = 128
"""Rows whose logits are held at a time: with 12,000 items they stay in the processor's cache."""

_WIDTH, _LARGE = 16, 2048
"""Products with so many items are made on widths that are multiples of this: with a column more,
such as that of a bias, one of the three takes twice the time."""


def softmax_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, log_weights: Tensor | None = None
) -> Tensor:
    """Mean of ``log(sum_j w_j exp(hidden @ weight[j])) - hidden @ weight[target]``, a scalar.

    Where all items weigh 1 it is ``cross_entropy(hidden @ weight.T, targets)``, at half its time on
    a CPU: the logits are made some rows at a time, and their gradient right with them.

    Args:
        hidden: ``(n, d)``.
        weight: ``(items, d)``.
        targets: ``(n,)`` int64.
        log_weights: ``(items,)`` log w: as how many items each competes; they get no gradient.
    """
    with torch.autocast(hidden.device.type, enabled=False):  # a sum over all items needs its digits
        hidden, weight = _aligned(hidden.to(weight.dtype), weight)
        loss: Tensor = _SoftmaxCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, targets, log_weights
        )
    return loss


def _aligned(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both with columns of zeros up to a multiple of :data:`_WIDTH`, where that is faster."""
    width, missing = weight.shape[1], -weight.shape[1] % _WIDTH
    if not missing or 8 * missing > width or len(weight) < _LARGE:
        return hidden, weight
    return pad(hidden, (0, missing)), pad(weight, (0, missing))


class _SoftmaxCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, log_weights: Tensor | None
    ) -> Tensor:
        share = 1 / len(hidden)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight)
        weight_t = weight.T.contiguous()
        logits = hidden.new_empty(min(_ROWS, len(hidden)), len(weight))
        log_sums = []
        for start in range(0, len(hidden), _ROWS):
            rows = hidden[start : start + _ROWS]
            p = torch.mm(rows, weight_t, out=logits[: len(rows)])
            if log_weights is not None:
                p.add_(log_weights)
            top = p.amax(1, keepdim=True)
            total = p.sub_(top).exp_().sum(1, keepdim=True)
            log_sums.append(total.log() + top)
            scale = share / total  # of the rows of p, left to the smaller factors
            part = torch.mm(p, weight, out=hidden_gradient[start : start + _ROWS])
            part.mul_(scale)
            weight_gradient.addmm_(p.T, rows * scale)
        wanted = weight.index_select(0, targets)
        loss = (torch.cat(log_sums) - (hidden * wanted).sum(1, keepdim=True)).sum()
        hidden_gradient.sub_(wanted, alpha=share)
        weight_gradient.index_add_(0, targets, hidden, alpha=-share)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return loss * share

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * outputs[0], weight_gradient * outputs[0], None, None
