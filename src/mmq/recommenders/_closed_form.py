"""What recommenders without gradients do alike: they are fitted at once, and score all items."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.decoding import Decoded, Filters
from mmq.errors import FormatError
from mmq.made_from import Checkpoint
from mmq.model import Fit
from mmq.recommenders._base import Recommender
from mmq.recommenders._data import RetrievalData
from mmq.recommenders._dense import top_items
from mmq.recommenders._evaluation import evaluate
from mmq.recommenders._results import Items
from mmq.settings import Settings

S = TypeVar("S", bound=Settings)


class ClosedForm(Recommender[S], Generic[S]):
    """A recommender whose fit is sums and products, over in one go: nothing is resumed."""

    def learn(self, data: RetrievalData) -> None:
        """:meth:`fit` without measuring anything."""
        self.load_items(Items(data.item_ids, data.ids, data.popularity()))
        self._learn(data)

    @abstractmethod
    def _learn(self, data: RetrievalData) -> None:
        """Make of the training part what scores need."""

    def _fit(self, data: RetrievalData, checkpoint: Checkpoint | None) -> Fit:
        started = time.monotonic()
        self._learn(data)
        seconds = time.monotonic() - started
        return Fit(evaluate(self, data.validation).figures, seconds=seconds)

    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The best items by their scores."""
        return top_items(self.score_block(histories), k, filters)

    def _checked(
        self, tensors: Mapping[str, np.ndarray], names: tuple[str, ...], folder: Path
    ) -> list[np.ndarray]:
        """Tensors of a saved folder by these names.

        Raises:
            FormatError: one is missing, or there is another.
        """
        if tensors.keys() != set(names):
            name = min(tensors.keys() ^ set(names))
            what = "lacks the tensor" if name in names else "holds a tensor that is not known,"
            raise FormatError(
                f"{folder} {what} '{name}' for {self.kind}; copy the whole folder or train it again"
            )
        return [tensors[name] for name in names]


def met_by(train: Sequences, items: int) -> sparse.csr_array:
    """``(users, items)`` float32: 1 where a user interacted with an item, however often."""
    rows, lengths = train.pack()
    users = np.repeat(np.arange(len(lengths)), lengths)
    ones = np.ones(len(rows), np.float32)
    met = sparse.csr_array((ones, (users, rows)), shape=(len(lengths), items))
    met.data[:] = 1  # entries that were given several times were added up
    return met


def followed(train: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Rows of items, and of those that came right after them, a pair for each time."""
    rows, lengths = train.pack()
    users = np.repeat(np.arange(len(lengths)), lengths)
    places = np.flatnonzero(users[1:] == users[:-1])
    return rows[places], rows[places + 1]


def faded(histories: Sequences, items: int, decay: float) -> sparse.csr_array:
    """``(histories, items)`` float32: ``decay ** steps`` since each item of a history.

    The last item counts 1; one that comes several times counts the sum.
    """
    rows, lengths = histories.pack()
    users = np.repeat(np.arange(len(lengths)), lengths)
    steps = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(rows)) - 1
    weights = (decay**steps).astype(np.float32)
    return sparse.csr_array((weights, (users, rows)), shape=(len(lengths), items))


def above_zero(weights: Tensor, decay: float) -> Tensor:
    """What items of histories add to scores, ``(b, t, k)``; -inf where it is not above 0.

    Args:
        weights: ``(b, t, k)`` weight of each, before time is counted.
        decay: as in :func:`faded`.
    """
    steps = torch.arange(weights.shape[1]).flip(0)[:, None]
    added = weights * decay**steps
    return added.masked_fill(added <= 0, -torch.inf)
