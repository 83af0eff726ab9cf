"""Residual quantisation: every level quantises what the levels before it left over.

Axes: ``b`` batch, ``l`` level, ``k`` codeword, ``d`` latent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmq.nn.codebook import best, hard_index, quantise_through_index, search_keys, similarity

_TINY = 1e-12  # a mean square below this, of residuals that are all zero, counts as this


class Levels(NamedTuple):
    """A pass down the levels, without gradient.

    Attributes:
        codes: ``(l, b)`` int64.
        residuals: ``(l + 1, b, d)``; entry ``i`` is what level ``i`` read, the last is what
            remains of the vector when all its codewords are taken away.
    """

    codes: Tensor
    residuals: Tensor


@torch.no_grad()
def quantise(z: Tensor, codebooks: Tensor) -> Levels:
    """Nearest codeword of the residual, level after level.

    Args:
        z: vectors ``(b, d)``.
        codebooks: ``(l, k, d)``.
    """
    keys, offsets = search_keys(codebooks, "l2")
    assert offsets is not None
    levels, size, _ = codebooks.shape
    residuals = z.new_empty(levels + 1, *z.shape)
    residuals[0] = z
    codes = torch.empty(levels, len(z), dtype=torch.int64, device=z.device)
    scores = z.new_empty(len(z), size)
    for i, residual in enumerate(residuals[:-1]):
        codes[i] = best(torch.addmm(offsets[i], residual, keys[i], out=scores))
        torch.sub(residual, codebooks[i].index_select(0, codes[i]), out=residuals[i + 1])
    return Levels(codes, residuals)


def take(codebooks: Tensor, codes: Tensor) -> Tensor:
    """Sum ``(b, d)`` of the codewords that int64 codes ``(b, l)`` name."""
    levels, size, d = codebooks.shape
    index = codes + size * torch.arange(levels, device=codes.device)
    return torch.nn.functional.embedding_bag(index, codebooks.reshape(-1, d), mode="sum")


def straight_through(
    z: Tensor, codebooks: Tensor, levels: Levels, commitment: float, codebook: float
) -> tuple[Tensor, Tensor]:
    """Sum of the codewords ``(b, d)`` with the gradient of ``z``, and the quantiser's loss.

    The loss is, summed over levels, dimensions and items, with ``r_i`` what level ``i`` read and
    ``q_i`` its codeword, as in RQ-VAE (Lee et al. 2022) and TIGER (Rajput et al. 2023, Sec. 3.1),

        codebook * ||sg(r_i) - q_i||^2 + commitment * ||r_i - sg(q_i)||^2

    where codewords of earlier levels count as constants in ``r_i``. Since ``r_i - q_i`` is the
    next residual, value and gradients are sums over the residuals that the search made anyway:
    one step for all levels, and nothing is multiplied twice.
    """
    out: tuple[Tensor, Tensor] = _StraightThrough.apply(  # type: ignore[no-untyped-call]
        z, codebooks, levels, commitment, codebook
    )
    return out


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, codebooks: Tensor, levels: Levels, commitment: float, codebook: float
    ) -> tuple[Tensor, Tensor]:
        ctx.weights, ctx.shape = (commitment, codebook), codebooks.shape
        ctx.save_for_backward(*levels)
        left = levels.residuals[1:]
        return z - left[-1], torch.linalg.vector_norm(left).square() * (commitment + codebook)

    @staticmethod
    def backward(
        ctx: Any, to_sum: Tensor, to_loss: Tensor
    ) -> tuple[Tensor, Tensor | None, None, None, None]:
        codes, residuals = ctx.saved_tensors
        commitment, codebook = ctx.weights
        left = residuals[1:]
        to_z = to_sum + left.sum(0).mul_(2 * commitment * to_loss)
        if not ctx.needs_input_grad[1] or codebook == 0:
            return to_z, None, None, None, None
        to_codebooks = member_sums(left, codes, ctx.shape[1]).mul_(-2 * codebook * to_loss)
        return to_z, to_codebooks, None, None, None


def member_sums(vectors: Tensor, codes: Tensor, size: int) -> Tensor:
    """Sums ``(l, k, d)`` of the vectors ``(l, b, d)`` over the members of each of ``k`` codes."""
    levels, _, d = vectors.shape
    sums = vectors.new_zeros(levels * size, d)
    return sums.index_add_(0, flat_codes(codes, size), vectors.reshape(-1, d)).view(levels, size, d)


def member_counts(codes: Tensor, size: int, mask: Tensor | None = None) -> Tensor:
    """How many of codes ``(l, b)`` name each codeword, float ``(l, k)``; a mask of zeros and ones
    ``(l, b)`` says which count.
    """
    weights = None if mask is None else mask.flatten()
    counts = torch.bincount(flat_codes(codes, size), weights, minlength=len(codes) * size)
    return counts.view(len(codes), size).float()


def flat_codes(codes: Tensor, size: int) -> Tensor:
    """Codes ``(l, b)`` as places ``(l * b)`` among the codewords of all levels."""
    return (codes + size * torch.arange(len(codes), device=codes.device)[:, None]).flatten()


def level_logits(residual: Tensor, codebook: Tensor, mean_square: Tensor) -> Tensor:
    """Similarity ``(b, k)`` of a level's residual to its codewords, of the scale of a cosine.

    It is minus half the squared distance over ``mean_square``, the mean of ``||r||^2`` at
    that level. Were ``r`` and ``c`` of the same length ``s``, ``-||r - c||^2 / (2 s^2)`` would be
    ``cos(r, c) - 1``; so a temperature means the same at every level, although residuals shrink
    from level to level, and the same as for a tokenizer with cosine look-up.
    """
    logits = similarity(residual.unsqueeze(1), codebook.unsqueeze(0), "l2").squeeze(0)
    return logits / mean_square.clamp_min(_TINY)


def through_index(z: Tensor, codebooks: Tensor, mean_squares: Tensor, temperature: float) -> Tensor:
    """Sum ``(b, d)`` of the nearest codewords under the index estimator (MMQ, Eq. 15-18).

    Backward, the gradient reaches every level's logits through their softmax, the codewords
    through the hard index, and, since residuals carry gradient, the levels before.
    """

    def step(logits: Tensor, codebook: Tensor) -> Tensor:
        return quantise_through_index(logits[None], codebook[None], temperature)[0].squeeze(1)

    return z - _descend(z, codebooks, mean_squares, step)


def soft_codes(
    z: Tensor,
    codebooks: Tensor,
    mean_squares: Tensor,
    temperature: float,
    noise: float = 0.0,
    codes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """``ind`` of Eq. 18, ``(b, l, k)``, exactly one-hot forward, a softmax backward; and logits.

    ``noise`` and ``codes`` ``(b, l)`` are those of :func:`~mmq.nn.codebook.hard_index`.

    The residual of a level is ``r - ind @ C`` of the level before, so the gradient of a code
    reaches the codes before it and, through them and directly, ``z`` and all their codebooks.
    """
    indices: list[Tensor] = []
    similarities: list[Tensor] = []

    def step(logits: Tensor, codebook: Tensor) -> Tensor:
        chosen = None if codes is None else codes[:, len(indices)]
        similarities.append(logits)
        indices.append(hard_index(logits, temperature, noise, chosen))
        return indices[-1] @ codebook

    _descend(z, codebooks, mean_squares, step)
    return torch.stack(indices, dim=1), torch.stack(similarities, dim=1)


def _descend(
    z: Tensor,
    codebooks: Tensor,
    mean_squares: Tensor,
    step: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """What is left of ``z`` when every level has taken away what ``step`` makes of its logits."""
    for codebook, mean_square in zip(codebooks, mean_squares, strict=True):
        z = z - step(level_logits(z, codebook, mean_square), codebook)
    return z
