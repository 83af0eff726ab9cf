"""What the users of a part take: a step of all of them at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.world.settings import World
from benchmarks.world.tree import LEAVES, Tree

_SHORTEST = 5
_OPENED = 1_600_000_000
_DAY = 86_400
_FIRST_DAYS = 300
_DAYS_BETWEEN = 3


class Events(NamedTuple):
    """A part of the log, in the order of time; each is ``(events,)`` int64.

    Attributes:
        users: ids.
        items: ids.
        times: in seconds since 1970.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray


class _State(NamedTuple):
    """Where users stand, each ``(users,)`` but ``tastes``, ``(users, tastes)``; written in place.

    Attributes:
        tastes: branches that they like.
        active: which of them they are at.
        leaf: of what they took last.
        rank: likewise.
    """

    tastes: np.ndarray
    active: np.ndarray
    leaf: np.ndarray
    rank: np.ndarray

    def first(self, count: int) -> _State:
        return _State(*(column[:count] for column in self))


def events_part(world: World, tree: Tree, part: int) -> Events:
    """All events of the users of a part; a user takes an item once."""
    rng = world.generator("interactions", part)
    span = world.span(world.users, part)
    lengths = _lengths(world, rng, len(span))
    items = _walks(world, tree, rng, lengths)
    times = _times(rng, items.shape)
    step = np.arange(items.shape[0])[:, None]
    happened = np.broadcast_to(step < lengths, items.shape)
    users = np.broadcast_to(span.start + rng.permutation(len(span)), items.shape)
    return _in_time(users[happened], items[happened], times[happened], world.items)


def _lengths(world: World, rng: np.random.Generator, count: int) -> np.ndarray:
    """``(users,)`` events of each, the longest first: so who still acts is a slice."""
    more = rng.geometric(1 / (world.events - _SHORTEST), count)
    return np.sort(np.minimum(_SHORTEST + more, world.longest))[::-1]


def _walks(world: World, tree: Tree, rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """``(longest, users)`` item ids; what lies past a user's end means nothing."""
    count = len(lengths)
    state = _State(
        _liked(tree, rng, (count, world.tastes)),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    items = np.zeros((int(lengths[0]), count), np.int64)
    for step in range(len(items)):
        acting = int(np.searchsorted(-lengths, -step))
        now = state.first(acting)
        _change_taste(world, tree, rng, now)
        _take(world, tree, rng, now, begins=step == 0)
        items[step, :acting] = tree.ids(now.leaf, now.rank)
    return items


def _liked(tree: Tree, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Branches, by popularity."""
    everything = np.zeros(shape, np.int64), np.full(shape, len(tree.follower))
    branch: np.ndarray = tree.draw_leaf(rng.random(shape), *everything) // LEAVES
    return branch


def _change_taste(world: World, tree: Tree, rng: np.random.Generator, now: _State) -> None:
    """Every few events users turn to another of their tastes; now and then one is new."""
    count = len(now.active)
    turns = rng.random(count) < 0.2
    now.active[turns] = rng.integers(world.tastes, size=int(turns.sum()))
    new = np.flatnonzero(rng.random(count) < world.drift)
    now.tastes[new, now.active[new]] = _liked(tree, rng, new.shape)


def _take(world: World, tree: Tree, rng: np.random.Generator, now: _State, begins: bool) -> None:
    """The next item of each: what follows the last one, what is liked, or what is popular."""
    count, leaves = len(now.leaf), len(tree.follower)
    source = rng.random(count)
    follows = (source < world.follows) & (not begins)
    liked = source < world.follows + world.liked
    branch = now.tastes[np.arange(count), now.active]
    first = np.where(liked, branch * LEAVES, 0)
    end = np.where(liked, first + LEAVES, leaves)
    drawn = tree.draw_leaf(rng.random(count), first, end)
    now.leaf[:] = np.where(follows, tree.follower[now.leaf], drawn)
    same = follows & (rng.random(count) < world.same_rank)
    rank = tree.draw_rank(rng.random(count), now.leaf)
    now.rank[:] = np.where(same, np.minimum(now.rank, tree.size(now.leaf) - 1), rank)


def _times(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """``(longest, users)`` seconds: users come over a year, and act every few days."""
    gaps = 1 + rng.exponential(_DAYS_BETWEEN * _DAY, shape)
    gaps[0] = rng.uniform(0, _FIRST_DAYS * _DAY, shape[1])
    return _OPENED + np.cumsum(gaps, axis=0).astype(np.int64)


def _in_time(users: np.ndarray, items: np.ndarray, times: np.ndarray, count: int) -> Events:
    """The first of every user and item, in the order of time."""
    _, first = np.unique((users - users.min()) * count + items, return_index=True)
    first.sort()  # a user's events stand in time, so the first is the earliest
    order = first[np.argsort(times[first], kind="stable")]
    return Events(users[order], items[order], times[order])
