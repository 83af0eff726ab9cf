"""What training minimises: the terms of Eq. 14 and the quantiser's own, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from mmq.nn import losses
from mmq.tokenizers._mmq.network import MMQNetwork, MMQOutput
from mmq.tokenizers._mmq.settings import MMQSettings

CODEBOOK_WEIGHT = 10.0
"""Pull of a codeword towards its members, for codebook="loss"."""


def loss_terms(
    network: MMQNetwork, output: MMQOutput, target: Tensor, present: Tensor
) -> dict[str, Callable[[], Tensor]]:
    """The terms of Eq. 14 and the quantiser's, unweighted; each is made when it is called.

    Args:
        network: for weights, codebooks and names.
        output: of the batch.
        target: ``(b, sum of dimensions)`` undisturbed inputs.
        present: ``(b, m)`` presence.
    """
    parts = target.split(list(network.dimensions.values()), dim=1)
    masks: list[Tensor | None] = [None] * len(parts)
    wide = code_mask = None  # no masks where nothing is missing
    if not bool(present.all()):
        masks = list(present.split(1, dim=1))
        wide = torch.cat([present[:, m, None].expand_as(p) for m, p in enumerate(parts)], dim=1)
        code_mask = network.mask(present).unsqueeze(2)
    return {
        "reconstruction": lambda: losses.squared_error(output.reconstruction, target, wide),
        "auxiliary": lambda: sum_of(
            losses.squared_error(prediction, part, mask)
            for prediction, part, mask in zip(output.auxiliary, parts, masks, strict=True)
        ),
        "orthogonality": lambda: orthogonality(network, output),
        "commitment": lambda: losses.squared_error(
            output.latents, output.codewords.detach(), code_mask
        ),
        "codebook": lambda: losses.squared_error(
            output.latents.detach(), output.codewords, code_mask
        ),
    }


def weighted_losses(
    settings: MMQSettings, terms: Mapping[str, Callable[[], Tensor]]
) -> dict[str, Tensor]:
    """Each of :func:`loss_terms` times its weight in stage 1; zero weights are left out."""
    weights = {
        "reconstruction": settings.reconstruction_weight,
        "auxiliary": settings.auxiliary_weight,
        "orthogonality": settings.orthogonality_weight,
        "commitment": settings.commitment_weight,
        "codebook": CODEBOOK_WEIGHT if settings.codebook == "loss" else 0.0,
    }
    return {name: weights[name] * term() for name, term in terms.items() if weights[name] > 0}


def orthogonality(network: MMQNetwork, output: MMQOutput) -> Tensor:
    """One term a group of experts (Eq. 11-13), on weights or on outputs."""
    if network.settings.orthogonality == "weights":
        return sum_of(
            losses.orthogonality(g.weight_rows()) for _, g in network.expert_groups().values()
        )
    return sum_of(
        losses.output_orthogonality(output.latents[:, place])
        for place, _ in network.expert_groups().values()
    )


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """Sum of tensors, as a tensor."""
    return torch.stack(list(terms)).sum()
