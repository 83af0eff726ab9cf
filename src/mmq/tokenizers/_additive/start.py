"""Where tables start: k-means of residuals, position after position, on disturbed items.

A codeword of few members is their mean and little else: it knows its items by heart and new ones
badly. So the clusters are of items that are disturbed, several times over, and codewords are means
of the items as they are: each item belongs a little to all clusters that it might have fallen into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.tokenizers._additive.problem import Problem
from mmq.tokenizers._kmeans import kmeans, nearest, starting_means
from mmq.tokenizers._opq_quantiser import OPQ, OPQSettings

Layout = tuple[tuple[int, ...], ...]
"""For each position the modalities (by place) that its first codewords are clusters of."""


class Effort(NamedTuple):
    """How much a start takes pains.

    Attributes:
        smoothing: noise, see :meth:`Problem.disturbed`.
        copies: how often each item is disturbed.
        iterations: of k-means at most.
    """

    smoothing: float
    copies: int
    iterations: int


Start = Callable[[Problem, Effort, np.random.Generator], Tensor]
"""Tables to start from, of items and a source of randomness."""


def layouts(scopes: np.ndarray) -> dict[str, Layout]:
    """The ways to start, by name.

    "joint": positions that speak of several modalities cluster them together. "separate": they
    take one modality each, in turn, as if there were a quantiser a modality; least squares then
    lets them speak of the others as well.

    Args:
        scopes: ``(n, m)`` bool: the modalities that each position codes.
    """
    joint = tuple(tuple(np.flatnonzero(row).tolist()) for row in scopes)
    turn, separate = 0, list[tuple[int, ...]]()
    for own in joint:
        separate.append(own if len(own) == 1 else (own[turn % len(own)],))
        turn += len(own) > 1
    found = {"joint": joint, "separate": tuple(separate)}
    return found if found["joint"] != found["separate"] else {"joint": joint}


@torch.no_grad()
def product_start(
    layout: Layout, problem: Problem, effort: Effort, generator: np.random.Generator
) -> Tensor:
    """Tables ``(n, k, d)`` by OPQ: positions of the same modalities are parts of a rotated vector.

    It has fewer numbers to learn than k-means of whole vectors, so the items are taken as they are.
    """
    table = problem.x.new_zeros(len(layout), problem.size, problem.x.shape[1])
    for modalities in dict.fromkeys(layout):
        places = [n for n, own in enumerate(layout) if own == modalities]
        seen = problem.present[:, list(modalities)].any(1)
        columns = _columns(problem, modalities).to(problem.x.device)
        vectors = problem.x[seen][:, columns]
        if len(vectors) < problem.size:  # few items have the modality: their codes say nothing
            continue
        opq = OPQ(len(columns), len(places), OPQSettings(codebook_size=problem.size))
        opq.to(vectors.device).fit(vectors, generator, lambda *_, **__: None)
        offset, own = opq.addends()
        own[0] += offset
        table[torch.tensor(places)[:, None], :, columns[None]] = own.transpose(1, 2)
    return table


@torch.no_grad()
def residual_start(
    layout: Layout, problem: Problem, effort: Effort, generator: np.random.Generator
) -> Tensor:
    """Tables ``(n, k, d)`` by k-means of disturbed residuals.

    Args:
        layout: what each position clusters.
        problem: the items.
        effort: noise and iterations.
        generator: source of randomness.
    """
    smoothing, copies, iterations = effort
    clean = problem.x.repeat(copies, 1)
    present = problem.present.repeat(copies, 1) > 0
    rest = torch.cat([problem.disturbed(smoothing, generator) for _ in range(copies)])
    table = clean.new_zeros(len(layout), problem.size, clean.shape[1])
    for n, modalities in enumerate(layout):
        seen = present[:, list(modalities)].any(1)
        rows = slice(None) if bool(seen.all()) else torch.nonzero(seen).flatten()
        columns = _columns(problem, modalities).to(clean.device)
        points = rest[rows][:, columns]
        labels = _clusters(points, problem.size, iterations, generator)
        for m in modalities:  # means over the members that have the modality
            column, there = problem.columns[m], present[rows, m]
            own = clean[rows, column]
            counts = torch.bincount(labels[there], minlength=problem.size).clamp_min(1)
            sums = own.new_zeros(problem.size, own.shape[1]).index_add_(
                0, labels, own * there[:, None]
            )
            table[n, :, column] = sums / counts[:, None]
            step = table[n, :, column][labels] * there[:, None]
            clean[rows, column] -= step
            rest[rows, column] -= step
    return table


def _columns(problem: Problem, modalities: Sequence[int]) -> Tensor:
    places = [torch.arange(problem.columns[m].start, problem.columns[m].stop) for m in modalities]
    return torch.cat(places)


def _clusters(points: Tensor, size: int, iterations: int, generator: np.random.Generator) -> Tensor:
    """Cluster ``(b,)`` of each point; those without members stay without."""
    points = points - points.mean(0)
    if len(points) < size:  # few items have the modality: as many clusters as there are
        return torch.arange(len(points), device=points.device)
    first = starting_means(points, size, generator, "spherical")
    return nearest(points, kmeans(points, first, iterations, balanced=True).means)
