"""Sums of code embeddings for a whole catalogue, with a fast way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class CodeSums(nn.Module):
    """Adds up the embeddings of every item's codes.

    Args:
        tokens: ``(items, length)`` int64 rows of a table of code embeddings.
        table_size: rows of that table.
    """

    tokens: Tensor
    members: Tensor
    offsets: Tensor

    def __init__(self, tokens: Tensor, table_size: int) -> None:
        super().__init__()
        # the way back sums over the items of each code, which is the same operation once more
        members = tokens.flatten().argsort() // tokens.shape[1]
        counts = torch.bincount(tokens.flatten(), minlength=table_size)
        offsets = counts.cumsum(0) - counts
        parts = {"tokens": tokens, "members": members, "offsets": offsets}
        for name, values in parts.items():
            self.register_buffer(name, values.int(), persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        """``(table size, d)`` -> ``(items, d)``.

        >>> sums = CodeSums(torch.tensor([[0, 2], [1, 2]]), 3)
        >>> sums(torch.tensor([[1.0], [2.0], [10.0]])).tolist()
        [[11.0], [12.0]]
        """
        sums: Tensor = _CodeSums.apply(table, self)  # type: ignore[no-untyped-call]
        return sums


class _CodeSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, sums: CodeSums) -> Tensor:
        ctx.sums = sums
        return embedding_bag(sums.tokens, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        sums = ctx.sums
        return embedding_bag(sums.members, outputs[0], sums.offsets, mode="sum"), None
