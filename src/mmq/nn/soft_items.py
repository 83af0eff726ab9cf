"""Items whose codes carry a gradient from a recommender back to the tokenizer (Eq. 15-18)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SoftItems(NamedTuple):
    """The only thing that a recommender has to know of stage 2.

    A recommender reads an item's code at position ``i`` as ``ind_i @ W_i``, ``W_i`` its own table:
    forward an exact look-up, backward the gradient reaches the tokenizer.

    Attributes:
        rows: ``(u,)`` int64 rows of the items, ascending.
        codes: ``ind``, ``(u, n, k)``.
        as_targets: whether they carry the gradient as items to be predicted too, and not in
            histories alone; for recommenders that predict items.
    """

    rows: Tensor
    codes: Tensor
    as_targets: bool

    def look_up(self, table: Tensor) -> Tensor:
        """``ind_i @ W_i`` for every position: ``(n * k, d)`` -> ``(u, n, d)``."""
        n, k = self.codes.shape[1:]
        return torch.bmm(self.codes.transpose(0, 1), table.view(n, k, -1)).transpose(0, 1)

    def add_up(self, table: Tensor) -> Tensor:
        """The sum of :meth:`look_up` over the positions, ``(u, d)``, in one product."""
        return self.codes.flatten(1) @ table

    def replace(self, vectors: Tensor, rows: Tensor, found: Tensor) -> Tensor:
        """``vectors`` of items, with what was ``found`` for these instead where an item is theirs.

        Args:
            vectors: ``(m, ...)``; what is replaced has the same value and no gradient.
            rows: ``(m,)`` int64 row of each.
            found: ``(u, ...)``.
        """
        places = torch.searchsorted(self.rows, rows).clamp_(max=len(self.rows) - 1)
        ours = torch.nonzero(self.rows[places] == rows)[:, 0]
        return vectors.index_put((ours,), found[places[ours]])
