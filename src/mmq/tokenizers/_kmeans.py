"""k-means: Euclidean for the tokenizers made of it, spherical for the start of MMQ's codebooks.

An iteration costs one product of points and means (``n * k * d`` multiply-adds); all else is
small beside it. The members' sums are made by adding rows in their order, which measured faster
than sorting, a one-hot product or a sparse one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from mmq.nn.codebook import best

Start = Literal["spherical", "k-means++", "sample"]

_BLOCK = 2**18  # similarities a product: 1 MiB of floats, which stays in the cache for the argmax
_ROUNDS = 16  # of the k-means++ start
_SPHERICAL = 5  # iterations by direction
_PRICE_STEP = 0.2  # most that a price moves by, as a share of what the clusters explain
_RUNAWAY = 0.97  # share of the best that is explained where a price has run away


class Clusters(NamedTuple):
    """What came out of k-means.

    Attributes:
        means: ``(k, d)``.
        counts: ``(k,)`` members of each; a cluster that stands at a single point counts 1.
        labels: ``(n,)`` the clusters that the means are of.
        distortions: mean squared distance to the members' mean after each iteration.
    """

    means: Tensor
    counts: Tensor
    labels: Tensor
    distortions: list[float]


@torch.no_grad()
def kmeans(
    points: Tensor,
    means: Tensor,
    iterations: int,
    tolerance: float = 0.0,
    balanced: bool = False,
) -> Clusters:
    """Lloyd's iterations from given means.

    It ends early when no point changes its cluster or an iteration gains less than ``tolerance``.
    Clusters that lose all members restart at the points farthest from their own mean.

    Args:
        points: ``(n, d)``, at least k of them.
        means: ``(k, d)`` to start from, see :func:`starting_means`.
        iterations: at most, passes of assignment and update.
        tolerance: relative gain of an iteration that is too little to go on.
        balanced: spend up to four fifths of the iterations on clusters of about the same size, and
            go on without that from the best means so far.
    """
    mean_square = float(torch.linalg.vector_norm(points).square()) / len(points)
    explained = list[float]()
    if balanced:
        means, explained = _balanced(points, means, iterations * 4 // 5)
    labels = points.new_empty(0, dtype=torch.int64)
    counts = points.new_ones(len(means))
    first = len(explained)
    while len(explained) < iterations:
        moved = nearest(points, means)
        if torch.equal(moved, labels):
            break
        labels = moved
        means, counts, own = _update(points, labels, len(means))
        explained.append(own)
        if len(explained) > first + 1:
            left = mean_square - explained[-2]
            if explained[-1] - explained[-2] < tolerance * left:
                break
    distortions = [max(mean_square - own, 0.0) for own in explained]
    return Clusters(means, counts.clamp_min(1), labels, distortions)


def _balanced(points: Tensor, means: Tensor, iterations: int) -> tuple[Tensor, list[float]]:
    """Best means of priced iterations, and what the means of each explain.

    Every mean asks a price that follows its number of members (dual ascent on the capacities of an
    optimal transport). A price can run away and leave one mean with most points: then it is over.
    """
    size, prices = len(means), points.new_zeros(len(means))
    best, explained = means, list[float]()
    for _ in range(iterations):
        labels = nearest(points, means, prices)
        means, counts, own = _update(points, labels, size)
        explained.append(own)
        if own >= max(explained):
            best = means
        centre = (means * counts[:, None]).sum(0) / len(points)
        spread, most = (value - float(centre.square().sum()) for value in (own, max(explained)))
        if spread < _RUNAWAY * most:
            break
        excess = (counts * (size / len(points))).clamp_min(1e-9).log().clamp(-1, 1)
        prices = prices - _PRICE_STEP * spread * excess
    return best, explained


def _update(points: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor, float]:
    """Means ``(k, d)``, counts ``(k,)`` and the mean squared norm that the means explain."""
    counts = torch.bincount(labels, minlength=size).to(points.dtype)
    means = member_sums(points, labels, size) / counts.clamp_min(1)[:, None]
    explained = float((means.double().square().sum(1) * counts).sum()) / len(points)
    _restart_empty(points, labels, means, counts)
    return means, counts, explained


def shrunk(found: Clusters, center: Tensor, shrinkage: float) -> Tensor:
    """Means ``(k, d)`` of the members and of ``shrinkage`` more that stand at the centre.

    Args:
        found: clusters.
        center: ``(d,)``.
        shrinkage: pseudo-members of each cluster.
    """
    share = found.counts / (found.counts + shrinkage)
    return center + (found.means - center) * share[:, None]


def starting_means(
    points: Tensor, clusters: int, generator: np.random.Generator, start: Start
) -> Tensor:
    """Means ``(k, d)`` to start k-means from.

    "spherical" iterates by direction alone: among many dimensions, where points are all but
    orthogonal, the shortest of the means that Lloyd starts from is the nearest to most points and
    keeps them to the end; directions have no such hub. "sample" draws points evenly. "k-means++"
    draws them in rounds with a chance proportional to the squared distance from all of the rounds
    before (k-means||, Bahmani et al. 2012, with as many points as are wanted): a round is one
    product, so that all cost as much as one iteration.

    Args:
        points: ``(n, d)``, at least ``clusters`` of them.
        clusters: k.
        generator: source of the draws.
        start: how.
    """
    if start == "spherical":
        return spherical_kmeans(points, clusters, generator, _SPHERICAL)
    first = clusters if start == "sample" else -(-clusters // _ROUNDS)
    chosen = generator.choice(len(points), first, replace=False)
    distances = np.full(len(points), np.inf)
    fresh = chosen
    while len(chosen) < clusters:
        own = _squared_distances(points, points[torch.from_numpy(fresh).to(points.device)])
        distances = np.minimum(distances, own.cpu().numpy())
        distances[chosen] = 0
        wanted = min(first, clusters - len(chosen))
        fresh = _draw(distances, chosen, wanted, generator)
        chosen = np.concatenate([chosen, fresh])
    return points[torch.from_numpy(chosen).to(points.device)]


def nearest(points: Tensor, means: Tensor, prices: Tensor | None = None) -> Tensor:
    """Index ``(n,)`` int64 of the mean nearest to each point.

    Args:
        points: ``(n, d)``.
        means: ``(k, d)``.
        prices: ``(k,)`` in halves of a squared distance, added to the similarity.
    """
    offset = -0.5 * means.square().sum(1)
    if prices is not None:
        offset = offset + prices
    return _best(points, means, offset)[0]


def member_sums(points: Tensor, labels: Tensor, clusters: int) -> Tensor:
    """Sum ``(k, d)`` of the points of each cluster; the same to the bit each time, on any device.

    Args:
        points: ``(n, d)``.
        labels: ``(n,)`` cluster of each.
        clusters: k.
    """
    if points.device.type == "cpu":
        return points.new_zeros(clusters, points.shape[1]).index_add_(0, labels, points)
    counts = torch.bincount(labels, minlength=clusters)
    order = labels.argsort(stable=True)  # index_add_ adds in no fixed order on a GPU
    return embedding_bag(order, points, counts.cumsum(0) - counts, mode="sum")


def start_sample(clusters: int) -> int:
    """How many items a start draws to cluster: enough, and bounded for large catalogues."""
    return max(10_000, 32 * clusters)


@torch.no_grad()
def euclidean_kmeans(
    points: Tensor, clusters: int, generator: np.random.Generator, iterations: int = 10
) -> Tensor:
    """Means ``(k, d)`` of ``k`` clusters by distance, from a start by direction.

    Args:
        points: ``(items, d)``, at least ``clusters`` of them.
        clusters: k.
        generator: source of the random start.
        iterations: at most, passes of assignment and update after the start.
    """
    start = starting_means(points, clusters, generator, "spherical")
    return kmeans(points, start, iterations).means


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
    start = torch.from_numpy(generator.permutation(len(points))[:clusters])
    means = points[start.to(points.device)]
    for _ in range(iterations):
        labels, _ = _best(directions, normalize(means, dim=1), points.new_zeros(clusters))
        counts = torch.bincount(labels, minlength=clusters)
        means = member_sums(points, labels, clusters) / counts.clamp_min(1)[:, None]
        empty = torch.nonzero(counts == 0).flatten()
        if len(empty):
            fresh = torch.from_numpy(generator.integers(len(points), size=len(empty)))
            means[empty] = points[fresh.to(points.device)]
    return means


def _best(points: Tensor, keys: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Index and value ``(n,)`` of the largest of ``points @ keys.T + offset``, block by block."""
    block = max(64, _BLOCK // len(keys))
    scores = points.new_empty(min(block, len(points)), len(keys))  # one for all: no page faults
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    values = points.new_empty(len(points))
    for start in range(0, len(points), block):
        part = points[start : start + block]
        own = torch.addmm(offset, part, keys.T, out=scores[: len(part)])
        place = slice(start, start + len(part))
        labels[place] = best(own)
        values[place] = own.gather(1, labels[place, None]).squeeze(1)
    return labels, values


def _squared_distances(points: Tensor, means: Tensor) -> Tensor:
    """``(n,)`` squared distance of each point to the nearest mean."""
    _, values = _best(points, means, -0.5 * means.square().sum(1))
    return (points.square().sum(1) - 2 * values).clamp_min_(0)


def _draw(
    distances: np.ndarray, chosen: np.ndarray, wanted: int, generator: np.random.Generator
) -> np.ndarray:
    """Distinct rows, by chances proportional to ``distances``; any others if too few are apart."""
    apart = int((distances > 0).sum())
    if apart >= wanted:
        chances = distances / distances.sum()
        return generator.choice(len(distances), wanted, replace=False, p=chances)
    rest = np.setdiff1d(np.arange(len(distances)), chosen)
    return generator.choice(rest, wanted, replace=False)


def _restart_empty(points: Tensor, labels: Tensor, means: Tensor, counts: Tensor) -> None:
    """Put the means without members, in place, on the points that are farthest from theirs."""
    empty = torch.nonzero(counts == 0).flatten()
    if len(empty):
        blocks = zip(points.split(8192), labels.split(8192), strict=True)
        errors = torch.cat([(part - means[own]).square().sum(1) for part, own in blocks])
        means[empty] = points[errors.topk(len(empty)).indices]
