"""Spherical k-means for the start of codebooks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

_BLOCK = 8192  # rows a product, so that similarities never fill the memory


@torch.no_grad()
def spherical_kmeans(
    points: Tensor, clusters: int, generator: np.random.Generator, iterations: int = 10
) -> Tensor:
    """Means ``(k, d)`` of the members (norms kept) of ``k`` clusters by direction.

    Clusters that lose all members restart at random points.

    Args:
        points: ``(items, d)``, at least ``clusters`` of them.
        clusters: k.
        generator: source of the random start.
        iterations: passes of assignment and update.
    """
    directions = normalize(points, dim=1)
    start = torch.from_numpy(generator.permutation(len(points)))[:clusters]
    centres = directions[start]
    means = points[start].clone()
    for _ in range(iterations):
        labels = torch.cat([(block @ centres.T).argmax(1) for block in directions.split(_BLOCK)])
        counts = torch.bincount(labels, minlength=clusters)
        sums = torch.zeros_like(means).index_add_(0, labels, points)
        means = sums / counts.clamp_min(1)[:, None]
        empty = torch.nonzero(counts == 0).flatten()
        if len(empty):
            fresh = torch.from_numpy(generator.integers(len(points), size=len(empty)))
            means[empty] = points[fresh]
        centres = normalize(means, dim=1)
    return means
