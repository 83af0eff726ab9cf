"""EASE (Steck 2019, arXiv 1905.03375): the linear model that predicts items from all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.errors import DataError, FormatError
from mmq.recommenders._closed_form import ClosedForm, above_zero, faded, met_by
from mmq.recommenders._data import RetrievalData
from mmq.settings import Settings

_NAMES = ("rows", "weights")


class EASESettings(Settings):
    """Settings of :class:`EASE`; those published for Beauty, not tried on other data."""

    penalty: PositiveFloat = 200.0
    """Ridge penalty of every weight."""
    decay: float = Field(default=0.7, gt=0, le=1)
    """What an item of a history counts less for every item that came after it."""
    most_items: PositiveInt = 20_000
    """Items with interactions at which it stops: their square in memory, some 3 GB at 20,000, and
    their cube in time."""


class EASE(ClosedForm[EASESettings]):
    """Scores items by a weight from every item of the history to every other.

    ``B = -P / diag(P)`` with zeros on the diagonal, ``P = (X' X + penalty I)^-1``, X the
    interactions of users and items.
    Users are weighed alike in the fit; the latest items of a history tell most (``decay``).

    Args:
        settings: or their values by name, ``EASE(penalty=300)``.
    """

    kind, label = "ease", "EASE"
    settings_class = EASESettings
    _rows: np.ndarray
    """``(met,)`` int64 rows of the items seen in training, rising; others have no weights."""
    _weights: np.ndarray
    """``(met, met)`` float32, from an item of the history to one that is recommended."""

    def _learn(self, data: RetrievalData) -> None:
        rows, most = np.flatnonzero(data.popularity()), self.settings.most_items
        if len(rows) > most:
            raise DataError(
                f"ease inverts a matrix of items by items, and {len(rows):,} items with "
                f"interactions are more than the {most:,} at which it stops; use item-knn, or "
                f"raise --set most_items={len(rows)} "
                f"({12e-9 * len(rows) ** 2:.0f} GB of memory while it is fitted)"
            )
        met = met_by(data.train, len(data.item_ids))[:, rows]
        gram = torch.from_numpy((met.T @ met).toarray()).to(self.device)
        gram.diagonal().add_(self.settings.penalty)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        inverse /= -inverse.diagonal().clone()
        inverse.fill_diagonal_(0)
        # rows side by side: sparse products would else copy the matrix for every block of users
        self._rows, self._weights = rows, np.ascontiguousarray(inverse.cpu().numpy())

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)``; 0 for items that training did not meet."""
        items = len(self.items.item_ids)
        scores = np.zeros((len(histories), items), np.float32)
        # a history has few items: sparse rows by dense weights is far less work than dense by dense
        history = faded(histories, items, self.settings.decay)[:, self._rows]
        scores[:, self._rows] = history @ self._weights
        return torch.from_numpy(scores).to(self.device)

    def speaks_for(self, histories: Tensor, rows: Tensor) -> Tensor:
        """The weight that an item of the history adds to the score."""
        place = np.full(len(self.items.item_ids), -1)
        place[self._rows] = np.arange(len(self._rows))
        own, other = place[histories.numpy()][:, :, None], place[rows.numpy()][:, None]
        weights = np.where((own >= 0) & (other >= 0), self._weights[own, other], 0)
        return above_zero(torch.from_numpy(weights), self.settings.decay)

    def tensors(self) -> dict[str, np.ndarray]:
        """Rows of the items seen in training, and the weights between them."""
        return dict(zip(_NAMES, (self._rows, self._weights), strict=True))

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Weights of :meth:`tensors`.

        Raises:
            FormatError: they are not those of the items.
        """
        rows, weights = self._checked(tensors, _NAMES, folder)
        met = np.flatnonzero(self.items.popularity)
        if not np.array_equal(rows, met) or weights.shape != (len(met), len(met)):
            raise FormatError(
                f"the weights in {folder} are not those of its items; copy the whole folder or "
                "train it again"
            )
        self._rows, self._weights = rows, weights
