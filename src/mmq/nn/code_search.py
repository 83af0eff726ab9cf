"""The look-up of Eq. 7 for export: codes only, in as few multiply-adds as there are.

The nearest codeword of a linear expert is ``argmax_k c_k . (W x + b)`` over unit codewords, so
``W`` and the codewords can be multiplied beforehand: ``argmax_k (W^T c_k) . x + c_k . b``. That
needs ``in * K`` multiply-adds an item in place of ``in * d + d * K``, and is done wherever it is
less; all experts of a group are then one product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmq.nn.codebook import Distance, best, search_keys
from mmq.nn.experts import LinearExperts

Filled = Callable[[Tensor, Tensor], tuple[Tensor, list[Tensor]]]


class _Group(NamedTuple):
    """Experts that read one input."""

    place: slice  # positions in the ID
    source: int | None  # the modality that is read; None for all together
    experts: LinearExperts | None  # None where they are folded into the keys
    keys: Tensor  # n d k, or folded: in (n k)
    offset: Tensor | None  # n 1 k, or folded: (n k)


class CodeSearch:
    """Codes of inputs under experts and codebooks as they are now; later changes are not seen.

    Args:
        experts: group ("shared" or a modality) -> its positions in the ID and its experts.
        modalities: in the order of the inputs.
        codebooks: ``(n, k, d)``.
        distance: that a codeword is the nearest by.
        filled: makes of inputs and presence the joint input and that of each modality.
    """

    @torch.no_grad()
    def __init__(
        self,
        experts: Mapping[str, tuple[slice, LinearExperts]],
        modalities: list[str],
        codebooks: Tensor,
        distance: Distance,
        filled: Filled,
    ) -> None:
        self.length, self.codebook_size = codebooks.shape[:2]
        self.filled = filled
        keys, offset = search_keys(codebooks, distance)
        self.groups = []
        for name, (place, own) in experts.items():
            shift = None if offset is None else offset[place]
            source = modalities.index(name) if name in modalities else None
            group = _Group(place, source, own, keys[place], shift)
            self.groups.append(_folded(group) if _folding_pays(group) else group)

    def __call__(self, x: Tensor, present: Tensor) -> Tensor:
        """Codes ``(b, n)`` int32 of inputs ``(b, sum of dimensions)`` and presence ``(b, m)``."""
        x, parts = self.filled(x, present)
        codes = torch.empty(len(x), self.length, dtype=torch.int32, device=x.device)
        for group in self.groups:
            inputs = x if group.source is None else parts[group.source]
            codes[:, group.place] = self._nearest(group, inputs)
        return codes

    def _nearest(self, group: _Group, inputs: Tensor) -> Tensor:
        if group.experts is None:
            scores = inputs @ group.keys
            if group.offset is not None:
                scores += group.offset
            return best(scores.view(len(inputs), -1, self.codebook_size))
        z = group.experts(inputs)
        scores = torch.empty(len(z), self.codebook_size, device=z.device)  # one for all: no faults
        columns = []
        for i, latent in enumerate(z.unbind(1)):
            torch.mm(latent, group.keys[i], out=scores)
            if group.offset is not None:
                scores += group.offset[i]
            columns.append(best(scores))
        return torch.stack(columns, dim=1)


def _folding_pays(group: _Group) -> bool:
    assert group.experts is not None
    d, k = group.keys.shape[1:]
    width = group.experts.weight.shape[1]
    return bool(width * k < width * d + d * k)


def _folded(group: _Group) -> _Group:
    experts = group.experts
    assert experts is not None
    n, d, _ = group.keys.shape
    keys = torch.bmm(experts.weight.view(n, d, -1).transpose(1, 2), group.keys)  # n in k
    offset = torch.bmm(experts.bias.view(n, 1, d), group.keys)
    if group.offset is not None:
        offset = offset + group.offset
    flat = keys.transpose(0, 1).reshape(keys.shape[1], -1)
    return group._replace(experts=None, keys=flat, offset=offset.flatten())
