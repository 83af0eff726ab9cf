"""Which IDs hold given codes at some positions: what a search with bounds looks IDs up in.

The positions are divided into blocks. For every combination of a block's codes there is a list of
the IDs that hold it (compressed sparse rows), as in multi-index hashing (Norouzi, Punjani & Fleet
2012, "Fast search in Hamming space with multi-index hashing").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from torch import Tensor

LEAST_LEAVES = 300_000
"""With fewer IDs a scan is as fast."""
MOST_BLOCKS = 3
"""Of more blocks, each has so large a share of what may be lacking that most IDs are looked at."""

_CELLS = 1 << 20
"""A block may have so many combinations whatever the number of IDs, 4 bytes each."""
_CELLS_A_LEAF = 10
_FIRST = 1024
"""IDs of a block that are looked at first, if they were even among combinations."""


@dataclass(frozen=True, eq=False)
class Block:
    """The IDs by their codes at some neighbouring positions.

    Attributes:
        first: the first of the positions.
        sizes: codes that there are at each of them.
        starts: ``(combinations + 1,)`` int32: the IDs of combination c are
            ``leaves[starts[c] : starts[c + 1]]``; combinations are numbered like digits, the last
            code running fastest.
        leaves: ``(leaves,)`` int32 leaves of the prefix index.
    """

    first: int
    sizes: tuple[int, ...]
    starts: np.ndarray
    leaves: np.ndarray

    @classmethod
    def build(cls, codes: np.ndarray, first: int, sizes: tuple[int, ...]) -> Block:
        """The block of ``codes`` ``(leaves, length)`` at the positions from ``first`` on."""
        combination = np.zeros(len(codes), np.int64)
        for position, size in enumerate(sizes, start=first):
            combination *= size
            combination += codes[:, position]
        counts = np.bincount(combination, minlength=math.prod(sizes))
        order = combination.argsort(kind="stable")
        starts = np.append(0, counts.cumsum()).astype(np.int32)
        return cls(first, sizes, starts, order.astype(np.int32))

    @property
    def positions(self) -> range:
        """Those of the codes."""
        return range(self.first, self.first + len(self.sizes))

    @cached_property
    def corner(self) -> Corner:
        """The combinations to look at first."""
        product, corner = 1, _corner(self.sizes, 1)
        while product < max(self.sizes):
            product *= 2
            larger = _corner(self.sizes, product)
            if larger.inside.shape[1] * len(self.leaves) > _FIRST * len(self.starts):
                break
            corner = larger
        return corner


class Corner(NamedTuple):
    """Combinations of codes by the ranks of their scores (0 is the best of a position).

    Where the sum of scores is large, most ranks are low: the product of ranks, counted from 1, is
    below a limit (a hyperbolic cross).

    Attributes:
        inside: ``(positions, n)`` int64 ranks.
        beyond: ``(positions, m)`` int64 ranks of the first ones that are not inside: no combination
            outside has a larger sum than the largest of these.
    """

    inside: np.ndarray
    beyond: np.ndarray


def _corner(sizes: Sequence[int], most: int) -> Corner:
    """Ranks whose product is at most ``most``, and the least ones whose product is above."""
    grid = np.indices([min(size, most + 1) for size in sizes]).reshape(len(sizes), -1)
    product = (grid + 1).prod(axis=0)
    beyond = product > most
    for rank in grid:  # one rank lower, and it is inside
        beyond &= (rank == 0) | (product // (rank + 1) * rank <= most)
    return Corner(
        np.ascontiguousarray(grid[:, product <= most]), np.ascontiguousarray(grid[:, beyond])
    )


@dataclass(frozen=True, eq=False)
class InvertedIndex:
    """All IDs of a prefix index by their codes.

    Attributes:
        codes: ``(leaves, length)`` the IDs in the order of the prefix index.
        blocks: of all positions, each in one of them.
    """

    codes: np.ndarray
    blocks: tuple[Block, ...]

    @classmethod
    def build(cls, codes: Tensor, sizes: Sequence[int]) -> InvertedIndex:
        """Of ``codes`` ``(leaves, length)`` on the CPU, with ``sizes`` of their codebooks."""
        ids = codes.numpy()
        blocks = []
        first = 0
        for part in np.array_split(np.array(sizes), count_blocks(sizes, len(ids))):
            blocks.append(Block.build(ids, first, tuple(part.tolist())))
            first += len(part)
        return cls(ids, tuple(blocks))

    @property
    def nbytes(self) -> int:
        """Bytes in memory beside the prefix index."""
        lists = sum(block.starts.nbytes + block.leaves.nbytes for block in self.blocks)
        return lists + self.codes.nbytes


def count_blocks(sizes: Sequence[int], leaves: int) -> int:
    """The fewest blocks of neighbouring positions that have not too many combinations each."""
    most = max(_CELLS, _CELLS_A_LEAF * leaves)
    for blocks in range(1, len(sizes)):
        parts = np.array_split(np.array(sizes, float), blocks)
        if max(part.prod() for part in parts) <= most:
            return blocks
    return len(sizes)
