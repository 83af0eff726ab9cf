"""What tables are fitted to: the items, what each position codes, and noise of their own kind.

Axes: ``b`` items, ``m`` modality, ``n`` code position, ``d`` coordinate of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.nn.additive import Refiner

BLOCK = 4096
"""Items coded at a time."""


class Problem(NamedTuple):
    """Items to be coded, and the shape of their IDs.

    Attributes:
        x: ``(b, d)``, zero where missing.
        present: ``(b, m)`` presence.
        widths: of the modalities.
        scopes: ``(n, m)`` bool: the modalities that each position codes.
        size: K.
    """

    x: Tensor
    present: Tensor
    widths: tuple[int, ...]
    scopes: np.ndarray
    size: int

    def take(self, rows: Tensor) -> Problem:
        """The same for some of the items."""
        return self._replace(x=self.x[rows], present=self.present[rows])

    @property
    def columns(self) -> list[slice]:
        """Where each modality stands among the coordinates."""
        ends = np.cumsum(self.widths)
        return [slice(end - width, end) for end, width in zip(ends, self.widths, strict=True)]

    def encode(
        self, table: Tensor, x: Tensor, present: Tensor, codes: Tensor | None, sweeps: int
    ) -> Tensor:
        """Codes ``(b, n)`` of vectors under a table ``(n, k, d)``, block by block."""
        refiner = Refiner(table.new_zeros(table.shape[2]), table, self.widths, sweeps)
        scopes = torch.from_numpy(self.scopes.astype(np.float32)).to(x.device)
        found = []
        for start in range(0, len(x), BLOCK):
            rows = slice(start, start + BLOCK)
            own = None if codes is None else codes[rows]
            movable = present[rows] @ scopes.T > 0
            found.append(refiner.codes(x[rows], present[rows], own, movable))
        return torch.cat(found)

    def error(self, table: Tensor, codes: Tensor) -> float:
        """Squared error of the items that codes ``(b, n)`` leave, over what the mean leaves."""
        positions = torch.arange(len(table), device=codes.device)
        widths = torch.tensor(self.widths, device=codes.device)
        left = total = 0.0
        for start in range(0, len(self.x), BLOCK):
            rows = slice(start, start + BLOCK)
            seen = self.present[rows].repeat_interleave(widths, dim=1)
            decoded = table[positions, codes[rows]].sum(1)
            left += float(((self.x[rows] - decoded) * seen).double().square().sum())
            total += float(self.x[rows].double().square().sum())
        return left / total if total > 0 else 0.0

    def held_error(self, table: Tensor, sweeps: int) -> float:
        """The same of the codes that the table finds from nothing, as for new items."""
        return self.error(table, self.encode(table, self.x, self.present, None, sweeps))

    def disturbed(self, smoothing: float, generator: np.random.Generator) -> Tensor:
        """The items, each moved by ``smoothing / sqrt(2)`` times the difference of two others.

        So the noise has the shape of the data, whatever that is: their covariance, times the
        square of ``smoothing``, and no length or width of its own.
        """
        if smoothing == 0:
            return self.x
        items = len(self.x)
        draws = torch.from_numpy(generator.random((2, items)))
        moved = self.x.clone()
        for column, seen in zip(self.columns, self.present.unbind(1), strict=True):
            rows = torch.nonzero(seen).flatten()
            one, other = rows[(draws.to(rows.device) * len(rows)).long().clamp_max(len(rows) - 1)]
            own = self.x[:, column]
            step = own.index_select(0, one) - own.index_select(0, other)
            moved[:, column] += step.mul_(smoothing / 2**0.5) * seen[:, None]
        return moved


def folds(items: int, count: int, generator: np.random.Generator) -> Iterator[Tensor]:
    """``count`` disjoint sets of rows that together are all of them, at random."""
    order = torch.from_numpy(generator.permutation(items))
    yield from order.tensor_split(count)
