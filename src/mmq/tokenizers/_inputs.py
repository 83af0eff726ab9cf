"""A catalogue as the tensors that tokenizers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.data import Catalogue
from mmq.data._catalogue import require_modalities


class Inputs(NamedTuple):
    """Items as a network reads them.

    Attributes:
        x: ``(b, d)`` coordinates of the modalities side by side, zero where missing.
        present: ``(b, m)`` presence.
        left: ``(b, m)`` squared length of what the coordinates leave out.
        scales: ``(m)`` of the coordinates: lengths in the unit embeddings are so many times larger.
    """

    x: Tensor
    present: Tensor
    left: Tensor
    scales: Tensor

    def take(self, rows: Tensor | slice) -> Inputs:
        """Some of the items."""
        return Inputs(self.x[rows], self.present[rows], self.left[rows], self.scales)


def unit_inputs(
    catalogue: Catalogue, dimensions: Mapping[str, int], rows: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """L2-normalised embeddings side by side ``(items, sum of dimensions)`` and presence.

    Args:
        catalogue: the items.
        dimensions: modality -> width, in the order wanted.
        rows: which items.

    Returns:
        Embeddings, zero where missing, and ``(items, modalities)`` float mask.

    Raises:
        DataError: a modality is absent, unknown or of another width.
    """
    require_modalities(catalogue.dimensions, dimensions)
    items = len(range(len(catalogue))[rows])
    x = np.empty((items, sum(dimensions.values())), dtype=np.float32)
    start = 0
    for modality, width in dimensions.items():
        matrix = catalogue.embeddings[modality][rows]
        norms = np.sqrt(np.einsum("nd,nd->n", matrix, matrix))
        np.divide(matrix, np.maximum(norms, 1e-30)[:, None], out=x[:, start : start + width])
        x[~catalogue.present[modality][rows], start : start + width] = 0
        start += width
    present = np.stack([catalogue.present[m][rows] for m in dimensions], axis=1)
    return torch.from_numpy(x), torch.from_numpy(present.astype(np.float32))


def noisy(
    x: Tensor,
    present: Tensor,
    widths: Sequence[int],
    norm: float,
    generator: np.random.Generator,
) -> Tensor:
    """Inputs with Gaussian noise of about ``norm`` added to each modality, of the same norm again.

    Args:
        x: ``(b, sum of widths)`` embeddings side by side, of a norm of about one, zero where
            missing.
        present: ``(b, m)`` presence; what is missing stays zero.
        widths: of the modalities.
        norm: expected length of the noise vector of a modality.
        generator: source of the noise.
    """
    noise = torch.from_numpy(generator.standard_normal(x.shape, np.float32)).to(x.device)
    parts = []
    pairs = zip(x.split(list(widths), 1), noise.split(list(widths), 1), strict=True)
    for m, (part, own) in enumerate(pairs):
        moved = part.add(own, alpha=norm * part.shape[1] ** -0.5)
        length = moved.norm(dim=1, keepdim=True).clamp_min(1e-12)
        parts.append(moved * (part.norm(dim=1, keepdim=True) * present[:, m : m + 1] / length))
    return torch.cat(parts, dim=1)
