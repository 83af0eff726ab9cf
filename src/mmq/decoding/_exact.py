"""Exact scoring of a whole catalogue, in blocks of leaves, so that memory stays bounded.

Of many IDs, most are not looked at (:mod:`mmq.decoding._bounded`); what is found is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from mmq.decoding._beam import beam_search
from mmq.decoding._bounded import bounded_search
from mmq.decoding._filters import Filters, Restriction
from mmq.decoding._items import Decoded, take_items
from mmq.decoding._prefix_index import PrefixIndex
from mmq.decoding._running import NONE, RunningBest
from mmq.decoding._scores import LEAST, CodeScores, ParallelScores
from mmq.decoding._selection import largest, places_of, scores_of

_ROWS, _USERS = 8192, 64
"""IDs and users of one block: its scores and its users' log-probabilities stay in the cache."""


def score_items(log_probs: Sequence[Tensor], codes: Tensor) -> Tensor:
    """``(b, items)`` float32: the sum of each item's log-probabilities, from the first code on.

    Args:
        log_probs: for each position ``(b, K_l)`` float32.
        codes: ``(items, length)`` integers.
    """
    scores = torch.empty(len(log_probs[0]), len(codes), device=codes.device)
    for users, first, block in _blocks(log_probs, codes):
        scores[users, first : first + len(block)] = block.t()
    return scores


@torch.no_grad()
def exact_search(
    scores: CodeScores,
    index: PrefixIndex,
    k: int,
    filters: Filters | None = None,
) -> Decoded:
    """The best ``k`` items of each user among all; arguments as in :func:`beam_search`.

    Independent codes (:class:`ParallelScores`) are summed for every ID, block by block; on the CPU
    and in a large index, only for IDs that bounds leave, once a batch was large enough to pay for
    :attr:`PrefixIndex.inverted` (64 users) or somebody asked for that. Other
    scores are asked for every prefix there is: a beam search that drops none, which takes time and
    memory for as many beams as there are IDs, so batches should be small.
    """
    if not isinstance(scores, ParallelScores):
        return beam_search(scores, index, k, index.leaves, filters)
    restriction = Restriction.build(index, filters)
    log_probs = [each.clamp(min=LEAST) for each in scores.log_probs]
    bounded = restriction.index is index and restriction.counts is None  # made once and kept
    if bounded and index.worth_inverting(len(log_probs[0])):
        best = _bounded(restriction, log_probs, k)
    else:
        best = _scan(restriction, log_probs, k)
    leaves = places_of(best).masked_fill_(best == NONE, restriction.index.leaves)
    leaf_scores = scores_of(best).masked_fill_(best == NONE, -torch.inf)
    return take_items(restriction, leaves, leaf_scores, k)


class _Block(NamedTuple):
    """Scores ``(m, b)`` of some users, and of the codes from ``first`` on."""

    users: slice
    first: int
    scores: Tensor


def _blocks(log_probs: Sequence[Tensor], codes: Tensor) -> Iterator[_Block]:
    """The scores of ``codes`` ``(n, length)`` in blocks, those of a user in the codes' order.

    The first blocks are small: what they hold is what later ones have to beat.
    """
    sizes = torch.tensor([0, *(each.shape[1] for each in log_probs[:-1])])
    offsets = sizes.cumsum(0).to(codes.device, torch.int32)
    whole = torch.cat([each.t() for each in log_probs])
    parts = range(0, whole.shape[1], _USERS)
    tables = [whole[:, first : first + _USERS].contiguous() for first in parts]
    first = 0
    while first == 0 or first < len(codes):
        rows = min(max(first, _ROWS // 16), _ROWS)
        bags = codes[first : first + rows] + offsets
        for part, table in zip(parts, tables, strict=True):
            users = slice(part, part + _USERS)
            yield _Block(users, first, embedding_bag(bags, table, mode="sum"))
        first += rows


def _bounded(restriction: Restriction, log_probs: Sequence[Tensor], k: int) -> Tensor:
    """As :func:`_scan`, of users whose lists of items are not their own."""
    found = bounded_search(restriction.index.inverted, log_probs, _kept(restriction, k))
    rest = (~found.complete).nonzero()[:, 0]
    if len(rest):
        some = [each[rest] for each in log_probs]
        found.best[rest] = _leading(restriction, some, found.best.shape[1])
    return _living(restriction, found.best, k)


def _scan(restriction: Restriction, log_probs: Sequence[Tensor], k: int) -> Tensor:
    """The best ``k`` living leaves of each user, packed, best first: ``(b, k or all)``."""
    return _living(restriction, _leading(restriction, log_probs, _kept(restriction, k)), k)


def _kept(restriction: Restriction, k: int) -> int:
    """Leaves to find, so that ``k`` are left when those without items for the user go."""
    last = len(restriction.index.levels) - 1
    return min(k, max(restriction.index.leaves, 1)) + restriction.surplus(last)


def _leading(restriction: Restriction, log_probs: Sequence[Tensor], kept: int) -> Tensor:
    """The best ``kept`` leaves, packed; without what users' own lists do not allow."""
    last = len(restriction.index.levels) - 1
    running: dict[int, RunningBest] = {}
    for users, first, block in _blocks(log_probs, restriction.index.leaf_codes):
        if restriction.counts is not None:
            nodes = torch.arange(first, first + len(block), device=block.device)
            living = restriction.alive(last, nodes.expand(block.shape[1], -1), users)
            block.masked_fill_(~living.t(), -torch.inf)
        if users.start not in running:
            running[users.start] = RunningBest(block.shape[1], kept, block.device)
        running[users.start].add(block, first)
    return torch.cat([each.best() for each in running.values()])


def _living(restriction: Restriction, best: Tensor, k: int) -> Tensor:
    """The best ``k`` of packed leaves that hold an item for their user."""
    last, leaves = len(restriction.index.levels) - 1, restriction.index.leaves
    if not restriction.surplus(last):
        return best
    nodes = places_of(best).masked_fill_(best == NONE, leaves)
    return largest(best.masked_fill(~restriction.alive(last, nodes), NONE), min(k, max(leaves, 1)))
