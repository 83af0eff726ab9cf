"""Dropout, in less than half the time that torch takes for it on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_STEPS = 1 << 16
"""Shares that can be told apart by the 16 random bits an entry."""


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """``x`` with a random ``share`` of its entries set to zero and the others scaled up.

    The mean stays what it was. On a CPU the share is rounded to a multiple of 1/65536, so that one
    draw of 64 bits serves four entries.

    Args:
        x: of any shape.
        share: of the entries, from 0 to below 1.
        training: whether anything is dropped at all.
    """
    dropped = min(round(share * _STEPS), _STEPS - 1)
    if not training or not dropped:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, share)
    n = x.numel()
    drawn = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = drawn.view(torch.int16)[:n].view(x.shape)
    kept = (bits >= dropped - _STEPS // 2).to(x.dtype)
    return x * kept.mul_(_STEPS / (_STEPS - dropped))
