"""What it would change to give an item another code, in the loss over the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmq.recommenders._batches import Batch
from mmq.recommenders._heterrec.heads import ParallelHeads, with_bias
from mmq.recommenders._heterrec.network import HeterRecNetwork

_USERS = 512
"""User vectors whose scores are held at a time."""
_LEAST = 1e-30
"""Lift of a code, to the best one's, below which it counts as this."""


def reassignment_costs(
    network: HeterRecNetwork, batches: Sequence[Batch], every: int = 1
) -> Tensor:
    """``(items, n, k)`` nats by which the loss would change at most, summed over targets.

    For items in histories, which a network reads, to second order. Zero for the codes that items
    have, and for items that do not compete.

    Args:
        network: with a loss over the catalogue, in eval mode.
        batches: of the training part.
        every: what others lose to an item, and what histories tell, is summed over one of so many
            user vectors and batches, and scaled; what an item's own targets gain, over all.
    """
    now = network.codes.long()
    costs = now.new_zeros(*now.shape, max(network.heads.sizes), dtype=torch.float32)
    costs[network.competitors] = predicted_costs(network, batches, every)
    if network.scope == "item":
        for batch in batches[::every]:
            rows, found = history_costs(network, batch)
            costs.index_add_(0, rows, found, alpha=every)
    return costs - costs.gather(2, now[:, :, None])


def history_costs(network: HeterRecNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Rows ``(n,)`` of a batch's entries, and ``(n, n, k)`` what their reassignments would cost.

    To second order, with the outer product of gradients for the curvature: ``s + s^2 / 2``,
    ``s = g . (W_i[k] - W_i[c_i])``, W the embeddings of tokens and g the gradient of an entry's.
    """
    rows = batch.histories.rows
    tokens = network.embedded(rows).detach().requires_grad_()
    vectors = network.pooled(tokens)
    if network.item_tokens is not None:
        vectors = vectors + network.of_items(network.item_tokens, rows)
    users = network.users(batch.histories, vectors)
    loss = network.loss(users, batch.targets) * len(users)
    (slopes,) = torch.autograd.grad(loss, tokens)
    each = network.token_embeddings.detach().view(tokens.shape[1], -1, tokens.shape[2])
    moves = torch.einsum("end,nkd->enk", slopes, each)
    moves -= moves.gather(2, network.codes[rows].long()[:, :, None])
    return rows, moves + moves.square() / 2


@torch.no_grad()
def predicted_costs(network: HeterRecNetwork, batches: Sequence[Batch], every: int) -> Tensor:
    """``(competitors, n, k)``: what reassignments change at most for items to be predicted.

    An item's vector is ``v = sum_i W_i[c_i]``, W the classifiers of the codes, and a softmax over
    ``u . v`` compares all items. To give position i the code k moves v by ``e = W_i[k] - W_i[c_i]``
    and the loss of a user vector u by ``log(1 + p (exp(u . e) - 1)) - y u . e``, p the probability
    of the item and y whether it is the target. As ``log(1 + x) <= x``, this is at most
    ``p (exp(u . e) - 1) - y u . e``: exact to first order, a product of two matrices over all
    users, and true of any number of items that are reassigned at once, whose x add up. So what is
    told to pay does pay, but for what a sample of the users (``every``) leaves open. (A Taylor
    series of second order is wrong just where it promises most: there ``u . e`` is large.) A
    network that looks several steps ahead asks so many times, and its loss is the mean of what it
    is told.
    """
    heads = network.heads
    assert isinstance(heads, ParallelHeads)
    table: Tensor = heads.classifiers()
    items, now = network.competing(table), network.codes[network.competitors]
    n = now.shape[1]
    wanting = torch.zeros_like(items)
    lifted = items.new_zeros(n, len(items), len(table) // n)
    for batch in batches:
        for ahead, targets in network.asked(network.users(batch.histories), batch.targets):
            users = with_bias(ahead)
            wanting.index_add_(0, network.places[targets], users)
            for some in users[::every].split(_USERS):
                p = (items @ some.T).softmax(0)
                for i, scores in enumerate((table @ some.T).view(n, -1, len(some))):
                    lift = (scores - scores.amax(0)).exp_()
                    without = p / lift.index_select(0, now[:, i]).clamp_(min=_LEAST)
                    lifted[i].addmm_(without, lift.T)
    gains = (wanting @ table.T).view(len(items), n, -1)
    return (lifted.mul_(every).transpose(0, 1) - gains) / (len(network.steps) + 1)
