"""What all recommenders over histories do alike: train, score, search, store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmq.data.sequences import Packed, Sequences
from mmq.decoding import Decoded, Filters
from mmq.made_from import Checkpoint
from mmq.recommenders.base import Recommender
from mmq.recommenders.batches import history_batch
from mmq.recommenders.data import RetrievalData
from mmq.recommenders.dense import top_items
from mmq.recommenders.evaluation import evaluate
from mmq.recommenders.fit import RetrievalTask
from mmq.recommenders.network import HistoryNetwork
from mmq.recommenders.results import RetrievalFit
from mmq.recommenders.settings import RecommenderSettings
from mmq.training.early_stopping import EarlyStoppedTraining
from mmq.training.loop import train
from mmq.training.weights import load_arrays, to_arrays

R = TypeVar("R", bound=RecommenderSettings)
N = TypeVar("N", bound=HistoryNetwork)


class SequentialRecommender(Recommender[R], Generic[R, N]):
    """A network that reads the last items of a history."""

    _network: N | None = None
    steps = 1
    """Next items that a history is asked for in training."""

    @abstractmethod
    def _make(self) -> N:
        """A network for the items, that has not learned yet."""

    @abstractmethod
    def _scores(self, users: Tensor) -> Tensor:
        """``(b, d)`` user vectors -> ``(b, items)``."""

    @property
    def network(self) -> N:
        """The trained network."""
        if self._network is None:
            raise self._unfitted()
        return self._network

    def user_vectors(self, histories: Sequences) -> Tensor:
        """``(b, d)``: what the network makes of each history's last items."""
        with torch.no_grad():
            latest = histories.latest(self.settings.history)
            return self.network.last(history_batch(latest, self.device)).float()

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
        return top_items(self.score_block(histories), k, filters)

    def _fit(self, data: RetrievalData, checkpoint: Checkpoint | None) -> RetrievalFit:
        network = self._seeded().to(self.device)
        self._network = network.eval()
        training = EarlyStoppedTraining(self.task(data), self.settings)
        if checkpoint is not None:
            checkpoint = checkpoint.of(data=data.fingerprint(), settings=self.settings.to_dict())
        trained = train(training, self.settings.seed, checkpoint)
        network.load_state_dict(training.best)
        network.eval().requires_grad_(False)
        self.log = trained.log
        best = training.best_figures
        return RetrievalFit(
            trained.epochs,
            training.best_epoch,
            trained.seconds,
            training.items / trained.items_per_second if trained.items_per_second else 0.0,
            {name: value for name, value in best.items() if "@" in name},
        )

    def task(self, data: RetrievalData) -> RetrievalTask:
        """What the network learns from ``data``, whose items are those of the recommender."""
        return RetrievalTask(
            self.network,
            self.settings,
            data.train,
            self.steps,
            lambda: evaluate(self, data.validation).figures,
        )

    def _seeded(self) -> N:
        with torch.random.fork_rng(devices=[]):  # the caller's own randomness stays as it is
            torch.default_generator.manual_seed(self.settings.seed)
            return self._make()

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        return to_arrays(self.network)

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Weights of :meth:`tensors`, checked against the settings.

        Raises:
            FormatError: a tensor is missing, extra or misshapen.
        """
        network = self._seeded()
        load_arrays(network, tensors, folder)
        self._network = network.to(self.device).eval().requires_grad_(False)
