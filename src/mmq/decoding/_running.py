"""The best of many scores that come in blocks, by place."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from mmq.decoding._selection import largest, pack, scores_of

NONE = -(2**63)
"""Less than any packed score: nothing."""
_GROUP = 16
"""Scores whose maximum is compared, instead of each of them."""
_PENDING = 1 << 11
"""Groups that may wait to be merged."""


class RunningBest:
    """The ``kept`` best scores of each of ``b`` users among all blocks so far, with their places.

    A block is read once, for the maxima of groups of scores; only a group whose maximum beats the
    least of the best is looked at again. Since blocks come by rising place, a score that equals
    the least comes too late.
    """

    def __init__(self, b: int, kept: int, device: torch.device) -> None:
        self._best = torch.full((b, kept), NONE, dtype=torch.int64, device=device)
        self._least = torch.full((b,), -torch.inf, device=device)
        self._groups: list[Tensor] = []  # numbers of groups that may hold one of the best
        self._scores: list[Tensor] = []  # and what they hold, (groups, _GROUP)

    def add(self, block: Tensor, first: int) -> None:
        """Take in ``block`` ``(m, b)`` of the places from ``first`` on; -inf is nothing.

        ``first`` is divisible by 16, as the length of every block but the last is.
        """
        if len(block) % _GROUP:
            block = pad(block, (0, 0, 0, -len(block) % _GROUP), value=-torch.inf)
        m, b = block.shape
        groups = block.view(-1, _GROUP, b)
        better = _places_above(groups.amax(dim=1), self._least)
        if len(better) > m * b // (8 * _GROUP):
            self._merge_pending()  # earlier places come first
            places = torch.arange(first, first + m, device=block.device)
            packed = pack(block.t().contiguous(), places)
            self._merge(packed.masked_fill_(block.t() == -torch.inf, NONE))
        elif len(better):
            self._scores.append(groups[better // b, :, better % b])
            self._groups.append(better + first // _GROUP * b)
            if sum(map(len, self._groups)) > _PENDING:
                self._merge_pending()

    def best(self) -> Tensor:
        """``(b, kept)`` packed scores and places, best first; ``NONE`` where there are fewer."""
        self._merge_pending()
        return self._best

    def _merge_pending(self) -> None:
        """Put what is pending side by side, a row for each user, and merge it."""
        if not self._groups:
            return
        b = len(self._best)
        groups, scores = torch.cat(self._groups), torch.cat(self._scores)
        self._groups, self._scores = [], []
        users, order = (groups % b).sort(stable=True)
        above, step = (scores[order] > self._least[users, None]).nonzero(as_tuple=True)
        users, order = users[above], order[above]
        counts = users.bincount(minlength=b)
        column = torch.arange(len(users), device=users.device) - (counts.cumsum(0) - counts)[users]
        packed = self._best.new_full((b, int(counts.max())), NONE)
        packed[users, column] = pack(scores[order, step], groups[order] // b * _GROUP + step)
        self._merge(packed)

    def _merge(self, packed: Tensor) -> None:
        self._best = largest(torch.cat([self._best, packed], dim=1), self._best.shape[1])
        least = self._best[:, -1]
        self._least = scores_of(least).masked_fill_(least == NONE, -torch.inf)


def _places_above(values: Tensor, least: Tensor) -> Tensor:
    """Flat places of ``values`` ``(m, b)`` above ``least`` ``(b,)``; few, which suits numpy."""
    if values.is_cuda:
        return (values > least).view(-1).nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(values.numpy() > least.numpy()))
