"""What all recommenders over histories do alike: score and search."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from mmq.data.sequences import Sequences
from mmq.decoding import Decoded, Filters
from mmq.network_model import NetworkModel
from mmq.recommenders.base import Recommender
from mmq.recommenders.batches import history_batch
from mmq.recommenders.data import RetrievalData
from mmq.recommenders.dense import top_items
from mmq.recommenders.evaluation import evaluate
from mmq.recommenders.fit import RetrievalTask
from mmq.recommenders.network import HistoryNetwork
from mmq.recommenders.settings import RecommenderSettings

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

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)``."""
        with torch.no_grad():
            return self._scores(self.user_vectors(histories))

    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The best items by their scores."""
        return top_items(self.score_block(histories), k, filters)

    def task(self, data: RetrievalData) -> RetrievalTask:
        """What the network learns from ``data``, whose items are those of the recommender."""
        return RetrievalTask(
            self.network,
            self.settings,
            data.train,
            self.steps,
            lambda: evaluate(self, data.validation).figures,
        )
