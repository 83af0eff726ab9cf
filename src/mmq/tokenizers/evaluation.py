"""Figures of a fit: reconstruction, use of the codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmq.metrics import quantisation
from mmq.metrics.quantisation import Reconstruction
from mmq.tokenizers.base import Figures
from mmq.tokenizers.network import CodingNetwork

SAMPLE = 20_000
"""Items of a part that reconstruction is measured on; a mean over so many is exact enough."""

BLOCK = 2048
"""Items that pass the network at a time."""


def evaluate(
    network: CodingNetwork, x: Tensor, present: Tensor, parts: dict[str, Tensor], codes: np.ndarray
) -> dict[str, Any]:
    """The measured fields of :class:`~mmq.tokenizers.base.FitResult`.

    Args:
        network: trained.
        x: ``(items, sum of dimensions)`` inputs.
        present: ``(items, m)`` presence.
        parts: part name -> rows.
        codes: ``(items, n)`` codes of all items.
    """
    counts = quantisation.code_counts(codes, network.codebook_sizes)
    figures: dict[str, Any] = {name: {} for name in Figures._fields}
    for part, rows in parts.items():
        chosen = rows[:: -(-len(rows) // SAMPLE)]
        for name, value in reconstruction(network, x[chosen], present[chosen])._asdict().items():
            figures[name][part] = value
    return {
        **figures,
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": quantisation.sharing(codes).distinct_share,
    }


@torch.inference_mode()
def reconstruction(network: CodingNetwork, x: Tensor, present: Tensor) -> Figures:
    """How well codes stand for the inputs ``x`` ``(items, sum of dimensions)``."""
    known = {modality: Reconstruction() for modality in network.dimensions}
    from_codes = dict(known)
    for block, mask in zip(x.split(BLOCK), present.split(BLOCK), strict=True):
        block, mask = block.to(network.device), mask.to(network.device)
        output, codes = network.reconstruct(block, mask)
        _add(known, network, block, mask, output)
        _add(from_codes, network, block, mask, network.decode_codes(codes))
    return Figures(
        l_recon=quantisation.l_recon(known, len(x)),
        l_recon_codes=quantisation.l_recon(from_codes, len(x)),
        fvu=quantisation.fvu(known),
        fvu_codes=quantisation.fvu(from_codes),
        fvu_by_modality={modality: part.fvu for modality, part in known.items()},
    )


def _add(
    sums: dict[str, Reconstruction], network: CodingNetwork, x: Tensor, present: Tensor, out: Tensor
) -> None:
    """Add the errors of a block to the sums of each modality."""
    widths = list(network.dimensions.values())
    pairs = zip(network.dimensions, x.split(widths, 1), out.split(widths, 1), strict=True)
    for m, (modality, target, own) in enumerate(pairs):
        seen = present[:, m].cpu().numpy() > 0
        sums[modality] += Reconstruction.of(target.cpu().numpy(), own.cpu().numpy(), seen)
