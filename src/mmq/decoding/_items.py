"""From the best leaves to the best items: those that share an ID are told apart here."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmq.decoding._filters import Restriction
from mmq.decoding._scores import LEAST


class Decoded(NamedTuple):
    """The best items of each user, best first.

    Equal scores are in the order of the IDs; items that share an ID in that of the index.

    Attributes:
        rows: ``(b, k)`` int64, rows in the ID table; -1 where fewer items exist.
        scores: ``(b, k)`` float32, of a search their IDs' log-probabilities; -inf where there is no
            item.
    """

    rows: Tensor
    scores: Tensor


def take_items(restriction: Restriction, leaves: Tensor, scores: Tensor, k: int) -> Decoded:
    """The first ``k`` items of ``leaves`` ``(b, m)``, which are sorted and closed by none.

    Args:
        restriction: what may be given.
        leaves: ``(b, m)`` int64 living leaves, best first; the closing leaf stands for none.
        scores: ``(b, m)`` their scores.
        k: items wanted.
    """
    index = restriction.index
    slots = _slots(restriction, leaves.shape[1], k)
    starts = index.leaf_starts.index_select(0, leaves.view(-1)).view(leaves.shape).long()
    ends = index.leaf_starts.index_select(0, leaves.view(-1) + 1).view(leaves.shape).long()
    if restriction.counts is not None:  # counted among what the user may be given
        starts, ends = (restriction.counts.gather(1, each).long() for each in (starts, ends))
    filled = (ends - starts).cumsum(1)
    slot = torch.arange(slots, device=leaves.device).expand(len(leaves), slots).contiguous()
    which = torch.searchsorted(filled, slot, right=True)
    there = which < leaves.shape[1]
    which = which.clamp_(max=leaves.shape[1] - 1)
    position = ends.gather(1, which) - filled.gather(1, which) + slot
    if restriction.counts is not None:
        position = torch.searchsorted(restriction.counts, (position + 1).int()) - 1
    position = position.masked_fill_(~there, len(index))
    if restriction.banned is not None:  # what may be given goes first
        there &= ~restriction.bans(position)
        order = (~there).to(torch.uint8).argsort(dim=1, stable=True)[:, :k]
        position, which, there = (each.gather(1, order) for each in (position, which, there))
    rows = index.rows[position].long().masked_fill_(~there, -1)
    found = scores.gather(1, which).masked_fill_(~there, -torch.inf)
    return Decoded(rows, found.masked_fill_(found <= LEAST / 2, -torch.inf))


def _slots(restriction: Restriction, leaves: int, k: int) -> int:
    """How many items have to be looked at so that ``k`` that may be given are among them."""
    if restriction.banned is None:
        return k
    most = max(k, min(leaves, k) * restriction.index.largest_leaf)
    return min(most, k + restriction.banned.most)
