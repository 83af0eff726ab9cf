"""Top-k of models that score items one by one, without semantic IDs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from mmq.decoding import Decoded, Filters


def top_items(scores: Tensor, k: int, filters: Filters) -> Decoded:
    """The best ``k`` of ``scores`` ``(b, items)`` that pass the filters; equal ones by row.

    Where there are fewer, -1 with a score of -inf fills up.

    ``scores`` is overwritten.
    """
    return best_items(leave_out(scores, filters), k)


def leave_out(scores: Tensor, filters: Filters) -> Tensor:
    """``scores`` ``(b, items)``, overwritten with -inf where an item does not pass the filters."""
    if filters.allowed is not None:
        scores.masked_fill_(~filters.allowed.to(scores.device), -torch.inf)
    if filters.excluded is not None:
        rows, offsets = (each.to(scores.device) for each in filters.excluded)
        users = torch.arange(len(scores), device=scores.device).repeat_interleave(offsets.diff())
        there = rows >= 0
        scores[users[there], rows[there]] = -torch.inf
    return scores


def best_items(scores: Tensor, k: int) -> Decoded:
    """The best ``k`` of ``scores`` ``(b, items)``; equal ones in their order, -inf is no item."""
    if k > scores.shape[1]:
        scores = pad(scores, (0, k - scores.shape[1]), value=-torch.inf)
    # the k-th best score first, then a stable sort of what reaches it: topk breaks ties anyhow
    least = scores.topk(k, dim=1).values[:, -1:]
    most = int((scores >= least).sum(1).max())
    if most > 4 * k:  # a plateau, such as items without interactions: sorting all is simplest
        found, order = scores.sort(dim=1, descending=True, stable=True)
        found, order = found[:, :k], order[:, :k]
    else:
        order = scores.topk(most, dim=1).indices.sort(dim=1).values
        kept = scores.gather(1, order)
        found, places = kept.sort(dim=1, descending=True, stable=True)
        found, order = found[:, :k], order.gather(1, places)[:, :k]
    return Decoded(order.masked_fill(found == -torch.inf, -1), found)
