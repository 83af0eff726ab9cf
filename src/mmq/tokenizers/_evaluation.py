"""Figures of a fit: reconstruction, use of the codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmq.metrics import quantisation
from mmq.metrics.quantisation import Reconstruction
from mmq.metrics.rate_distortion import Bound, gaussian_bound
from mmq.tokenizers._base import Figures
from mmq.tokenizers._inputs import Inputs
from mmq.tokenizers._network import CodingNetwork

SAMPLE = 20_000
"""Items of a part that reconstruction is measured on; a mean over so many is exact enough."""

BLOCK = 2048
"""Items that pass the network at a time."""


def evaluate(network: CodingNetwork, inputs: Inputs, parts: Mapping[str, Tensor]) -> dict[str, Any]:
    """The measured fields of :class:`~mmq.tokenizers._base.FitResult`.

    Args:
        network: trained.
        inputs: all items.
        parts: part name -> rows.
    """
    codes = encode(network, inputs)
    figures: dict[str, Any] = {name: {} for name in Figures._fields}
    for part, rows in parts.items():
        chosen = rows[:: -(-len(rows) // SAMPLE)]
        for name, value in reconstruction(network, inputs.take(chosen))._asdict().items():
            figures[name][part] = value
    mask = network.code_mask(inputs.present.to(network.device)).cpu().numpy()
    counts = [
        np.bincount(column[own], minlength=size)
        for column, own, size in zip(codes.T, mask.T, network.codebook_sizes, strict=True)
    ]
    return {
        **figures,
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": quantisation.sharing(codes).distinct_share,
        "bound": bound(network, inputs)._asdict(),
    }


@torch.inference_mode()
def encode(network: CodingNetwork, inputs: Inputs) -> np.ndarray:
    """Codes ``(b, n)`` int32."""
    codes = np.empty((len(inputs.x), network.length), np.int32)
    search = network.search()
    for start in range(0, len(codes), BLOCK):
        rows = slice(start, start + BLOCK)
        own = search(inputs.x[rows].to(network.device), inputs.present[rows].to(network.device))
        codes[rows] = own.cpu().numpy()
    return codes


def bound(network: CodingNetwork, inputs: Inputs) -> Bound:
    """What a Gaussian source like the items allows at the rate of the ID."""
    some = inputs.take(slice(None, None, -(-len(inputs.x) // SAMPLE)))
    widths = list(network.dimensions.values())
    found = gaussian_bound(some.x.cpu().numpy(), widths, network.codebook_sizes)
    kept, left = float(some.x.double().square().sum()), float(some.left.double().sum())
    whole = max(kept + left, 1e-30)  # what lies off the axes stays unexplained
    return Bound(
        (found.fvu * kept + left) / whole, (found.fvu_separate * kept + left) / whole, found.bits
    )


@torch.inference_mode()
def reconstruction(network: CodingNetwork, inputs: Inputs) -> Figures:
    """How well codes stand for the inputs."""
    known = {modality: Reconstruction() for modality in network.dimensions}
    from_codes = dict(known)
    for start in range(0, len(inputs.x), BLOCK):
        block = inputs.take(slice(start, start + BLOCK))
        x, present = block.x.to(network.device), block.present.to(network.device)
        output, codes = network.reconstruct(x, present)
        _add(known, network, block, output)
        _add(from_codes, network, block, network.decode_codes(codes))
    squares = dict(zip(network.dimensions, inputs.scales.double().square().tolist(), strict=True))
    return Figures(
        l_recon=quantisation.l_recon(known, len(inputs.x), squares),
        l_recon_codes=quantisation.l_recon(from_codes, len(inputs.x), squares),
        fvu=quantisation.fvu(known),
        fvu_codes=quantisation.fvu(from_codes),
        fvu_by_modality={modality: part.fvu for modality, part in from_codes.items()},
    )


def _add(
    sums: dict[str, Reconstruction], network: CodingNetwork, inputs: Inputs, out: Tensor
) -> None:
    """Add the errors of a block to the sums of each modality."""
    widths = list(network.dimensions.values())
    pairs = zip(network.dimensions, inputs.x.split(widths, 1), out.split(widths, 1), strict=True)
    for m, (modality, target, own) in enumerate(pairs):
        seen = inputs.present[:, m].cpu().numpy() > 0
        left = inputs.left[:, m].cpu().numpy()[seen].sum(dtype=np.float64)
        one = Reconstruction.of(target.cpu().numpy(), own.cpu().numpy(), seen)
        sums[modality] += replace(
            one,
            squared_error=one.squared_error + float(left),
            squared_deviation=one.squared_deviation + float(left),
        )
