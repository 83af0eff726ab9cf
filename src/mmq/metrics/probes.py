"""Linear probes: how much of a known factor can be read from codes or embeddings.

A probe is ridge regression onto the one-hot factor, fitted on a part of the items and scored on the
rest. From codes it sees each position one-hot, so what it adds up over positions it reads; what
only a *combination* of positions tells, it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

CHANCE = "chance"
"""Key of the accuracy of always naming the most frequent level, in the tables below."""


def probe_accuracy(
    codes: np.ndarray,
    codebook_sizes: Sequence[int],
    target: np.ndarray,
    train_share: float = 0.7,
    seed: int = 0,
) -> float:
    """Share of held-out items whose level is read correctly from their codes.

    Args:
        codes: ``(items, positions)`` int, position p below ``codebook_sizes[p]``.
        codebook_sizes: codes a position can take.
        target: ``(items,)`` int levels of the factor.
        train_share: share of the items the probe is fitted on.
        seed: of the split.
    """
    return _accuracy(
        _one_hot(codes, codebook_sizes), target, _split(len(target), train_share, seed)
    )


def dense_probe_accuracy(
    embeddings: np.ndarray, target: np.ndarray, train_share: float = 0.7, seed: int = 0
) -> float:
    """The same from ``(items, dimension)`` embeddings, each dimension standardised."""
    spread = embeddings.std(axis=0)
    features = (embeddings - embeddings.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return _accuracy(features, target, _split(len(target), train_share, seed))


def chance_accuracy(target: np.ndarray, train_share: float = 0.7, seed: int = 0) -> float:
    """Held-out accuracy of always naming the level that is most frequent in the fitted part."""
    fit, held = _split(len(target), train_share, seed)
    return float(np.mean(target[held] == np.bincount(target[fit]).argmax()))


def probe_table(
    codes: np.ndarray,
    codebook_sizes: Sequence[int],
    groups: Mapping[str, Sequence[int]],
    factors: Mapping[str, np.ndarray],
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Factor -> group of positions -> :func:`probe_accuracy`, and ``chance``.

    Args:
        codes: ``(items, positions)`` int.
        codebook_sizes: codes a position can take.
        groups: name -> positions, such as ``{"shared": [0, 1], "text": [2, 3]}``.
        factors: name -> ``(items,)`` int levels.
        seed: of the split, the same for all.
    """
    return {
        factor: {
            group: probe_accuracy(
                codes[:, list(positions)], [codebook_sizes[p] for p in positions], target, seed=seed
            )
            for group, positions in groups.items()
        }
        | {CHANCE: chance_accuracy(target, seed=seed)}
        for factor, target in factors.items()
    }


def dense_probe_table(
    embeddings: Mapping[str, np.ndarray], factors: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Factor -> name of the embedding -> :func:`dense_probe_accuracy`, and ``chance``."""
    return {
        factor: {
            name: dense_probe_accuracy(matrix, target, seed=seed)
            for name, matrix in embeddings.items()
        }
        | {CHANCE: chance_accuracy(target, seed=seed)}
        for factor, target in factors.items()
    }


_RIDGE = 1.0


def _split(items: int, train_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(items)
    fitted = min(max(round(items * train_share), 1), items - 1)
    return order[:fitted], order[fitted:]


def _one_hot(codes: np.ndarray, codebook_sizes: Sequence[int]) -> np.ndarray:
    """``(items, sum of sizes)``: the one-hot codes of all positions side by side."""
    starts = np.concatenate([[0], np.cumsum(codebook_sizes)])
    features = np.zeros((len(codes), int(starts[-1])))
    np.put_along_axis(features, codes + starts[:-1], 1.0, axis=1)
    return features


def _accuracy(
    features: np.ndarray, target: np.ndarray, split: tuple[np.ndarray, np.ndarray]
) -> float:
    fit, held = split
    wanted = np.eye(int(target.max()) + 1)[target[fit]]
    centre, offset = features[fit].mean(axis=0), wanted.mean(axis=0)
    weights = _ridge(features[fit] - centre, wanted - offset)
    guesses = ((features[held] - centre) @ weights + offset).argmax(axis=1)
    return float(np.mean(guesses == target[held]))


def _ridge(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """``argmin_W |X W - Y|^2 + ridge |W|^2``, by the smaller of the two Gram matrices."""
    items, width = features.shape
    if width <= items:
        gram = features.T @ features + _RIDGE * np.eye(width)
        return np.linalg.solve(gram, features.T @ wanted)
    gram = features @ features.T + _RIDGE * np.eye(items)
    return features.T @ np.linalg.solve(gram, wanted)
