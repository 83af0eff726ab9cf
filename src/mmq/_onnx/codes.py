"""A tokenizer's encode as a graph: embeddings and presence -> codes.

The searches of the tokenizers group items by what they lack and keep products of codewords, which
is faster and depends on the data. Here all is unrolled, and what an item lacks is masked.

Axes: ``b`` items, ``n`` code position, ``k`` codeword, ``d`` coordinate, ``m`` modality.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmq.errors import SettingsError
from mmq.nn.codebook import search_keys
from mmq.tokenizers._additive.network import AdditiveNetwork
from mmq.tokenizers._estimator import NetworkTokenizer
from mmq.tokenizers._frame import Frame
from mmq.tokenizers._fused import FusedNetwork
from mmq.tokenizers._mmq.network import MMQNetwork
from mmq.tokenizers._opq_quantiser import OPQ
from mmq.tokenizers._rqkmeans import RQKMeans
from mmq.tokenizers._rqvae.network import RQVAE

Search = Callable[[Tensor, Tensor], Tensor]
"""Coordinates ``(b, d)`` and presence ``(b, m)`` -> codes ``(b, n)``."""


class CodesGraph(nn.Module):
    """Codes ``(b, n)`` int32 of an embedding a modality and presence ``(b, m)`` float32.

    Embeddings need no unit norm; those of modalities that an item lacks are not read.

    Args:
        tokenizer: fitted, on the CPU.

    Raises:
        SettingsError: a tokenizer whose search is no fixed graph.
    """

    def __init__(self, tokenizer: NetworkTokenizer[Any, Any]) -> None:
        super().__init__()
        self.network = tokenizer.network
        self.frame: Frame | None = tokenizer._frame
        self.search = _search(tokenizer)

    def forward(self, present: Tensor, *embeddings: Tensor) -> Tensor:
        """See the class."""
        parts = []
        for m, rows in enumerate(embeddings):
            norms = rows.square().sum(1, keepdim=True).sqrt().clamp_min(1e-30)
            parts.append(torch.where(present[:, m : m + 1] > 0, rows / norms, 0.0))
        x = torch.cat(parts, 1)
        if self.frame is not None:
            x = self.frame.apply_to(x, present)[0]
        return self.search(x, present).to(torch.int32)


def _search(tokenizer: NetworkTokenizer[Any, Any]) -> Search:
    network = tokenizer.network
    if isinstance(network, AdditiveNetwork):
        return partial(_additive, network, network.tables())
    if tokenizer.settings.sweeps:
        raise SettingsError(
            "codes of this tokenizer, saved in format 1, are refined in a way that has no fixed "
            "graph; fit it again with mmq fit"
        )
    if isinstance(network, MMQNetwork):
        return partial(_experts, network)
    if isinstance(network, FusedNetwork):
        return partial(_fused, network)
    raise SettingsError(
        f"there is no graph of a {tokenizer.kind} tokenizer; export one of mmq, rqvae, rqkmeans "
        "and opq"
    )


def _additive(network: AdditiveNetwork, table: Tensor, x: Tensor, present: Tensor) -> Tensor:
    """Codes found one by one, then in sweeps, each in the light of all others."""
    widths = list(network.dimensions.values())
    seen = present.repeat_interleave(torch.tensor(widths), dim=1)
    squares = torch.stack([part.square().sum(2) for part in table.split(widths, 2)])  # m n k
    rest, movable = network.aim(x) * seen, network.code_mask(present)
    shortest = table.square().sum(2).argmin(1)
    codes = [shortest[n].expand(x.shape[0]) for n in range(len(table))]
    explained: list[Tensor | None] = [None] * len(table)
    for _ in range(network.sweeps + 1):
        for n, codewords in enumerate(table):
            if (old := explained[n]) is not None:
                rest = rest + old
            scores = rest @ codewords.T - 0.5 * (present @ squares[:, n])
            codes[n] = torch.where(movable[:, n], scores.argmax(1), codes[n])
            new = codewords[codes[n]] * seen
            explained[n], rest = new, rest - new
    return torch.stack(codes, 1)


def _experts(network: MMQNetwork, x: Tensor, present: Tensor) -> Tensor:
    """Codes of the latents of all experts, the nearest codeword each."""
    parts = [
        torch.where(present[:, m : m + 1] > 0, part, filler)
        for m, (part, filler) in enumerate(
            zip(x.split(list(network.dimensions.values()), 1), network.missing, strict=True)
        )
    ]
    inputs = {"shared": torch.cat(parts, 1), **dict(zip(network.dimensions, parts, strict=True))}
    z = torch.cat([own(inputs[name]) for name, (_, own) in network.expert_groups().items()], 1)
    keys, offset = search_keys(network.codebooks, network.settings.distance)
    scores = torch.einsum("bnd,ndk->bnk", z, keys)
    if offset is not None:
        scores = scores + offset[:, 0]
    return scores.argmax(2)


def _fused(network: FusedNetwork[Any], x: Tensor, present: Tensor) -> Tensor:
    """Codes of each quantiser, of its own columns."""
    widths = torch.tensor(list(network.dimensions.values()))
    x = torch.where(present.repeat_interleave(widths, dim=1) > 0, x, network.filler)
    columns = zip(network.groups(), network.columns.values(), strict=True)
    return torch.cat([_quantised(quantiser, x[:, place]) for quantiser, place in columns], 1)


def _quantised(quantiser: nn.Module, x: Tensor) -> Tensor:
    if isinstance(quantiser, RQKMeans):
        return _residual(x, quantiser.codebooks)
    if isinstance(quantiser, RQVAE):
        return _residual(quantiser.encoder(x), quantiser.codebooks)
    assert isinstance(quantiser, OPQ), "the kinds of fused networks"
    y = ((x - quantiser.mean) @ quantiser.rotation).unflatten(1, (len(quantiser.codebooks), -1))
    keys, offset = search_keys(quantiser.codebooks, "l2")
    assert offset is not None
    return (torch.einsum("bns,nsk->bnk", y, keys) + offset[:, 0]).argmax(2)


def _residual(z: Tensor, codebooks: Tensor) -> Tensor:
    """Codes ``(b, l)`` of levels, each of what those before leave over."""
    keys, offset = search_keys(codebooks, "l2")
    assert offset is not None
    codes = []
    for level, codebook in enumerate(codebooks):
        codes.append((z @ keys[level] + offset[level]).argmax(1))
        z = z - codebook[codes[-1]]
    return torch.stack(codes, 1)
