"""Item-kNN: items of the same users, and items that followed; the baseline that is hard to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy import sparse
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.errors import FormatError
from mmq.recommenders._closed_form import ClosedForm, above_zero, faded, followed, met_by
from mmq.recommenders._data import RetrievalData
from mmq.settings import Settings

_ROWS = 2048
"""Items whose neighbours are looked for at a time: memory holds so many rows of all items."""
_LEAST = 1e-6
"""What the most popular item scores by that alone: it orders items that are like none of the
history."""
_NAMES = ("starts", "items", "similarities")


class ItemKNNSettings(Settings):
    """Settings of :class:`ItemKNN`; near the best of a dozen tried on the
    validation parts of Beauty and ML-1M."""

    neighbours: PositiveInt = 500
    """Most similar items that are kept of every item."""
    shrinkage: NonNegativeFloat = 20.0
    """Added to what a cosine is divided by, so that few users in common prove little."""
    following: NonNegativeFloat = 2.0
    """Weight of how often an item came right after another, beside how many users have both."""
    decay: float = Field(default=0.6, gt=0, le=1)
    """What an item of a history counts less for every item that came after it."""


class ItemKNN(ClosedForm[ItemKNNSettings]):
    """Scores an item by its similarity to the items of the history, the latest first.

    The similarity of j to i is ``(users of both + w n_ij) / (sqrt(users of i * users of j) +
    shrinkage)``, ``n_ij`` how often j came right after i. (Cosine with shrinkage: Sarwar et al.
    2001, Koren 2008.)

    Args:
        settings: or their values by name, ``ItemKNN(neighbours=100)``.
    """

    kind, label = "item-knn", "Item-kNN"
    settings_class = ItemKNNSettings
    _similar: sparse.csr_array

    def _learn(self, data: RetrievalData) -> None:
        items = len(data.item_ids)
        met = met_by(data.train, items)
        users, by_item, after = met.sum(0), met.T.tocsr(), _following(data.train, items)
        parts = []
        for start in range(0, items, _ROWS):
            rows = slice(start, start + _ROWS)
            both = sparse.csr_array(by_item[rows] @ met)
            both = both - _diagonal(both, start)
            found = sparse.csr_array(both + self.settings.following * after[rows])
            found.data /= self._norms(users, found, start)
            parts.append(_strongest(found, self.settings.neighbours))
        self._similar = sparse.csr_array(sparse.vstack(parts, "csr"))

    def _norms(self, users: np.ndarray, found: sparse.csr_array, start: int) -> np.ndarray:
        """What each entry of some rows, the first of them ``start``, is divided by."""
        own = np.repeat(users[start : start + found.shape[0]], np.diff(found.indptr))
        norms: np.ndarray = np.sqrt(own * users[found.indices]) + self.settings.shrinkage
        return norms

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)`` summed similarities; where there are none, popular items come first."""
        found = (
            faded(histories, self._similar.shape[0], self.settings.decay) @ self._similar
        ).toarray()
        popularity = self.items.popularity
        found += (_LEAST / max(1, popularity.max()) * popularity).astype(np.float32)
        return torch.from_numpy(found).to(self.device)

    def speaks_for(self, histories: Tensor, rows: Tensor) -> Tensor:
        """The similarity that an item of the history adds to the score."""
        shape = (*histories.shape, rows.shape[1])
        own = np.repeat(histories.numpy().ravel(), shape[2])
        other = np.repeat(rows.numpy(), shape[1], axis=0).ravel()
        similar = torch.from_numpy(np.asarray(self._similar[own, other]))
        return above_zero(similar.view(shape), self.settings.decay)

    def tensors(self) -> dict[str, np.ndarray]:
        """The neighbours of item i: ``items[starts[i] : starts[i + 1]]``, and how similar."""
        similar = self._similar
        parts = (similar.indptr.astype(np.int64), similar.indices.astype(np.int32), similar.data)
        return dict(zip(_NAMES, parts, strict=True))

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Neighbours of :meth:`tensors`.

        Raises:
            FormatError: they are not those of the items.
        """
        starts, places, values = self._checked(tensors, _NAMES, folder)
        items = len(self.items.item_ids)
        whole = len(starts) == items + 1 and starts[-1] == len(places) == len(values)
        if not whole or (len(places) and not 0 <= places.min() <= places.max() < items):
            raise FormatError(
                f"the neighbours in {folder} are not those of its {items:,} items; copy the whole "
                "folder or train it again"
            )
        self._similar = sparse.csr_array((values, places, starts), shape=(items, items))


def _following(train: Sequences, items: int) -> sparse.csr_array:
    """``(items, items)`` float32: how often an item came right after another."""
    before, after = followed(train)
    ones = np.ones(len(before), np.float32)
    return sparse.csr_array((ones, (before, after)), shape=(items, items))


def _diagonal(both: sparse.csr_array, start: int) -> sparse.csr_array:
    """Of some rows of a square matrix, the first of them ``start``, what lies on the diagonal."""
    rows = np.arange(both.shape[0])
    values = both[rows, rows + start]
    return sparse.csr_array((values, (rows, rows + start)), shape=both.shape)


def _strongest(found: sparse.csr_array, most: int) -> sparse.csr_array:
    """The ``most`` largest entries above 0 of every row, equal ones by column."""
    rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    order = np.lexsort((found.indices, -found.data, rows))
    place = np.arange(len(order)) - found.indptr[rows]
    kept = np.sort(order[(place < most) & (found.data[order] > 0)])
    kept = kept[np.lexsort((found.indices[kept], rows[kept]))]
    entries = (found.data[kept].astype(np.float32), (rows[kept], found.indices[kept]))
    return sparse.csr_array(entries, shape=found.shape)
