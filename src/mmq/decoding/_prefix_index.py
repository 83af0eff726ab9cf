"""The prefix tree of a catalogue's IDs as a few sorted arrays.

The IDs are sorted; a node of level ``l`` is a distinct prefix of ``l + 1`` codes, numbered in that
order, so that the children of a node are neighbours and a level is two arrays: the last code of
every node, and where the children of every node above begin (compressed sparse rows). The first
levels, where most combinations exist, have a dense table beside them, as in STATIC (Vectorizing
the Trie, arXiv 2602.22647). One node more than exist closes every level: it has no children, and
stands wherever a search has nothing to point at.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmq.decoding._inverted import LEAST_LEAVES, MOST_BLOCKS, InvertedIndex, count_blocks
from mmq.decoding._level import Level
from mmq.errors import DataError
from mmq.metrics.buckets import bucket_ids
from mmq.metrics.quantisation import check_codes

_MOST_ITEMS = 2**31 - 2
_USERS = 64
"""A batch of so many pays for an inverted index."""


@dataclass(frozen=True, eq=False)
class PrefixIndex:
    """All IDs of a catalogue as a prefix tree; a leaf is an ID and holds the items that share it.

    Attributes:
        levels: one for each code of an ID; the last one's nodes are the leaves.
        leaf_starts: ``(leaves + 2,)`` int32, the items of a leaf are ``rows[start : next start]``.
        rows: ``(items + 1,)`` int32, row in the ID table of the items in the order of their IDs,
            closed by -1.
        table_rows: rows of the ID table; more than there are items in a restricted index.
        fingerprint: hash of the codes it was built from.

    >>> index = PrefixIndex.build(np.array([[1, 0], [0, 2], [1, 0]]), [2, 3])
    >>> index.rows.tolist(), index.leaf_starts.tolist()
    ([1, 0, 2, -1], [0, 1, 3, 3])
    """

    levels: tuple[Level, ...]
    leaf_starts: Tensor
    rows: Tensor
    table_rows: int
    fingerprint: str

    @classmethod
    def build(cls, codes: np.ndarray, codebook_sizes: Sequence[int]) -> PrefixIndex:
        """The index of ``codes`` ``(items, length)``; rows that share an ID keep their order.

        Raises:
            DataError: codes outside their codebook, no items, or more than int32 can number.
        """
        check_codes(codes, codebook_sizes)
        items, length = codes.shape
        if not 0 < items <= _MOST_ITEMS or length == 0:
            raise DataError(
                f"a prefix index needs 1 to {_MOST_ITEMS:,} items with codes; got {codes.shape}"
            )
        ordered = np.sort(bucket_ids(codes) * items + np.arange(items))
        buckets, rows = np.divmod(ordered, items)
        leaf_starts = np.flatnonzero(np.diff(buckets, prepend=-1))
        leaves = codes[rows[leaf_starts]]
        is_new = np.zeros(len(leaves), bool)
        is_new[0] = True
        above = np.zeros(1, np.int64)  # the leaf at which each node above begins
        levels = []
        for position, size in enumerate(codebook_sizes):
            is_new[1:] |= leaves[1:, position] != leaves[:-1, position]
            begins = np.flatnonzero(is_new)
            number = (np.cumsum(is_new) - 1)[above]
            kept = leaves[begins, position].astype(_code_type(size))
            starts = _int32(np.append(number, len(begins)))
            levels.append(Level.build(torch.from_numpy(kept), starts, int(size), items))
            above = begins
        return cls(
            tuple(levels),
            _int32(np.append(leaf_starts, [items, items])),
            _int32(np.append(rows, -1)),
            items,
            codes_fingerprint(codes, codebook_sizes),
        )

    def __len__(self) -> int:
        """Items."""
        return len(self.rows) - 1

    @property
    def leaves(self) -> int:
        """Distinct IDs."""
        return len(self.leaf_starts) - 2

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Size of each codebook."""
        return tuple(level.size for level in self.levels)

    @property
    def device(self) -> torch.device:
        """Where the arrays live."""
        return self.rows.device

    @property
    def nbytes(self) -> int:
        """Bytes in memory, the dense tables included."""
        levels = sum(level.nbytes for level in self.levels)
        return levels + self.leaf_starts.nbytes + self.rows.nbytes

    def to(self, device: torch.device | str) -> PrefixIndex:
        """The index on another device."""
        if torch.device(device) == self.device:
            return self
        levels = tuple(
            dataclasses.replace(level, codes=level.codes.to(device), starts=level.starts.to(device))
            for level in self.levels
        )
        return dataclasses.replace(
            self,
            levels=levels,
            leaf_starts=self.leaf_starts.to(device),
            rows=self.rows.to(device),
        )

    @cached_property
    def largest_leaf(self) -> int:
        """Most items that share one ID."""
        return max(int(self.leaf_starts.diff().max()), 1)

    @cached_property
    def positions(self) -> Tensor:
        """``(table rows,)`` int32: place of each row in :attr:`rows`, -1 where it is not there."""
        places = self.rows.new_full((self.table_rows,), -1)
        places[self.rows[:-1].long()] = torch.arange(
            len(self), dtype=torch.int32, device=self.device
        )
        return places

    @cached_property
    def leaf_of_rows(self) -> Tensor:
        """``(table rows,)`` int64: the leaf of each row, the closing one where it has none."""
        leaves = torch.full((self.table_rows,), self.leaves, device=self.device)
        counts = self.leaf_starts[:-1].diff()
        own = torch.arange(self.leaves, device=self.device).repeat_interleave(counts)
        leaves[self.rows[:-1].long()] = own
        return leaves

    @cached_property
    def item_starts(self) -> tuple[Tensor, ...]:
        """For each level ``(nodes + 2,)`` int32: where the items under each node begin."""
        starts = [self.leaf_starts]
        for level in self.levels[:0:-1]:
            starts.append(starts[-1].index_select(0, level.starts))
        return tuple(reversed(starts))

    @cached_property
    def leaf_codes(self) -> Tensor:
        """``(leaves, length)`` the distinct IDs in order, in the least integer type that fits."""
        widest = max(self.codebook_sizes)
        codes = torch.empty(1, 0, dtype=_torch_type(widest), device=self.device)
        for level in self.levels:
            own = level.codes[: level.nodes, None].to(codes.dtype)
            codes = torch.cat([codes.repeat_interleave(level.counts, dim=0), own], dim=1)
        return codes

    @cached_property
    def inverted(self) -> InvertedIndex:
        """The IDs by their codes, for exact searches that do not look at all of them.

        4 bytes an ID and block, made within the time of some 100 users' scans: a service asks for
        it once, before its first user.
        """
        return InvertedIndex.build(self.leaf_codes.cpu(), self.codebook_sizes)

    def worth_inverting(self, users: int) -> bool:
        """Whether an exact search for so many users goes through :attr:`inverted`."""
        if self.device.type != "cpu" or self.leaves < LEAST_LEAVES:
            return False
        if count_blocks(self.codebook_sizes, self.leaves) > MOST_BLOCKS:
            return False
        return "inverted" in self.__dict__ or users >= _USERS

    def restrict(self, allowed: Tensor) -> PrefixIndex:
        """The index of the items of ``allowed`` ``(table rows,)`` bool alone; rows stay the same.

        A search in it costs no more than in the whole: to be made once and kept.
        """
        kept = allowed.to(self.device)[self.rows[:-1].long()]
        items = int(kept.sum())
        alive, leaf_starts = _thin(kept, self.leaf_starts[:-1])
        levels = []
        for level in reversed(self.levels):
            codes = level.codes[: level.nodes][alive]
            alive, starts = _thin(alive, level.starts[:-1])
            levels.append(Level.build(codes, starts, level.size, items))
        if not items:  # the root stays
            first = levels[-1]
            levels[-1] = dataclasses.replace(first, starts=first.starts.new_zeros(3))
        return PrefixIndex(
            tuple(reversed(levels)),
            torch.cat([leaf_starts, leaf_starts[-1:]]),
            torch.cat([self.rows[:-1][kept], self.rows[-1:]]),
            self.table_rows,
            self.fingerprint,
        )

    def ordered(self, ties: Tensor) -> PrefixIndex:
        """The index with the items that share an ID sorted by ``ties``, highest first, then row.

        Args:
            ties: ``(table rows,)``, such as popularity.
        """
        counts = self.leaf_starts[:-1].diff()
        leaf = torch.arange(self.leaves, device=self.device).repeat_interleave(counts)
        shared = (counts[leaf] > 1).nonzero()[:, 0]
        rows = self.rows[shared].long()
        order = rows.argsort()
        order = order[ties.to(self.device)[rows[order]].argsort(descending=True, stable=True)]
        order = order[leaf[shared[order]].argsort(stable=True)]
        sorted_rows = self.rows.clone()
        sorted_rows[shared] = self.rows[shared[order]]
        return dataclasses.replace(self, rows=sorted_rows)


def codes_fingerprint(codes: np.ndarray, codebook_sizes: Sequence[int]) -> str:
    """Content hash (SHA-256) of ``codes`` ``(items, length)`` and the sizes of their codebooks."""
    digest = hashlib.sha256(repr([int(size) for size in codebook_sizes]).encode())
    digest.update(np.ascontiguousarray(codes, np.int32).data)
    return digest.hexdigest()


def _thin(kept: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Which groups ``starts`` ``(groups + 1,)`` still hold something, and the starts of those."""
    before = torch.cat([kept.new_zeros(1, dtype=torch.int32), kept.cumsum(0, dtype=torch.int32)])
    ends = before.index_select(0, starts)
    alive = ends.diff() > 0
    return alive, torch.cat([ends[:-1][alive], ends[-1:]])


def _code_type(size: int) -> type[np.integer]:
    """The least type that holds the codes and that torch can index."""
    if size <= 2**8:
        return np.uint8
    return np.int16 if size <= 2**15 else np.int32


def _torch_type(size: int) -> torch.dtype:
    return torch.from_numpy(np.empty(0, _code_type(size))).dtype


def _int32(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.int32))
