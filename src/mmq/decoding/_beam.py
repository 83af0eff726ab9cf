"""Beam search that walks a prefix tree: all users and all beams of a level at once.

Only children that exist are scored, so an ID that no item has cannot come out; and only nodes
that hold an item for the user go on, so that k items come back wherever k may be given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmq.decoding._children import Beams, dense_children, listed_children
from mmq.decoding._filters import Filters, Restriction
from mmq.decoding._items import Decoded, take_items
from mmq.decoding._prefix_index import PrefixIndex
from mmq.decoding._scores import LEAST, CodeScores
from mmq.decoding._selection import Best, best, best_of_many, largest, pack, places_of, scores_of


@torch.no_grad()
def beam_search(
    scores: CodeScores,
    index: PrefixIndex,
    k: int,
    beams: int,
    filters: Filters | None = None,
) -> Decoded:
    """The best ``k`` items of each user that a search with ``beams`` beams finds.

    With as many beams as the catalogue has IDs it finds what :func:`exact_search` finds.

    Args:
        scores: the recommender's log-probabilities for a batch of users.
        index: the catalogue's IDs, on the device of the scores; items that share an ID come in its
            order (:meth:`PrefixIndex.ordered`).
        k: items wanted.
        beams: prefixes kept at each level, at least ``k``.
        filters: what may be given; all items without.
    """
    restriction = Restriction.build(index, filters)
    leaves = _search(scores, restriction, k, max(beams, k))
    return take_items(restriction, leaves.places, leaves.scores, k)


@torch.no_grad()
def beam_scores(scores: CodeScores, index: PrefixIndex, beams: int) -> Tensor:
    """``(b, table rows)``: an item's score if its ID is among the best ``beams`` found, else -inf.

    Items that share an ID have the same score.
    """
    leaves = _search(scores, Restriction.build(index, None), beams, beams)
    by_leaf = leaves.scores.new_full((len(leaves.scores), index.leaves + 1), -torch.inf)
    by_leaf.scatter_(1, leaves.places, leaves.scores)  # the closing leaf stands for none
    by_leaf.masked_fill_(by_leaf <= LEAST / 2, -torch.inf)
    return by_leaf.index_select(1, index.leaf_of_rows)


def _search(scores: CodeScores, restriction: Restriction, k: int, width: int) -> Best:
    """The best ``k`` leaves, best first."""
    levels = restriction.index.levels
    log_probs = scores.first()[:, None]
    root = torch.zeros(len(log_probs), 1, dtype=torch.int64, device=log_probs.device)
    beams = Beams(root, root.float(), root, root)
    for number in range(len(levels)):
        if number:
            log_probs = scores.next(number, beams.parents, beams.codes)
        last = number == len(levels) - 1
        beams = _step(restriction, number, beams, log_probs.clamp(min=LEAST), k if last else width)
    places = torch.arange(beams.nodes.shape[1], device=beams.nodes.device)
    ranked = largest(pack(beams.scores, places), len(places))
    return Best(beams.nodes.gather(1, places_of(ranked)), scores_of(ranked))


def _step(
    restriction: Restriction, number: int, beams: Beams, log_probs: Tensor, count: int
) -> Beams:
    """The best ``count`` living children of ``beams``, or as many as the level has nodes."""
    level = restriction.index.levels[number]
    dense = level.dense and restriction.counts is None
    children = (dense_children if dense else listed_children)(level, beams, log_probs)
    if restriction.counts is not None:
        children.scores.masked_fill_(~restriction.alive(number, children.nodes()), -torch.inf)
    flat = children.scores.view(len(beams.nodes), -1)
    count = min(count, max(level.nodes, 1), flat.shape[1])
    surplus = restriction.surplus(number)
    select = best if number == len(restriction.index.levels) - 1 else best_of_many
    found = children.at(*select(flat, min(count + surplus, flat.shape[1])))
    if not surplus:
        return found
    living = found.scores.masked_fill(~restriction.alive(number, found.nodes), -torch.inf)
    return found.at(*best(living, count), level.nodes)
