"""Which items a user may be given, and what of the prefix tree that leaves alive.

A node is alive for a user while one item below it may be given. A list shared by all users is a
smaller index. What single users exclude is little: only the nodes that it empties are written
down, level by level. A list of allowed items for every user is counted along the sorted items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mmq.decoding._prefix_index import PrefixIndex

_ALL = slice(None)


class Excluded(NamedTuple):
    """Rows that each user is not given: ``rows[offsets[u] : offsets[u + 1]]``; -1 is ignored.

    Attributes:
        rows: ``(m,)`` int64, in any order, repetitions allowed.
        offsets: ``(b + 1,)`` int64.
    """

    rows: Tensor
    offsets: Tensor


@dataclass(frozen=True, eq=False)
class Filters:
    """What may be recommended; only items that pass come back, and k of them where k exist.

    Attributes:
        allowed: ``(table rows,)`` bool for all users, ``(b, table rows)`` bool for each, or None
            for all items. A list for all users makes a smaller index: where it serves many
            batches, :meth:`PrefixIndex.restrict` once and search in that. Lists of their own for
            every user cost four bytes a user and item while the search runs.
        excluded: rows that single users are not given, such as their history.
    """

    allowed: Tensor | None = None
    excluded: Excluded | None = None


class Emptied(NamedTuple):
    """Nodes of a level without items for a user: ``user * (nodes + 1) + node``, rising.

    Attributes:
        keys: ``(m,)`` int64.
        most: most of them that one user has.
    """

    keys: Tensor
    most: int


@dataclass(frozen=True, eq=False)
class Restriction:
    """Filters seen from an index.

    Attributes:
        index: the index, without the items that no user may be given.
        emptied: for each level, the nodes that exclusion empties; or nothing.
        banned: ``(m,)`` int64 rising, ``user * items + position`` of the excluded items that
            share a living leaf with others, and the most of them that one user has; or None.
        counts: ``(b, items + 1)`` int32, allowed items of each user before each position; if
            users have lists of their own.
    """

    index: PrefixIndex
    emptied: tuple[Emptied, ...] = ()
    banned: Emptied | None = None
    counts: Tensor | None = None

    @classmethod
    def build(cls, index: PrefixIndex, filters: Filters | None) -> Restriction:
        """What ``filters`` leaves of ``index``."""
        if filters is None:
            return cls(index)
        allowed = None if filters.allowed is None else filters.allowed.to(index.device)
        if allowed is not None and allowed.ndim == 1:
            index, allowed = index.restrict(allowed), None
        if filters.excluded is None:
            return cls(index, counts=None if allowed is None else _counts(index, allowed))
        users, positions = _excluded(index, filters.excluded)
        if allowed is not None:
            allowed = allowed.clone()
            allowed[users, index.rows[positions].long()] = False
            return cls(index, counts=_counts(index, allowed))
        return cls(index, *_emptied(index, users, positions))

    def alive(self, level: int, nodes: Tensor, users: slice = _ALL) -> Tensor:
        """Which of the level's ``nodes`` ``(b, ...)`` int hold an item for their user.

        Args:
            level: depth of the nodes.
            nodes: ``(users, ...)`` numbers of nodes.
            users: whose they are; those of the whole batch.
        """
        if self.counts is not None:
            starts = self.index.item_starts[level]
            flat = nodes.reshape(len(nodes), -1).long()
            counts = self.counts[users]
            before, after = (counts.gather(1, starts[at].long()) for at in (flat, flat + 1))
            return (after > before).view(nodes.shape)
        if not self.emptied:
            return torch.ones_like(nodes, dtype=torch.bool)
        span = self.index.levels[level].nodes + 1
        return ~_contains(self.emptied[level].keys, nodes, span, users.start or 0)

    def surplus(self, level: int) -> int:
        """Most emptied nodes of one user: so many more have to be selected before they go."""
        return self.emptied[level].most if self.emptied else 0

    def bans(self, positions: Tensor) -> Tensor:
        """Which items, by position ``(b, m)`` in the index, are ``banned`` for their user."""
        assert self.banned is not None
        return _contains(self.banned.keys, positions, len(self.index) + 1)


def _counts(index: PrefixIndex, allowed: Tensor) -> Tensor:
    """``(b, items + 2)``: one more than the items, since the closing position holds none."""
    counts = torch.zeros(len(allowed), len(index) + 2, dtype=torch.int32, device=index.device)
    torch.cumsum(allowed[:, index.rows[:-1].long()], 1, dtype=torch.int32, out=counts[:, 1:-1])
    counts[:, -1] = counts[:, -2]
    return counts


def _excluded(index: PrefixIndex, excluded: Excluded) -> tuple[Tensor, Tensor]:
    """User and position of every excluded item that is in the index, sorted, none twice."""
    offsets = torch.as_tensor(excluded.offsets, device=index.device)
    rows = torch.as_tensor(excluded.rows, device=index.device).long()
    users = torch.arange(len(offsets) - 1, device=index.device).repeat_interleave(offsets.diff())
    positions = index.positions[rows.clamp(min=0)].long()
    there = (rows >= 0) & (positions >= 0)
    keys = torch.unique(users[there] * (len(index) + 1) + positions[there])
    return keys // (len(index) + 1), keys % (len(index) + 1)


def _emptied(
    index: PrefixIndex, users: Tensor, positions: Tensor
) -> tuple[tuple[Emptied, ...], Emptied | None]:
    """The nodes of every level that the items leave empty, and those items that leave others."""
    starts = (*(level.starts for level in index.levels), index.leaf_starts)
    below, below_users, emptied = positions, users, []
    banned = None
    for level in reversed(range(len(index.levels))):
        nodes = _owners(starts[level + 1], below)
        span = index.levels[level].nodes + 1
        keys, back, counts = torch.unique_consecutive(
            below_users * span + nodes, return_inverse=True, return_counts=True
        )
        sizes = starts[level + 1].diff()[keys % span]
        empty = counts == sizes
        if banned is None:
            left = ~empty[back]
            banned = _emptied_keys(users[left] * (len(index) + 1) + positions[left], len(index) + 1)
        emptied.append(_emptied_keys(keys[empty], span))
        below, below_users = keys[empty] % span, keys[empty] // span
    assert banned is not None
    return tuple(reversed(emptied)), banned if banned.most else None


def _emptied_keys(keys: Tensor, span: int) -> Emptied:
    users = keys // span
    return Emptied(keys, int(users.bincount().max()) if len(keys) else 0)


def _owners(starts: Tensor, members: Tensor) -> Tensor:
    """The group that each member belongs to."""
    return torch.searchsorted(starts, members.int(), right=True) - 1


def _contains(keys: Tensor, nodes: Tensor, span: int, first: int = 0) -> Tensor:
    """Whether ``user * span + node`` is among the rising ``keys``, for ``nodes`` ``(b, m)``.

    ``first`` is the user of the first row.
    """
    if not len(keys):
        return torch.zeros_like(nodes, dtype=torch.bool)
    users = torch.arange(first, first + len(nodes), device=nodes.device)
    wanted = users[:, None] * span + nodes
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return keys[place] == wanted
