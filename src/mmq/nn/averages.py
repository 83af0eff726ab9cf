"""Codewords as exponential moving averages of their members."""

from __future__ import annotations

import torch
from torch import Tensor

from mmq.nn.residual import member_counts, member_sums


class MovingAverages:
    """Moving sums and counts of the members of every codeword (VQ-VAE, appendix A.1).

    Args:
        codebooks: ``(l, k, d)``, the start of the averages.
        decay: share of the past that a step keeps.
    """

    def __init__(self, codebooks: Tensor, decay: float) -> None:
        self.decay = decay
        self.counts = torch.ones_like(codebooks[:, :, 0])
        self.sums = codebooks.detach().clone()

    @torch.no_grad()
    def move(self, codebooks: Tensor, vectors: Tensor, codes: Tensor) -> None:
        """Take in vectors ``(l, b, d)`` and their codes ``(l, b)``; sets ``codebooks``."""
        size = codebooks.shape[1]
        self.counts.lerp_(member_counts(codes, size), 1 - self.decay)
        self.sums.lerp_(member_sums(vectors, codes, size), 1 - self.decay)
        codebooks.copy_(self.sums / self.counts.clamp_min(1e-6).unsqueeze(2))

    def restart(self, level: int, codes: Tensor, vectors: Tensor) -> None:
        """Let codewords of a level start again at vectors ``(len(codes), d)``."""
        self.counts[level, codes], self.sums[level, codes] = 1.0, vectors
