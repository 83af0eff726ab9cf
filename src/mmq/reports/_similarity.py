"""What the codes keep of the embeddings, measured on items of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmq.data._catalogue import Catalogue
from mmq.metrics.quantisation import Reconstruction

if TYPE_CHECKING:
    from mmq.tokenizers import Tokenizer

ANY = "any two items"
"""Key of the baseline in :func:`shared_code_similarity`."""

_BLOCK = 2048


def unexplained(
    sample: Catalogue, codes: np.ndarray, tokenizer: Tokenizer[Any]
) -> dict[str, float]:
    """Modality -> fraction of its variance that the codes alone leave unexplained.

    Args:
        sample: items.
        codes: ``(items, length)`` their codes.
        tokenizer: that made them.
    """
    parts = dict.fromkeys(sample.modalities, Reconstruction())
    for start in range(0, len(sample), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(sample)))
        decoded = tokenizer.decode(codes[rows])
        for modality in parts:
            target = unit_rows(sample.embeddings[modality][rows])
            present = sample.present[modality][rows]
            parts[modality] += Reconstruction.of(target, decoded[modality], present)
    return {modality: part.fvu for modality, part in parts.items()}


def shared_code_similarity(
    sample: Catalogue, codes: np.ndarray, groups: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, float]]:
    """Group -> modality -> mean cosine of two different items that share a code of the group.

    Beside the groups stands :data:`ANY`, the mean over all pairs. Every pair counts once for each
    code it shares; items without the modality count for nothing.

    Args:
        sample: items.
        codes: ``(items, length)`` their codes.
        groups: name -> positions.
    """
    table: dict[str, dict[str, float]] = {name: {} for name in (ANY, *groups)}
    for modality, matrix in sample.embeddings.items():
        present = sample.present[modality]
        unit, own = unit_rows(matrix[present]), codes[present]
        table[ANY][modality] = _mean_cosine(unit, np.zeros((len(unit), 1), np.int32))
        for name, positions in groups.items():
            table[name][modality] = _mean_cosine(unit, own[:, list(positions)])
    return table


def _mean_cosine(unit: np.ndarray, codes: np.ndarray) -> float:
    """Mean over positions and over pairs of rows of ``unit`` with the same code there.

    The cosines of all pairs of a set sum to ``|sum of its vectors| ** 2`` less its size.
    """
    total, pairs = 0.0, 0
    for column in codes.T if len(unit) else ():
        order = np.argsort(column, kind="stable")
        starts = np.flatnonzero(np.diff(column[order], prepend=-1))
        sizes = np.diff(np.append(starts, len(order)))
        sums = np.add.reduceat(unit[order], starts, axis=0, dtype=np.float64)
        total += float(np.einsum("kd,kd->", sums, sums)) - len(order)
        pairs += int((sizes * (sizes - 1)).sum())
    return total / pairs if pairs else float("nan")


def unit_rows(matrix: np.ndarray) -> np.ndarray:
    """The rows at length 1; those of zeros stay."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: np.ndarray = matrix / np.maximum(norms, 1e-30)
    return unit
