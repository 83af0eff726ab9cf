"""What users would do with items without interactions, told from what the items are.

An item without history has no behaviour. Left missing, it gets codes that no user ever led to, and
a recommender never finds it. Ridge regression from the content tells about where its behaviour
would lie, and it borrows that of the item with a history that lies nearest there. The prediction
itself would not do: predictions are all near their mean, and a tokenizer that is fitted to them
gives them codewords of their own, which again no user ever led to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mmq.data import Catalogue
from mmq.encoders._behaviour import BehaviourEmbeddings
from mmq.errors import DataError

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Weights of the penalty that are tried."""

MOST_ITEMS = 100_000
"""Items that are learned from; of more, a sample."""

_HELD_OUT = 0.1
_BLOCK = 1024
"""Items whose nearest known one is looked for at a time."""


class Prediction(NamedTuple):
    """A linear map from the embeddings of an item to its behaviour, and whose it may borrow.

    Attributes:
        centre: ``(content,)`` float32 mean of the content.
        weights: ``(content, dimension)`` float32.
        offset: ``(dimension,)`` float32 mean of what is predicted.
        pool: ``(known, dimension)`` float32 unit-normed behaviour of the items learned from.
        likeness: mean cosine of what is predicted and what is true, of held-out items.
    """

    centre: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    pool: np.ndarray
    likeness: float

    def complete(self, piece: Catalogue, found: BehaviourEmbeddings) -> BehaviourEmbeddings:
        """What is known of a piece of a catalogue, and what is borrowed where nothing is.

        Args:
            piece: the items; one without any content stays without.
            found: of these items.
        """
        content = content_of(piece)
        told = ~found.present & content.any(axis=1)
        matrix = found.matrix.copy()
        rows = np.flatnonzero(told)
        for some in np.array_split(rows, -(-len(rows) // _BLOCK) or 1):
            guess = (content[some] - self.centre) @ self.weights + self.offset
            matrix[some] = self.pool[(guess @ self.pool.T).argmax(1)]
        return BehaviourEmbeddings(matrix, found.present | told)


def content_of(items: Catalogue) -> np.ndarray:
    """``(items, sum of dimensions)`` float32 unit-normed embeddings, zero where missing."""
    parts = []
    for name, matrix in items.embeddings.items():
        norms = np.linalg.norm(matrix, axis=1)[:, None]
        there = items.present[name][:, None]
        parts.append(np.where(there, matrix / np.maximum(norms, 1e-30), 0))
    return np.concatenate(parts, axis=1).astype(np.float32)


def learn_prediction(
    pieces: Iterable[Catalogue], found: BehaviourEmbeddings, seed: int = 0
) -> Prediction:
    """Learn to tell the behaviour of an item from its content, by the penalty best held out.

    Args:
        pieces: of the catalogue, in its order.
        found: of all its items; those that have behaviour are learned from, by its direction alone.
        seed: draws the items that are learned from, and those of them that are held out.

    Raises:
        DataError: only one item has behaviour.
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(found.present))[:MOST_ITEMS]
    if len(order) < 2:
        raise DataError(
            "only one item has a history, which is too few to tell the others' behaviour from; "
            "set missing to left"
        )
    chosen = np.zeros(len(found.present), bool)
    chosen[order] = True
    parts, start = [], 0
    for piece in pieces:
        rows = np.flatnonzero(chosen[start : start + len(piece)])
        parts.append(content_of(piece)[rows])
        start += len(piece)
    content = np.concatenate(parts)[np.searchsorted(np.sort(order), order)]
    norms = np.linalg.norm(found.matrix[order], axis=1)[:, None]
    target = found.matrix[order] / np.maximum(norms, 1e-30)

    held = max(1, int(_HELD_OUT * len(order)))
    part = _Ridge(content[held:], target[held:])
    tried = {each: part.likeness(each, content[:held], target[:held]) for each in STRENGTHS}
    best = max(tried, key=tried.__getitem__)
    whole = _Ridge(content, target)
    centre, weights, offset = (
        each.astype(np.float32) for each in (whole.centre, whole.solve(best), whole.offset)
    )
    return Prediction(centre, weights, offset, target.astype(np.float32), tried[best])


class _Ridge:
    """The normal equations of a linear map, solved for any penalty."""

    def __init__(self, content: np.ndarray, target: np.ndarray) -> None:
        self.centre, self.offset = content.mean(0), target.mean(0)
        moved = (content - self.centre).astype(np.float64)
        self._values, self._axes = np.linalg.eigh(moved.T @ moved)
        self._turned = self._axes.T @ (moved.T @ (target - self.offset))

    def solve(self, strength: float) -> np.ndarray:
        """``(content, dimension)`` weights that lower squared error + strength times their own."""
        scaled = self._turned / (self._values + strength)[:, None]
        result: np.ndarray = self._axes @ scaled
        return result

    def likeness(self, strength: float, content: np.ndarray, target: np.ndarray) -> float:
        """Mean cosine of what is predicted of other items and what is true of them."""
        guess = (content - self.centre) @ self.solve(strength) + self.offset
        length = np.maximum(np.linalg.norm(guess, axis=1), 1e-30)
        return float((np.einsum("nd,nd->n", guess, target) / length).mean())
