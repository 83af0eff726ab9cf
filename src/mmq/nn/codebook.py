"""Codebooks: similarity, look-up (Eq. 7) and the index straight-through estimator (Eq. 15-18).

Axes: ``b`` batch, ``n`` code position (one codebook an expert), ``k`` codeword, ``d`` latent.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

Distance = Literal["cosine", "l2"]

_TINY = 1e-12  # a norm below this counts as this


def similarity(z: Tensor, codebooks: Tensor, distance: Distance) -> Tensor:
    """Similarity ``(n, b, k)`` of latents to codewords; larger is nearer.

    Cosine as in Eq. 15, or minus half the squared distance.

    Args:
        z: latents ``(b, n, d)``.
        codebooks: ``(n, k, d)``.
        distance: which of the two.
    """
    if distance == "cosine":
        cosines: Tensor = _Cosine.apply(z.transpose(0, 1), codebooks)  # type: ignore[no-untyped-call]
        return cosines
    z = z.transpose(0, 1)
    lengths = codebooks.square().sum(2)[:, None, :] + z.square().sum(2, keepdim=True)
    return torch.baddbmm(-0.5 * lengths, z, codebooks.transpose(1, 2))


class _Cosine(torch.autograd.Function):
    """Cosine with the norm of z divided out of the ``(n, b, k)`` product, which is the smaller.

    Its backward pass is written out: automatic differentiation of the normalisation would sweep
    the latents a dozen times and take longer than the products.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, codebooks: Tensor) -> Tensor:
        z_norm = torch.linalg.vector_norm(z, dim=2, keepdim=True).clamp_min_(_TINY)
        c_norm = torch.linalg.vector_norm(codebooks, dim=2, keepdim=True).clamp_min_(_TINY)
        unit = codebooks / c_norm
        cosines = torch.bmm(z, unit.transpose(1, 2)).div_(z_norm)
        ctx.save_for_backward(z, z_norm, unit, c_norm, cosines)
        return cosines

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        z, z_norm, unit, c_norm, cosines = ctx.saved_tensors
        pull = grad * cosines
        scaled = grad * (z_norm > _TINY) / z_norm  # a zero latent has no direction to turn
        to_z = torch.bmm(scaled, unit)
        to_z.addcmul_(z, pull.sum(2, keepdim=True).div_(z_norm).div_(z_norm), value=-1)
        to_codebooks = torch.bmm(scaled.transpose(1, 2), z)
        to_codebooks.addcmul_(unit, pull.sum(1).unsqueeze(2), value=-1).div_(c_norm)
        return to_z, to_codebooks


def search_keys(codebooks: Tensor, distance: Distance) -> tuple[Tensor, Tensor | None]:
    """Keys ``(n, d, k)``, offset ``(n, 1, k)``: ``z @ keys + offset`` is largest for the nearest.

    The norm of z changes no argmax and is left out; there is no offset for the cosine.
    """
    if distance == "cosine":
        return normalize(codebooks, dim=2).transpose(1, 2).contiguous(), None
    return codebooks.transpose(1, 2).contiguous(), -0.5 * codebooks.square().sum(2)[:, None, :]


def best(scores: Tensor) -> Tensor:
    """Argmax of the last axis, int64; numpy's is several times faster on the CPU."""
    if scores.device.type == "cpu":
        return torch.from_numpy(scores.detach().numpy().argmax(-1))
    return scores.argmax(-1)


def look_up(codebooks: Tensor, codes: Tensor) -> Tensor:
    """Codewords ``(b, n, d)`` of codes ``(b, n)``."""
    return _flat(codebooks)[_flat_index(codebooks, codes)]


def quantise_through_index(
    logits: Tensor, codebooks: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """``ind @ C`` with ``ind = soft + sg(hard - soft)``, ``soft = softmax(logits / tau)`` (16-18).

    Forward it is exactly the codeword of the best logit; backward the gradient reaches the logits
    through the softmax and the codewords through the hard index. Written as one function so that
    the forward product with a one-hot matrix is never made.

    Args:
        logits: ``(n, b, k)`` similarities.
        codebooks: ``(n, k, d)``.
        temperature: tau of Eq. 16.

    Returns:
        Codewords ``(b, n, d)`` and codes ``(b, n)`` int64.
    """
    codes = logits.argmax(2).T
    quantised = _IndexStraightThrough.apply(logits, codebooks, codes, temperature)  # type: ignore[no-untyped-call]
    return quantised, codes


class _IndexStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, codebooks: Tensor, codes: Tensor, temperature: float
    ) -> Tensor:
        ctx.temperature = temperature
        ctx.save_for_backward(logits, codebooks, codes)
        return look_up(codebooks, codes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        logits, codebooks, codes = ctx.saved_tensors
        soft = torch.softmax(logits / ctx.temperature, dim=2)
        to_index = torch.bmm(grad.transpose(0, 1), codebooks.transpose(1, 2))
        to_index -= (soft * to_index).sum(2, keepdim=True)
        to_logits = soft.mul_(to_index).div_(ctx.temperature)
        to_codebooks = torch.zeros_like(_flat(codebooks)).index_add_(
            0, _flat_index(codebooks, codes).flatten(), grad.flatten(0, 1)
        )
        return to_logits, to_codebooks.view_as(codebooks), None, None


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """``z + sg(z_q - z)``: the quantised value forward, the gradient of ``z`` backward (Eq. 9)."""
    return z + (quantised - z).detach()


def hard_index(
    logits: Tensor, temperature: float, noise: float = 0.0, codes: Tensor | None = None
) -> Tensor:
    """``ind`` of Eq. 18 for logits ``(..., k)``: exactly one-hot forward, the softmax backward.

    Args:
        logits: similarities.
        temperature: tau of Eq. 16.
        noise: scale of the Gumbel noise on ``logits / tau`` (DIGER, arXiv 2601.19711); with 1 a
            code is drawn by its softmax, with 0 it is the best.
        codes: ``(...)`` int64, those of the forward pass; the best where None.
    """
    if noise > 0:
        uniform = torch.rand_like(logits).clamp_(1e-7, 1 - 1e-7)
        logits = logits - uniform.log().neg_().log() * (noise * temperature)
    chosen = logits.argmax(-1) if codes is None else codes
    index: Tensor = _HardIndex.apply(logits, chosen, temperature)  # type: ignore[no-untyped-call]
    return index


class _HardIndex(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, codes: Tensor, temperature: float) -> Tensor:
        ctx.temperature = temperature
        ctx.save_for_backward(logits)
        return torch.zeros_like(logits).scatter_(-1, codes.unsqueeze(-1), 1.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (logits,) = ctx.saved_tensors
        soft = torch.softmax(logits / ctx.temperature, dim=-1)
        return soft * (grad - (soft * grad).sum(-1, keepdim=True)) / ctx.temperature, None, None


def _flat(codebooks: Tensor) -> Tensor:
    return codebooks.reshape(-1, codebooks.shape[2])


def _flat_index(codebooks: Tensor, codes: Tensor) -> Tensor:
    positions, size = codebooks.shape[:2]
    return codes + size * torch.arange(positions, device=codes.device)
