"""The largest of many, ties broken by place, so that a result is the same on every machine.

A score and its place are packed into one int64 that sorts like (score, earlier place first): no
two are equal, and what was selected still says where it came from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

_LOW = 2**32 - 1
_GROUP = 10
"""Candidates of a group in the two-stage selection; its best stands for it in the first stage."""


def pack(scores: Tensor, places: Tensor) -> Tensor:
    """int64 that sort by score, then by earlier place; ``places`` are 0 to 2**32 - 1."""
    bits = (scores + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (bits.long() << 32) | (_LOW - places)


def places_of(packed: Tensor) -> Tensor:
    """The places in what :func:`pack` made, int64."""
    return _LOW - (packed & _LOW)


def scores_of(packed: Tensor) -> Tensor:
    """The scores in what :func:`pack` made."""
    bits = (packed >> 32).int()
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)


def largest(packed: Tensor, count: int) -> Tensor:
    """The ``count`` largest of each row of int64 ``(b, m)``, falling: ``(b, count)``."""
    if packed.is_cuda:
        return packed.topk(count, dim=1).values
    return _rising(_largest(packed, count)).flip(1)


def _largest(packed: Tensor, count: int) -> Tensor:
    """Like :func:`largest`, in any order; numpy's partition is far faster than torch's topk."""
    if packed.is_cuda:
        return packed.topk(count, dim=1, sorted=False).values
    first = packed.shape[1] - count
    if first == 0:
        return packed
    return torch.from_numpy(np.partition(packed.numpy(), first, axis=1)[:, first:])


def _rising(values: Tensor) -> Tensor:
    """Each row of ``(b, m)`` sorted; numpy's sort is faster than torch's."""
    if values.is_cuda:
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1))


class Best(NamedTuple):
    """Places ``(b, count)`` int64, ascending, and the scores found there."""

    places: Tensor
    scores: Tensor


def best(scores: Tensor, count: int) -> Best:
    """The ``count`` best of each row of ``(b, m)``; ties go to the earlier place."""
    places = torch.arange(scores.shape[1], device=scores.device)
    if count == len(places):
        return Best(places.expand(scores.shape), scores)
    found = _rising(places_of(_largest(pack(scores, places), count)))
    return Best(found, scores.gather(1, found))


def best_of_many(scores: Tensor, count: int) -> Best:
    """Like :func:`best`, faster for many candidates; ties are broken always alike, but by group.

    Each of the ``count`` best is in one of the ``count`` groups with the best maxima. Places past
    the end stand for nothing and score -inf.
    """
    b, m = scores.shape
    groups = -(-m // _GROUP)
    if groups < 2 * count:
        return best(scores, count)
    if m % _GROUP:
        scores = pad(scores, (0, -m % _GROUP), value=-torch.inf)
    maxima = scores.view(b, _GROUP, groups).amax(dim=1)
    steps = torch.arange(0, groups * _GROUP, groups, device=scores.device)
    places = (steps[:, None] + best(maxima, count).places[:, None]).view(b, -1)  # ascending
    found = best(scores.gather(1, places), count)
    return Best(places.gather(1, found.places), found.scores)
