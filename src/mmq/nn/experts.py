"""Experts that read the same input, evaluated as one large matmul (Eq. 2 and 3).

Axes: ``b`` batch, ``n`` expert, ``d`` latent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearExperts(nn.Module):
    """``n`` linear experts: ``(b, in)`` -> ``(b, n, d)``.

    Weights start as random orthonormal columns, biases as zero.
    """

    def __init__(self, in_dim: int, experts: int, latent_dim: int) -> None:
        super().__init__()
        self.experts, self.latent_dim = experts, latent_dim
        blocks = [nn.init.orthogonal_(torch.empty(latent_dim, in_dim)) for _ in range(experts)]
        self.weight = nn.Parameter(torch.cat(blocks))
        self.bias = nn.Parameter(torch.zeros(experts * latent_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Latents of all experts."""
        z = torch.addmm(self.bias, x, self.weight.T)
        return z.view(-1, self.experts, self.latent_dim)

    def weight_rows(self) -> Tensor:
        """``(n, weights an expert)``: the rows of V in Eq. 11, before normalisation."""
        return self.weight.view(self.experts, -1)


class Gate(nn.Module):
    """Softmax weights of a modality's experts (Eq. 5): ``(b, in)`` -> ``(b, n)``; first uniform."""

    def __init__(self, in_dim: int, experts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, experts)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Gate weights, each row sums to one."""
        return torch.softmax(self.linear(x), dim=-1)


def decoder(latent_dim: int, out_dim: int) -> nn.Linear:
    """A linear decoder: ``(b, d)`` -> ``(b, out)``."""
    layer = nn.Linear(latent_dim, out_dim)
    nn.init.normal_(layer.weight, std=latent_dim**-0.5)
    nn.init.zeros_(layer.bias)
    return layer
