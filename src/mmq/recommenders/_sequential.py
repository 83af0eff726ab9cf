"""What all recommenders over histories do alike: score and search."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmq._network_model import NetworkModel
from mmq.data._sequences import Packed, Sequences
from mmq.decoding import Decoded, Filters
from mmq.recommenders._base import Recommender
from mmq.recommenders._batches import history_batch
from mmq.recommenders._data import RetrievalData
from mmq.recommenders._dense import in_parts, top_items
from mmq.recommenders._evaluation import evaluate
from mmq.recommenders._fit import RetrievalTask
from mmq.recommenders._network import HistoryNetwork
from mmq.recommenders._settings import RecommenderSettings

R = TypeVar("R", bound=RecommenderSettings)
N = TypeVar("N", bound=HistoryNetwork)


class SequentialRecommender(NetworkModel[R, N], Recommender[R], Generic[R, N]):
    """A network that reads the last items of a history."""

    steps = 1
    """Next items that a history is asked for in training."""

    @abstractmethod
    def _scores(self, users: Tensor) -> Tensor:
        """``(b, d)`` user vectors -> ``(b, items)``."""

    def user_vectors(self, histories: Sequences) -> Tensor:
        """``(b, d)``: what the network makes of each history's last items."""
        with torch.no_grad():
            latest = histories.latest(self.settings.history)
            return self.network.last(history_batch(latest, self.device)).float()

    @abstractmethod
    def answer_vectors(self, rows: Tensor) -> Tensor:
        """``(n, width)`` float32: what users are compared with, for rows of items.

        The product with :meth:`question_vectors` is an item's score up to a constant of the user.

        Raises:
            SettingsError: scores are no products of two vectors.
        """

    @abstractmethod
    def question_vectors(self, histories: Sequences) -> Tensor:
        """``(b, width)`` float32: what items are compared with; see :meth:`answer_vectors`."""

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)``."""
        with torch.no_grad():
            return self._scores(self.user_vectors(histories))

    def speaks_for(self, histories: Tensor, rows: Tensor) -> Tensor:
        """The cosine of the vectors by which the network reads two items."""
        with torch.no_grad():
            return self._directions(histories) @ self._directions(rows).mT

    def closest_of_history(self, histories: Sequences, rows: Tensor) -> Tensor:
        """As of every recommender, among the items that the network reads."""
        return super().closest_of_history(histories.latest(self.settings.history), rows)

    def _directions(self, rows: Tensor) -> Tensor:
        """``(..., d)`` vectors of items as they are read in a history, of length 1."""
        flat = Sequences.of(Packed(rows.flatten().numpy(), np.ones(rows.numel(), np.int64)))
        vectors = self.network.item_vectors(history_batch(flat, self.device))
        return normalize(vectors.float(), dim=1).view(*rows.shape, -1)

    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The best items by their scores."""
        users = self.user_vectors(histories)

        def find(some: slice, own: Filters) -> Decoded:
            with torch.no_grad():
                return top_items(self._scores(users[some]), k, own)

        return in_parts(find, len(users), len(self.items.item_ids), filters)

    def task(self, data: RetrievalData) -> RetrievalTask:
        """What the network learns from ``data``, whose items are those of the recommender."""
        return RetrievalTask(
            self.network,
            self.settings,
            data.train,
            self.steps,
            lambda: evaluate(self, data.validation).figures,
        )
