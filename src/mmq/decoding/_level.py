"""The nodes at one depth of the prefix tree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_DENSE_GAIN = 3
"""A cell of a dense table costs a search about this much less than a child that is looked up."""
_DENSE_CELLS = 2
"""A dense table has at most so many cells an item; each takes 8 bytes."""


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes at one depth.

    Attributes:
        codes: ``(nodes + width,)`` last code of each node; the rest is padding, so that ``width``
            codes can be read from any node on.
        starts: ``(nodes above + 2,)`` int32, the children of node j above are
            ``starts[j] : starts[j + 1]``; the closing node above has none.
        width: most children of one node above, at least 1.
        size: codes that there are at this position.
        dense: keep a dense table of the children, ``(nodes above + 1, size)``.
    """

    codes: Tensor
    starts: Tensor
    width: int
    size: int
    dense: bool

    @classmethod
    def build(cls, codes: Tensor, starts: Tensor, size: int, items: int) -> Level:
        """A level of ``codes`` ``(nodes,)`` and ``starts`` ``(nodes above + 1,)``."""
        width = max(int(starts.diff().max()), 1) if len(starts) > 1 else 1
        cells = len(starts) * size
        codes = torch.cat([codes, codes.new_zeros(width)])
        starts = torch.cat([starts, starts[-1:]])
        dense = cells <= _DENSE_CELLS * items and size <= _DENSE_GAIN * width
        return cls(codes, starts, width, size, dense)

    @property
    def nodes(self) -> int:
        """Distinct prefixes."""
        return len(self.codes) - self.width

    @property
    def above(self) -> int:
        """Nodes of the level above."""
        return len(self.starts) - 2

    @cached_property
    def counts(self) -> Tensor:
        """Children of each node above, ``(nodes above,)``."""
        return self.starts[:-1].diff()

    @cached_property
    def children(self) -> Tensor:
        """``(nodes above + 1, size)`` int32: the child with a code, the closing node for none."""
        table = self.starts.new_full((self.above + 1, self.size), self.nodes)
        parents = torch.arange(self.above, device=table.device).repeat_interleave(self.counts)
        codes = self.codes[: self.nodes].long()
        table[parents, codes] = torch.arange(self.nodes, dtype=torch.int32, device=table.device)
        return table

    @cached_property
    def penalty(self) -> Tensor:
        """``(nodes above + 1, size)`` float32: 0 where the child exists, else -inf."""
        missing = self.children == self.nodes
        return torch.zeros(missing.shape, device=missing.device).masked_fill_(missing, -torch.inf)

    @cached_property
    def windows(self) -> Tensor:
        """``(nodes + 1, width)`` view: from each node on, the codes of ``width`` nodes."""
        return self.codes.unfold(0, self.width, 1)

    @cached_property
    def surplus(self) -> Tensor:
        """``(width + 1, width)`` float32: row n is 0 for the first n of ``width`` places, -inf."""
        ones = torch.ones(self.width + 1, self.width, dtype=torch.bool, device=self.codes.device)
        return torch.zeros(ones.shape, device=ones.device).masked_fill_(ones.triu(), -torch.inf)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, the dense tables included."""
        dense = 8 * len(self.starts[1:]) * self.size if self.dense else 0
        return self.codes.nbytes + self.starts.nbytes + dense
