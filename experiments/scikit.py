"""RQ-KMeans by scikit-learn: a bar that owes nothing to our own k-means."""

from __future__ import annotations

import numpy as np

from experiments.data import use_of
from mmq import Catalogue
from mmq.metrics import quantisation
from mmq.tokenizers._estimator import split
from mmq.tokenizers._inputs import unit_inputs

LEVELS, SIZE = 3, 100


def rqkmeans(items: Catalogue, seed: int, hold_out: float) -> dict[str, float]:
    """Figures of separated RQ-KMeans, three levels a modality, on the split of our tokenizers."""
    x, present = unit_inputs(items, items.dimensions)
    parts = {name: rows.numpy() for name, rows in split(len(items), hold_out, seed).items()}
    codes, found, start = [], {}, 0
    for m, (modality, width) in enumerate(items.dimensions.items()):
        vectors, seen = x[:, start : start + width].numpy(), present[:, m].numpy() > 0
        train = parts["fit"][seen[parts["fit"]]]
        own, output = _levels(vectors, train, seed)
        codes += own
        found[modality] = (vectors, output, seen)
        start += width
    table = np.stack(codes, axis=1)
    figures = use_of(table, [SIZE] * len(codes))
    for part, rows in parts.items():
        sums = {
            name: quantisation.Reconstruction.of(*(each[rows] for each in arrays))
            for name, arrays in found.items()
        }
        figures[f"l_recon {part}"] = quantisation.l_recon(sums, len(rows))
        figures[f"fvu {part}"] = quantisation.fvu(sums)
    return figures


def _levels(
    vectors: np.ndarray, train: np.ndarray, seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Codes of every level, and the sum of their codewords."""
    from sklearn.cluster import KMeans

    codes, output = [], np.zeros_like(vectors)
    for level in range(LEVELS):
        means = KMeans(SIZE, n_init=1, max_iter=50, random_state=10 * seed + level)
        means.fit((vectors - output)[train])
        code = means.predict(vectors - output)
        codes.append(code)
        output += means.cluster_centers_[code]
    return codes, output
