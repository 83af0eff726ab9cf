"""What it would change to give an item another code, in the loss over the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.finetuning._adapters.base import numbers_of
from mmq.nn.sampling import Sample, draw_sample
from mmq.recommenders._batches import Batch, training_batch
from mmq.recommenders._heterrec.heads import ParallelHeads, with_bias
from mmq.recommenders._heterrec.network import HeterRecNetwork

_USERS = 512
"""User vectors whose scores are held at a time."""
_DRAWN = 20_000
"""Competitors beside those that are measured, drawn to estimate the sum over all."""
_SEED = 0
"""Of these draws."""
_LEAST = 1e-30
"""Lift of a code, to the best one's, below which it counts as this."""


def reassignment_costs(
    network: HeterRecNetwork, windows: Sequence[Sequences], items: Tensor, every: int = 1
) -> Tensor:
    """``(m, n, k)`` nats by which the loss would change at most, summed over targets.

    For items in histories, which a network reads, to second order. Zero for the codes that items
    have, and for items that do not compete.

    Args:
        network: with a loss over the catalogue, in eval mode.
        windows: of the training part, batch by batch.
        items: ``(m,)`` int64 rows of those that are measured.
        every: what others lose to an item, and what histories tell, is summed over one of so many
            user vectors and batches, and scaled; what an item's own targets gain, over all.
    """
    now = network.codes[items].long()
    costs = now.new_zeros(*now.shape, max(network.heads.sizes), dtype=torch.float32)
    competing = torch.isin(items, network.competitors)
    places = network.places[items[competing]]
    costs[competing] = predicted_costs(network, _batches(network, windows), every, places)
    if network.scope == "item":
        numbers = numbers_of(items, len(network.codes))
        for batch in _batches(network, windows[::every]):
            rows, found = history_costs(network, batch)
            measured = numbers[rows] >= 0
            costs.index_add_(0, numbers[rows[measured]], found[measured], alpha=every)
    return costs - costs.gather(2, now[:, :, None])


def _batches(network: HeterRecNetwork, windows: Sequence[Sequences]) -> Iterator[Batch]:
    """Batches of windows, one at a time, compared with a sample where the network's loss is."""
    generator = np.random.default_rng(_SEED)
    for each in windows:
        batch = training_batch(each, len(network.steps) + 1, network.positions.device)
        yield batch._replace(sample=network.sample(batch.targets[:, 0].numpy(), generator))


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
    loss = network.loss(users, batch.targets, sample=batch.sample) * len(users)
    (slopes,) = torch.autograd.grad(loss, tokens)
    each = network.token_embeddings.detach().view(tokens.shape[1], -1, tokens.shape[2])
    moves = torch.einsum("end,nkd->enk", slopes, each)
    moves -= moves.gather(2, network.codes[rows].long()[:, :, None])
    return rows, moves + moves.square() / 2


@torch.no_grad()
def predicted_costs(
    network: HeterRecNetwork, batches: Iterable[Batch], every: int, places: Tensor
) -> Tensor:
    """``(m, n, k)``: what reassignments change at most for items to be predicted.

    Those at ``places`` ``(m,)`` among the competitors are measured; they and others that are drawn
    stand for all competitors in the softmax.

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
    compared = draw_sample(places.numpy(), network.compared, _DRAWN, np.random.default_rng(_SEED))
    items, measured = _weighted(network, table, compared), compared.places(places)
    numbers, now = numbers_of(places, network.compared), network.codes[network.competitors[places]]
    n = now.shape[1]
    wanting = items.new_zeros(len(places), items.shape[1])
    lifted = items.new_zeros(n, len(places), len(table) // n)
    for batch in batches:
        for ahead, targets in network.asked(network.users(batch.histories), batch.targets):
            users, wanted = with_bias(ahead), numbers[network.places[targets]]
            there = wanted >= 0
            wanting.index_add_(0, wanted[there], users[there])
            for some in users[::every].split(_USERS):
                p = (items @ some.T).softmax(0).index_select(0, measured)
                for i, scores in enumerate((table @ some.T).view(n, -1, len(some))):
                    lift = (scores - scores.amax(0)).exp_()
                    without = p / lift.index_select(0, now[:, i]).clamp_(min=_LEAST)
                    lifted[i].addmm_(without, lift.T)
    gains = (wanting @ table.T).view(len(places), n, -1)
    return (lifted.mul_(every).transpose(0, 1) - gains) / (len(network.steps) + 1)


def _weighted(network: HeterRecNetwork, table: Tensor, sample: Sample) -> Tensor:
    """``(c, d + 1)``: what a sample of the competitors is known by, its log-weights in the bias."""
    items = network.competing(table, sample)
    items[:, -1] += sample.log_weights + network.log_weights(sample.rows)
    return items
