"""Top-k of models that score items one by one, without semantic IDs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from mmq.decoding import Decoded, Excluded, Filters
from mmq.decoding._selection import largest, pack, places_of, scores_of
from mmq.recommenders._candidates import of_users

_GROUP = 32
"""Scores whose maximum stands for them: the best k lie in the k groups with the best maxima."""
_SCORES = 1 << 26
"""Scores in memory at a time, 4 bytes each: those of 256 users and 262,144 items."""
_SPARE = 8
"""Entries that are looked at beyond the best k: where the last of them is worse than the k-th best,
all that equal the k-th were seen, and the earliest of them can be told."""


def top_items(scores: Tensor, k: int, filters: Filters) -> Decoded:
    """The best ``k`` of ``scores`` ``(b, items)`` that pass the filters; equal ones by row.

    Where there are fewer, -1 with a score of -inf fills up.

    ``scores`` is overwritten.
    """
    return best_items(leave_out(scores, filters), k)


def in_parts(
    find: Callable[[slice, Filters], Decoded], users: int, items: int, filters: Filters
) -> Decoded:
    """What ``find`` gives for all users, asked for so few at a time that their scores of all
    ``items`` take :data:`_SCORES` numbers, or for one."""
    size = max(1, _SCORES // items)
    slices = [slice(first, min(first + size, users)) for first in range(0, users, size)]
    parts = [find(some, of_users(filters, some)) for some in slices]
    return parts[0] if len(parts) == 1 else Decoded(*map(torch.cat, zip(*parts, strict=True)))


def top_shared(scores: Tensor, users: int, k: int, filters: Filters) -> Decoded:
    """:func:`top_items` of ``users`` users who all have the same ``scores`` ``(items,)``.

    Items are sorted once for everybody; a user looks no further down than what is excluded there
    makes necessary.
    """
    if filters.allowed is not None and filters.allowed.ndim == 2:
        return top_items(scores.repeat(users, 1), k, filters)
    excluded = filters.excluded
    most = 0 if excluded is None else int(excluded.offsets.diff().max())
    order = scores.argsort(descending=True, stable=True)
    if filters.allowed is not None:
        order = order[filters.allowed.to(scores.device)[order]]
    order = order[: k + most]
    found = top_items(scores[order].repeat(users, 1), k, renumbered(filters, order, len(scores)))
    return found._replace(rows=pad(order, (0, 1), value=-1)[found.rows])  # -1 is the last, -1


def renumbered(filters: Filters, order: Tensor, items: int | None = None) -> Filters:
    """The filters of items that stand in ``order``, for all of which only their places are known.

    Args:
        filters: by row.
        order: ``(m,)`` row of each item.
        items: rows in all; as many as ``order`` has if not given.
    """
    allowed, excluded = filters.allowed, filters.excluded
    if allowed is not None:
        allowed = allowed.to(order.device)[..., order]
    if excluded is not None:  # -1, which is ignored, of rows that are not in the order
        places = torch.full(((items or len(order)) + 1,), -1, device=order.device)
        places[order] = torch.arange(len(order), device=order.device)
        excluded = Excluded(places[excluded.rows.to(order.device)], excluded.offsets)
    return Filters(allowed, excluded)


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
    if scores.shape[1] > 2 * _GROUP * (k + _SPARE):
        found, sure = _of_groups(scores, k)
    else:
        found, sure = _of_few(scores, k)
    if not sure.all():  # a plateau, such as items without interactions
        unsure = (~sure).nonzero()[:, 0]
        for whole, part in zip(found, _packed(scores[unsure], k), strict=True):
            whole[unsure] = part
    return found._replace(rows=found.rows.masked_fill_(found.scores == -torch.inf, -1))


def _of_groups(scores: Tensor, k: int) -> tuple[Decoded, Tensor]:
    """The best ``k`` among many, and for which users they are sure to be the earliest.

    Scores are read once, for the maxima of groups; then only the best groups are looked at.
    """
    rest = scores.shape[1] % _GROUP
    grouped = (pad(scores, (0, _GROUP - rest), value=-torch.inf) if rest else scores).view(
        len(scores), -1, _GROUP
    )
    maxima, groups = grouped.amax(2).topk(k + _SPARE, dim=1)
    groups = groups.sort(dim=1).values  # candidates in the order of their rows
    inside = grouped.gather(1, groups[..., None].expand(-1, -1, _GROUP)).flatten(1)
    found, sure = _of_few(inside, k)
    rows = groups.gather(1, found.rows // _GROUP) * _GROUP + found.rows % _GROUP
    return Decoded(rows, found.scores), sure & _beaten(maxima[:, -1], found.scores[:, -1])


def _of_few(scores: Tensor, k: int) -> tuple[Decoded, Tensor]:
    """As :func:`_of_groups`, where reading all scores twice costs little."""
    looked = min(k + _SPARE, scores.shape[1])
    order = scores.topk(looked, dim=1).indices.sort(dim=1).values
    found, places = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    rows = order.gather(1, places)
    sure = _beaten(found[:, -1], found[:, k - 1]) | (looked == scores.shape[1])
    return Decoded(rows[:, :k].contiguous(), found[:, :k].contiguous()), sure


def _beaten(last: Tensor, least: Tensor) -> Tensor:
    """Whether nothing past ``last`` can equal the ``least`` of the best, or that is no item."""
    return (last < least) | (least == -torch.inf)


def _packed(scores: Tensor, k: int) -> Decoded:
    """The best ``k``, however many are equal: no two are once their places are part of them."""
    places = torch.arange(scores.shape[1], device=scores.device)
    best = largest(pack(scores, places), k)
    return Decoded(places_of(best), scores_of(best))
