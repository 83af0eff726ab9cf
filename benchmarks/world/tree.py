"""The tree of tastes: where a leaf lies, how popular it is, what follows it, which items it has."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from benchmarks.world.settings import World

DIMENSIONS = 16
"""Of the latent space."""

LEAVES = 16
"""Leaves of a branch."""

ITEMS = 32
"""Items of a leaf, about."""

_VARIANCE = {"top": 0.35, "branch": 0.3, "leaf": 0.2}
"""What each level adds to an item's latent; the rest is the item's own."""

OWN = 1 - sum(_VARIANCE.values())
_BLOCK = 8


class Tree(NamedTuple):
    """A world's tastes. Leaves are numbered by popularity, and so are the items of a leaf.

    Attributes:
        latents: ``(leaves, DIMENSIONS)`` float32 of mean 0 and covariance ``1 - OWN``.
        mass: ``(leaves + 1,)`` cumulative popularity of the leaves, from 0 to 1.
        within: ``(items of the largest leaf + 1,)`` likewise of ranks in a leaf, from 0 on.
        follower: ``(leaves,)`` the leaf that follows.
        tops: how many groups of branches there are.
        items: how many there are.
        step: with ``offset``, an item's id is ``(step * number + offset) % items``.
        offset: see ``step``.
    """

    latents: np.ndarray
    mass: np.ndarray
    within: np.ndarray
    follower: np.ndarray
    tops: int
    items: int
    step: int
    offset: int

    @classmethod
    def of(cls, world: World) -> Tree:
        """The tree of a world, from its seed."""
        rng = world.generator("tree")
        branches = max(4, round(world.items / (LEAVES * ITEMS)))
        tops = int(np.clip(round(math.sqrt(branches)), 2, 64))
        leaves = branches * LEAVES
        return cls(
            _latents(rng, tops, branches),
            _cumulated(leaves, world.leaf_exponent),
            _cumulated(-(-world.items // leaves), world.item_exponent),
            _followers(rng, branches),
            tops,
            world.items,
            _step(rng, world.items),
            int(rng.integers(world.items)),
        )

    def ids(self, leaf: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """The item ids of places in the tree."""
        number = leaf * self.items // len(self.follower) + rank
        ids: np.ndarray = (self.step * number + self.offset) % self.items
        return ids

    def leaf_of(self, ids: np.ndarray) -> np.ndarray:
        """The leaf of each item."""
        number = pow(self.step, -1, self.items) * (ids - self.offset) % self.items
        leaf: np.ndarray = ((number + 1) * len(self.follower) - 1) // self.items
        return leaf

    def top_of(self, leaf: np.ndarray) -> np.ndarray:
        """The group that a leaf's branch is in; neighbours in popularity are in different ones."""
        top: np.ndarray = leaf // LEAVES % self.tops
        return top

    def size(self, leaf: np.ndarray) -> np.ndarray:
        """Items of each leaf."""
        leaves = len(self.follower)
        size: np.ndarray = (leaf + 1) * self.items // leaves - leaf * self.items // leaves
        return size

    def draw_leaf(self, uniform: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Leaves between ``first`` and ``end`` by popularity, from uniform numbers."""
        low, high = self.mass[first], self.mass[end]
        leaf = np.searchsorted(self.mass, low + uniform * (high - low), side="right") - 1
        return np.clip(leaf, first, end - 1)

    def draw_rank(self, uniform: np.ndarray, leaf: np.ndarray) -> np.ndarray:
        """Ranks in leaves by popularity, from uniform numbers."""
        size = self.size(leaf)
        rank = np.searchsorted(self.within, uniform * self.within[size], side="right") - 1
        return np.minimum(rank, size - 1)


def whitened(places: np.ndarray, variance: float) -> np.ndarray:
    """Places moved and mapped to mean 0 and this variance in every direction, as float32."""
    centred = places - places.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    return (centred @ vectors * np.sqrt(variance / values)).astype(np.float32)


def _latents(rng: np.random.Generator, tops: int, branches: int) -> np.ndarray:
    """Leaves around their branch, branches around their top."""
    level = {"top": tops, "branch": branches, "leaf": branches * LEAVES}
    places = {
        name: math.sqrt(_VARIANCE[name]) * rng.standard_normal((count, DIMENSIONS))
        for name, count in level.items()
    }
    branch = np.arange(level["leaf"]) // LEAVES
    return whitened(
        places["top"][branch % tops] + places["branch"][branch] + places["leaf"], 1 - OWN
    )


def _cumulated(count: int, exponent: float) -> np.ndarray:
    """``(count + 1,)`` cumulative shares of Zipf's law."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return np.append(0, np.cumsum(weights) / weights.sum())


def _followers(rng: np.random.Generator, branches: int) -> np.ndarray:
    """What follows each leaf: the leaf at the same place of a branch about as popular.

    So popularity's law stays what it is. Such branches are in different tops: what follows an item
    is not what is like it.
    """
    follower = np.arange(branches)
    for start in range(0, branches - 1, _BLOCK):
        block = start + rng.permutation(min(_BLOCK, branches - start))
        follower[block] = np.roll(block, -1)
    return (follower[:, None] * LEAVES + np.arange(LEAVES)).reshape(-1)


def _step(rng: np.random.Generator, items: int) -> int:
    """A number without a common divisor, far from 0, so that neighbours get ids far apart."""
    step = int(items * rng.uniform(0.3, 0.7))
    while math.gcd(step, items) != 1:
        step += 1
    return step
