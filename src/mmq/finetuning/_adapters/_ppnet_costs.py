"""What it would change to give an item another code, in the loss of a ranker."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import embedding, softplus

from mmq.finetuning._adapters.base import numbers_of
from mmq.ranking._network import PPNetNetwork, Shown


def reassignment_costs(
    network: PPNetNetwork, batches: Iterable[tuple[Shown, Tensor]], items: Tensor, of: int
) -> Tensor:
    """``(m, n, k)`` nats by which the loss would change, summed over impressions.

    A reassignment moves what the tower reads of the item that is shown by
    ``e = W_i[k] - W_i[c_i]``, its logit z by about ``J . e``, J the logit's gradient, and the
    cross-entropy by ``log(1 + exp(z + J . e)) - log(1 + exp(z)) - y J . e``. What the item is to
    histories is left out.

    Args:
        network: with semantic IDs, in eval mode.
        batches: impressions of the training part, and their labels ``(b,)``.
        items: ``(m,)`` int64 rows of those that are measured.
        of: items of the log.
    """
    table = network.codes
    assert table is not None
    n = network.length
    each = table.detach().view(n, -1, table.shape[1])  # n k d
    costs = table.new_zeros(len(items), n, each.shape[1])
    numbers = numbers_of(items, of)
    for shown, labels in batches:
        assert shown.code_rows is not None
        with torch.enable_grad():
            codes = embedding(shown.code_rows[shown.items], table).detach().requires_grad_()
            logits = network(shown, codes)
            (slopes,) = torch.autograd.grad(logits.sum(), codes)  # rows do not touch each other
        z, y = logits.detach()[:, None, None], labels[:, None, None]
        moves = torch.einsum("bnd,nkd->bnk", slopes, each)
        moves -= (slopes * codes.detach()).sum(2)[:, :, None]
        change = softplus(z + moves).sub_(softplus(z)).sub_(moves.mul_(y))
        rows = numbers[shown.rows[shown.items]]
        costs.index_add_(0, rows[rows >= 0], change[rows >= 0])
    return costs
