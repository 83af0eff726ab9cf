"""Tables of codewords by least squares: the best sum of codewords for codes that are given.

For codes ``c_n`` and targets ``x`` the tables minimise ``sum |x - sum_n t_n[c_n]|^2 + penalty *
sum |t|^2`` (Babenko and Lempitsky, "Additive Quantization", CVPR 2014, with a ridge). That is a
linear regression on one-hot codes, the same matrix for all dimensions: it is solved by Cholesky's
decomposition where it is small, else by conjugate gradients, which never build it.

Axes: ``b`` items, ``n`` code position, ``k`` codeword, ``d`` vector dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

DENSE = 2048
"""Codewords in all up to which the normal equations are built (16 MiB) and solved directly."""

_STEPS = 25  # of conjugate gradients at most
_ENOUGH = 1e-4  # residual, as a share of the right-hand side, at which they end


class NormalEquations(NamedTuple):
    """Sums over items that tables follow from; of two sets of items they add up.

    Attributes:
        gram: ``(n k, n k)`` how often two codes meet.
        moments: ``(n k, d)`` sums of the targets of every code.
    """

    gram: Tensor
    moments: Tensor

    @classmethod
    def of(cls, codes: Tensor, targets: Tensor, size: int) -> NormalEquations:
        """The sums for codes ``(b, n)`` int64 of ``size`` codewords and targets ``(b, d)``."""
        positions = codes.shape[1]
        gram = targets.new_zeros(positions, size, positions, size)
        one = targets.new_ones(len(codes))
        for a in range(positions):
            for b in range(a, positions):
                met = one.new_zeros(size * size).index_add_(
                    0, codes[:, a] * size + codes[:, b], one
                )
                gram[a, :, b] = met.view(size, size)
                gram[b, :, a] = met.view(size, size).T
        return cls(gram.view(positions * size, -1), _moments(_places(codes, size), targets, size))

    @classmethod
    def total(cls, parts: Sequence[NormalEquations]) -> NormalEquations:
        """The sums over all sets of items."""
        gram = torch.stack([part.gram for part in parts]).sum(0)
        return cls(gram, torch.stack([part.moments for part in parts]).sum(0))

    def minus(self, other: NormalEquations) -> NormalEquations:
        """The sums without some of the items."""
        return NormalEquations(self.gram - other.gram, self.moments - other.moments)

    def solve(self, penalty: float) -> Tensor:
        """Tables ``(n k, d)``; codes that no item has are zero."""
        matrix = self.gram.double()
        matrix.diagonal().add_(penalty)
        factor = torch.linalg.cholesky(matrix)
        return torch.cholesky_solve(self.moments.double(), factor).float()


def solve_in_steps(
    codes: Tensor, targets: Tensor, size: int, penalty: float, start: Tensor
) -> Tensor:
    """Tables ``(n k, d)`` by conjugate gradients, all dimensions at once, from ``start``.

    A step costs two passes over the codes; memory is a few times the tables and the targets.
    """
    places = _places(codes, size)
    counts = torch.bincount(places.flatten(), minlength=len(start)).to(targets.dtype)
    scale = (counts + penalty).rsqrt()[:, None]  # Jacobi's preconditioner, on both sides

    def product(v: Tensor) -> Tensor:
        scaled = v * scale
        met = _moments(places, embedding_bag(places, scaled, mode="sum"), size)
        return scale * (met + penalty * scaled)

    right = scale * _moments(places, targets, size)
    x = start / scale
    left = right - product(x)
    direction, squares = left.clone(), left.square().sum(0)
    enough = _ENOUGH**2 * right.square().sum(0)
    for _ in range(_STEPS):
        if bool((squares <= enough).all()):
            break
        moved = product(direction)
        rate = squares / (direction * moved).sum(0).clamp_min(1e-30)
        x += rate * direction
        left -= rate * moved
        before, squares = squares, left.square().sum(0)
        direction = left + direction * (squares / before.clamp_min(1e-30))
    return x * scale


def _places(codes: Tensor, size: int) -> Tensor:
    return codes + size * torch.arange(codes.shape[1], device=codes.device)


def _moments(places: Tensor, targets: Tensor, size: int) -> Tensor:
    """Sums ``(n k, d)`` of the targets over the items of every code; in a fixed order."""
    positions = places.shape[1]
    sums = targets.new_zeros(positions * size, targets.shape[1])
    for column in places.unbind(1):
        sums.index_add_(0, column, targets)
    return sums
