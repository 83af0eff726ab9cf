"""Transformer blocks over packed sequences: no step but attention ever sees padding.

A packed batch is ``(n, d)``: the entries of all sequences end to end. Everything that treats
entries alone (projections, feed-forward layers, norms, the loss) runs on it; attention alone
scatters queries, keys and values to the padded ``(b, t)`` and gathers the outcome back.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from mmq.nn.dropout import dropout


class Layout(NamedTuple):
    """Where the entries of a packed batch lie in the padded one.

    Attributes:
        slots: ``(n,)`` index of each entry into the flattened ``(b, t)``.
        times: ``(n,)`` place of each entry in its own sequence.
        sequences: b.
        longest: t.
        last: ``(b,)`` index of the last entry of each sequence.
    """

    slots: Tensor
    times: Tensor
    sequences: int
    longest: int
    last: Tensor

    @classmethod
    def of(cls, lengths: Tensor) -> Layout:
        """The layout of sequences of these lengths, ``(b,)`` int64, none of them 0."""
        ends = lengths.cumsum(0)
        longest = int(lengths.max())
        starts = torch.repeat_interleave(ends - lengths, lengths)
        times = torch.arange(len(starts), device=lengths.device) - starts
        rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        return cls(rows * longest + times, times, len(lengths), longest, ends - 1)

    def expand(self, each: int) -> Layout:
        """The layout in which every entry has become ``each`` entries, one after another."""
        place = torch.arange(each, device=self.slots.device)
        slots = (self.slots[:, None] * each + place).flatten()
        times = (self.times[:, None] * each + place).flatten()
        last = (self.last + 1) * each - 1
        return Layout(slots, times, self.sequences, self.longest * each, last)


def block_causal_mask(length: int, each: int, device: torch.device) -> Tensor:
    """``(length * each, length * each)`` True where an entry may look: at all entries of its own
    block of ``each``, and of the blocks before."""
    block = torch.arange(length * each, device=device) // each
    return block[:, None] >= block


class Attention(nn.Module):
    """Multi-head self-attention within the sequences of a packed batch.

    Args:
        dim: d, width of an entry.
        heads: they share the width.
        distances: entries that one sees at most, itself included, where how far back each lies is
            to count: a learned bias of the logits, for each head and distance (as in T5, arXiv
            1910.10683). 0 leaves it out.
    """

    def __init__(self, dim: int, heads: int, distances: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.bias = nn.Parameter(torch.zeros(heads, distances)) if distances else None
        self.inputs = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, entries: Tensor, layout: Layout | None, mask: Tensor | None) -> Tensor:
        """``(n, d)`` -> ``(n, d)``.

        Args:
            entries: ``(n, d)``; without a layout ``(b, t, d)``, where all entries of a sequence
                see each other.
            layout: where the entries lie.
            mask: ``(t, t)`` bool; None lets an entry see itself and those before, each with the
                bias of its distance.
        """
        qkv = self.inputs(entries)
        if layout is None:
            output: Tensor = self.output(self._attend_all(qkv))
            return output
        padded = qkv.new_zeros(layout.sequences * layout.longest, qkv.shape[1])
        padded = padded.index_copy(0, layout.slots, qkv)
        padded = padded.view(layout.sequences, layout.longest, -1)
        if mask is None and self.bias is not None:
            mask = self._biased(self.bias, layout.longest).to(padded.dtype)
        # no key mask: an entry looks back only, and padding comes after all of its sequence
        seen = self._attend(padded, mask)
        output = self.output(seen.flatten(0, 1).index_select(0, layout.slots))
        return output

    def _split(self, qkv: Tensor) -> Tensor:
        """``(b, t, 3 d)`` -> ``(3, b, heads, t, d / heads)``."""
        b, t, width = qkv.shape
        return qkv.view(b, t, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4)

    def _biased(self, bias: Tensor, longest: int) -> Tensor:
        """``(heads, t, t)``: the bias of how far back an entry lies, -inf for those to come."""
        places = torch.arange(longest, device=bias.device)
        back = places[:, None] - places
        return bias[:, back.clamp(min=0)].masked_fill(back < 0, -torch.inf)

    def _attend(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self._split(qkv)
        seen = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return seen.transpose(1, 2).flatten(2)

    def _attend_all(self, qkv: Tensor) -> Tensor:
        """Where all see all, in a few products: many short sequences are slow in the kernel."""
        parts = self._split(qkv)
        q, k, v = parts.flatten(1, 2)
        weights = torch.bmm(q, k.mT).mul(q.shape[2] ** -0.5).softmax(2)
        seen = torch.bmm(weights.to(v.dtype), v).view(parts.shape[1:])
        return seen.transpose(1, 2).flatten(2)


class Block(nn.Module):
    """Attention and a feed-forward layer of SiLU, each behind a norm and beside a shortcut.

    Args:
        dim: d, width of an entry.
        heads: of the attention.
        dropout: share of what each half adds that is dropped in training.
        distances: see :class:`Attention`.
    """

    def __init__(self, dim: int, heads: int, dropout: float, distances: int = 0) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention_norm, self.inner_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, distances)
        self.inner, self.outer = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, entries: Tensor, layout: Layout | None, mask: Tensor | None = None) -> Tensor:
        """As :meth:`Attention.forward`."""
        seen = self.attention(self.attention_norm(entries), layout, mask)
        entries = entries + dropout(seen, self.dropout, self.training)
        inner = self.outer(silu(self.inner(self.inner_norm(entries))))
        return entries + dropout(inner, self.dropout, self.training)
