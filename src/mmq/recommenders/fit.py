"""The training of recommenders over histories: windows, batches and their loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mmq.data.sequences import Sequences
from mmq.nn.processes import place
from mmq.nn.selected import SelectedTraining, mixed_precision
from mmq.recommenders.batches import training_batch
from mmq.recommenders.network import HistoryNetwork
from mmq.recommenders.settings import RecommenderSettings


class RetrievalTraining(SelectedTraining):
    """A training that :func:`mmq.nn.loop.train` runs, stores and goes on with.

    Args:
        network: what learns.
        settings: how.
        train: one sequence for each user.
        steps: next items that every entry of a history is to predict.
        validate: gives the figures of the network as it is.
    """

    selected_by = "ndcg@10"

    def __init__(
        self,
        network: HistoryNetwork,
        settings: RecommenderSettings,
        train: Sequences,
        steps: int,
        validate: Callable[[], dict[str, float]],
    ) -> None:
        super().__init__(network, settings, int(np.maximum(train.lengths - 1, 0).sum()), validate)
        self.network, self.train_sequences, self.steps = network, train, steps
        self.history = settings.history

    def batches(self, generator: np.random.Generator) -> list[Sequences]:
        """Windows of the histories, in a random order."""
        windows = self.train_sequences.windows(self.history, generator)
        order = generator.permutation(len(windows))
        batches = math.ceil(len(order) / self.settings.batch_size)
        return [windows.take(numbers) for numbers in np.array_split(order, batches)]

    def step(self, batch: Sequences, progress: float, total: Tensor) -> int:
        """One step; ``total`` grows by the loss summed over the targets, which are counted."""
        everyone = int((batch.lengths - 1).sum())
        rank, world = place()
        own = batch.take(slice(rank, None, world))
        loss = torch.zeros((), device=self.device)
        if len(own):
            with mixed_precision(self.device, self.settings.precision):
                loss = self.network(training_batch(own, self.steps, self.device))
        share = int((own.lengths - 1).sum()) / everyone
        total += self.descend(loss, share, progress) * everyone
        return everyone
