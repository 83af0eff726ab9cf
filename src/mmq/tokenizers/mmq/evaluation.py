"""Figures of a fit: reconstruction of both parts, use of the codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmq.metrics import quantisation
from mmq.metrics.quantisation import Reconstruction
from mmq.tokenizers.mmq.network import MMQNetwork

SAMPLE = 20_000
"""Items of a part that reconstruction is measured on; a mean over so many is exact enough."""

BLOCK = 2048
"""Items that pass the network at a time."""


def evaluate(
    network: MMQNetwork, x: Tensor, present: Tensor, parts: dict[str, Tensor], codes: np.ndarray
) -> dict[str, Any]:
    """The measured fields of :class:`~mmq.tokenizers.base.FitResult`.

    Args:
        network: trained.
        x: ``(items, sum of dimensions)`` inputs.
        present: ``(items, m)`` presence.
        parts: part name -> rows.
        codes: ``(items, n)`` codes of all items.
    """
    counts = quantisation.code_counts(codes, [network.settings.codebook_size] * network.length)
    figures: dict[str, Any] = {
        name: {} for name in ("l_recon", "l_recon_codes", "fvu", "fvu_by_modality")
    }
    for part, rows in parts.items():
        chosen = rows[:: -(-len(rows) // SAMPLE)]
        for name, value in _reconstruction(network, x[chosen], present[chosen]).items():
            figures[name][part] = value
    return {
        **figures,
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": quantisation.sharing(codes).distinct_share,
    }


@torch.inference_mode()
def _reconstruction(network: MMQNetwork, x: Tensor, present: Tensor) -> dict[str, Any]:
    gated = {modality: Reconstruction() for modality in network.dimensions}
    from_codes = dict(gated)
    for block, mask in zip(x.split(BLOCK), present.split(BLOCK), strict=True):
        block, mask = block.to(network.codebooks.device), mask.to(network.codebooks.device)
        output = network(block, mask)
        _add(gated, network, block, mask, output.reconstruction)
        _add(from_codes, network, block, mask, network.decode_codes(output.codes))
    return {
        "l_recon": quantisation.l_recon(gated, len(x)),
        "l_recon_codes": quantisation.l_recon(from_codes, len(x)),
        "fvu": quantisation.fvu(gated),
        "fvu_by_modality": {modality: part.fvu for modality, part in gated.items()},
    }


def _add(
    sums: dict[str, Reconstruction], network: MMQNetwork, x: Tensor, present: Tensor, output: Tensor
) -> None:
    """Add the errors of a block to the sums of each modality."""
    widths = list(network.dimensions.values())
    pairs = zip(network.dimensions, x.split(widths, 1), output.split(widths, 1), strict=True)
    for m, (modality, target, own) in enumerate(pairs):
        seen = present[:, m].cpu().numpy() > 0
        sums[modality] += Reconstruction.of(target.cpu().numpy(), own.cpu().numpy(), seen)
