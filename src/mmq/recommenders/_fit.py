"""The training of recommenders over histories: windows, batches and their loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from mmq.data._sequences import Sequences
from mmq.nn.soft_items import SoftItems
from mmq.recommenders._batches import Batch, training_batch
from mmq.recommenders._network import HistoryNetwork
from mmq.recommenders._settings import RecommenderSettings
from mmq.training._distributed import place
from mmq.training._early_stopping import ValidatedTask, mixed_precision
from mmq.training._loop import Part, step_generator

_STEPS, _FEWEST, _MOST = 2000, 15, 100
"""Steps that a training should make, and the epochs that it is given for them."""


class RetrievalTask(ValidatedTask):
    """Every entry of a history predicts what follows it.

    Args:
        network: what learns.
        settings: how.
        train: one sequence for each user.
        steps: next items that every entry of a history is to predict.
        figures: gives those of the network as it is.
    """

    monitor = "ndcg@10"

    def __init__(
        self,
        network: HistoryNetwork,
        settings: RecommenderSettings,
        train: Sequences,
        steps: int,
        figures: Callable[[], dict[str, float]],
    ) -> None:
        self.network: HistoryNetwork = network
        self.settings, self.train, self.steps, self.figures = settings, train, steps, figures
        self.items = int(np.maximum(train.lengths - 1, 0).sum())
        self.device = next(network.parameters()).device
        self.sparse = network.tables if network.sparse else ()

    @property
    def usual_epochs(self) -> int:
        """As many as make :data:`_STEPS`: a small log has few steps an epoch."""
        windows = int(-(-np.maximum(self.train.lengths - 1, 0) // self.settings.history).sum())
        steps = math.ceil(windows / self.settings.batch_size)
        return min(max(math.ceil(_STEPS / max(steps, 1)), _FEWEST), _MOST)

    def batches(self, generator: np.random.Generator) -> list[Sequences]:
        """Windows of the histories, in a random order."""
        windows = self.train.windows(self.settings.history, generator)
        order = generator.permutation(len(windows))
        batches = math.ceil(len(order) / self.settings.batch_size)
        return [windows.take(numbers) for numbers in np.array_split(order, batches)]

    def part(self, batch: Sequences, progress: float, soft: SoftItems | None = None) -> Part:
        """Mean over the targets of this process's windows; ``soft`` replaces codes of items."""
        everyone = int((batch.lengths - 1).sum())
        rank, world = place()
        own = batch.take(slice(rank, None, world))
        loss = torch.zeros((), device=self.device)
        if len(own):
            made = self.compared(training_batch(own, self.steps, self.device), batch, progress)
            with mixed_precision(self.device, self.settings.precision):
                loss = self.network(made._replace(histories=made.histories._replace(soft=soft)))
        return Part({"loss": loss}, int((own.lengths - 1).sum()) / everyone, everyone)

    def compared(self, share: Batch, batch: Sequences, progress: float) -> Batch:
        """A process's share of a batch, with who competes in the whole of it.

        The draw depends on nothing but seed and progress, so that all processes make the same one,
        and a resumed training makes it again.
        """
        targets = Sequences(batch.rows, batch.first + 1, batch.end).pack().rows
        sample = self.network.sample(targets, step_generator(self.settings.seed, progress))
        return share._replace(sample=None if sample is None else sample.to(self.device))

    def validate(self) -> dict[str, float]:
        """Recall and NDCG of the validation part."""
        return self.figures()
