"""A tokenizer of your own: k-means of pieces of every modality (Jegou et al. 2011).

mmq reproduce table1 --own examples/own_tokenizer.py
"""

import numpy as np

from mmq import Catalogue


class PieceKMeans:
    def __init__(self, seed: int, pieces: int = 3, codebook_size: int = 32) -> None:
        self.rng, self.pieces, self.size = np.random.default_rng(seed), pieces, codebook_size

    def fit(self, items: Catalogue) -> None:
        self.books = []  # of each code: a modality, some of its columns, and their centroids
        for name, width in items.dimensions.items():
            for columns in np.array_split(np.arange(width), self.pieces):
                x = piece(items, name, columns)[items.present[name]]
                self.books.append((name, columns, k_means(x, self.size, self.rng)))
        self.codebook_sizes = [len(book) for _, _, book in self.books]

    def encode(self, items: Catalogue) -> np.ndarray:  # (items, length) codes
        return np.stack([nearest(piece(items, *part), book) for *part, book in self.books], axis=1)

    def decode(self, codes: np.ndarray) -> dict[str, np.ndarray]:  # can be left out
        found = [(m, book[code]) for (m, _, book), code in zip(self.books, codes.T, strict=True)]
        return {m: np.hstack([x for name, x in found if name == m]) for m, _ in found}


def piece(items: Catalogue, name: str, columns: np.ndarray) -> np.ndarray:
    x = items.embeddings[name]
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30))[:, columns]


def nearest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((centroids**2).sum(1) - 2 * x @ centroids.T).argmin(1)


def k_means(x: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    centroids = rng.choice(x, min(size, len(x)), replace=False)
    for _ in range(20):
        near = nearest(x, centroids)
        for code in np.unique(near):
            centroids[code] = x[near == code].mean(0)
    return centroids


ROWS = {"Piece k-means": PieceKMeans}  # name of the row -> what makes it from a seed
