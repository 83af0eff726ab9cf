"""Sums of codewords: codes chosen anew, each in the light of the others.

Where a vector is reconstructed as ``offset + sum_n table[n, c_n]``, the codes that independent
experts chose are not the best together. Sweeping over the positions and choosing each code given
the rest (iterated conditional modes, as in additive quantisation: Babenko and Lempitsky, CVPR
2014) lowers the error with every step.

Axes: ``b`` items, ``n`` code position, ``k`` codeword, ``d`` vector dimension, ``m`` modality.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmq.nn.codebook import best


class Refiner:
    """Refinement of codes under a table of what every codeword adds.

    Args:
        offset: ``(d)``.
        table: ``(n, k, d)``.
        widths: of the modalities side by side in a vector; an item may lack some of them.
        sweeps: passes over the positions.
    """

    def __init__(self, offset: Tensor, table: Tensor, widths: Sequence[int], sweeps: int) -> None:
        self.offset, self.table, self.widths, self.sweeps = offset, table, widths, sweeps
        self.keys = table.transpose(1, 2).contiguous()  # n d k
        parts = table.split(list(widths), dim=2)
        self.halves = torch.stack([-0.5 * part.square().sum(2) for part in parts], dim=1)  # n m k

    def __call__(
        self, x: Tensor, present: Tensor, codes: Tensor, movable: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Refined codes ``(b, n)``, and the scores ``(b, k)`` by which each was last chosen.

        Args:
            x: vectors ``(b, d)``, zero where missing.
            present: ``(b, m)`` one where the item has the modality; the rest counts for nothing.
            codes: ``(b, n)`` int64 to start from.
            movable: ``(b, n)`` bool; the other codes stay.
        """
        codes, scores = codes.clone(), [x.new_zeros(0)] * codes.shape[1]
        seen = present.repeat_interleave(torch.tensor(self.widths, device=x.device), dim=1)
        left = x - self.offset
        for table, column in zip(self.table, codes.T, strict=True):
            left -= table[column]
        left *= seen
        for _ in range(self.sweeps):
            for n, table in enumerate(self.table):
                left += table[codes[:, n]] * seen
                scores[n] = torch.mm(left, self.keys[n]).addmm_(present, self.halves[n])
                codes[:, n] = torch.where(movable[:, n], best(scores[n]), codes[:, n])
                left -= table[codes[:, n]] * seen
        return codes, scores
