"""The children of all beams of a level with their scores, in the order of the IDs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmq.decoding._level import Level


class Beams(NamedTuple):
    """What a search keeps of a level, in the order of the IDs.

    Attributes:
        nodes: ``(b, beams)`` int64; the closing node where there is no beam.
        scores: ``(b, beams)`` float32; -inf where there is no beam.
        parents: ``(b, beams)`` int64, which beam of the level before it goes on from.
        codes: ``(b, beams)`` int64, the code just taken.
    """

    nodes: Tensor
    scores: Tensor
    parents: Tensor
    codes: Tensor

    def at(self, places: Tensor, scores: Tensor, closing: int) -> Beams:
        """The beams at ``places`` with new scores, those of -inf replaced by none."""
        nodes, parents, codes = (
            each.gather(1, places) for each in (self.nodes, self.parents, self.codes)
        )
        return Beams(nodes.masked_fill_(scores == -torch.inf, closing), scores, parents, codes)


class Children(NamedTuple):
    """Every beam has the same number of places for children, some of them empty.

    Attributes:
        level: the children's level.
        parents: ``(b, beams)`` nodes above.
        scores: ``(b, beams, places)`` float32; -inf for an empty place.
        first: ``(b, beams)`` int32, the first child of each, if places are children in a row;
            if they are codes, None.
    """

    level: Level
    parents: Tensor
    scores: Tensor
    first: Tensor | None

    def nodes(self) -> Tensor:
        """``(b, beams, places)`` int32, where places are children in a row."""
        assert self.first is not None
        nodes = self.first[:, :, None] + _steps(self.level)
        return nodes.clamp_(max=self.level.nodes)

    def at(self, places: Tensor, scores: Tensor) -> Beams:
        """The beams at ``places`` ``(b, m)`` among all places of a user; none for -inf."""
        b, m = places.shape
        parents = places // self.scores.shape[2]
        parents.clamp_(max=self.parents.shape[1] - 1)
        step = places % self.scores.shape[2]
        if self.first is None:
            above, codes = self.parents.gather(1, parents), step
            nodes = self.level.children[above, codes].long()
        else:
            nodes = self.first.gather(1, parents).long() + step
            codes = self.level.codes.index_select(0, nodes.view(-1)).view(b, m).long()
        nodes.masked_fill_(scores == -torch.inf, self.level.nodes)
        return Beams(nodes, scores, parents, codes)


def dense_children(level: Level, beams: Beams, log_probs: Tensor) -> Children:
    """A place for every code; ``log_probs`` are ``(b, beams or 1, size)``."""
    shape = (*beams.nodes.shape, level.size)
    scores = level.penalty.index_select(0, beams.nodes.view(-1)).view(shape)
    scores.add_(log_probs).add_(beams.scores[:, :, None])
    return Children(level, beams.nodes, scores, None)


def listed_children(level: Level, beams: Beams, log_probs: Tensor) -> Children:
    """As many places as the node with most children has; log-probabilities are looked up."""
    shape = (*beams.nodes.shape, level.width)
    flat = beams.nodes.view(-1)
    first = level.starts.index_select(0, flat)
    counts = level.starts.index_select(0, flat + 1) - first
    codes = level.windows.index_select(0, first).view(shape)
    b, groups, size = log_probs.shape
    offsets = torch.arange(0, b * groups * size, size, device=flat.device).view(b, groups, 1)
    if log_probs.numel() < 2**31:
        offsets = offsets.int()
    scores = log_probs.reshape(-1).index_select(0, (codes + offsets).view(-1)).view(shape)
    scores.add_(beams.scores[:, :, None]).add_(level.surplus.index_select(0, counts).view(shape))
    return Children(level, beams.nodes, scores, first.view(beams.nodes.shape))


def _steps(level: Level) -> Tensor:
    return torch.arange(level.width, dtype=torch.int32, device=level.starts.device)
