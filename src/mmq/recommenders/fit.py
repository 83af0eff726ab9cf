"""The training of recommenders over histories: an epoch, its validation, and when to stop.

Under ``torchrun`` every process takes its share of each batch's windows, and gradients are summed
so that a step is the one that a single process would have made with the whole batch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mmq.data.sequences import Sequences
from mmq.nn.loop import Adam, Log, Totals
from mmq.nn.processes import place
from mmq.recommenders.batches import training_batch
from mmq.recommenders.network import HistoryNetwork
from mmq.recommenders.settings import RecommenderSettings

SELECTED_BY = "ndcg@10"


class RetrievalTraining:
    """A training that :func:`mmq.nn.loop.train` runs, stores and goes on with.

    Args:
        network: what learns.
        settings: how.
        train: one sequence for each user.
        steps: next items that every entry of a history is to predict.
        validate: gives the figures of the network as it is.
    """

    def __init__(
        self,
        network: HistoryNetwork,
        settings: RecommenderSettings,
        train: Sequences,
        steps: int,
        validate: Callable[[], dict[str, float]],
    ) -> None:
        self.network, self.settings = network, settings
        self.train_sequences, self.steps, self.validate = train, steps, validate
        self.device = next(network.parameters()).device
        self.adam = Adam(network, settings)
        self.items = int(np.maximum(train.lengths - 1, 0).sum())
        self.epoch, self.log = 0, Log()
        self.best = {name: value.clone() for name, value in network.state_dict().items()}

    @property
    def best_epoch(self) -> int:
        """The epoch that was best on the validation part, from 1; 0 before the first."""
        scores = [epoch[SELECTED_BY] for epoch in self.log]
        return int(np.argmax(scores)) + 1 if scores else 0

    @property
    def epochs(self) -> int:
        """Where the training ends: after the last epoch, or once it has not improved for long."""
        if self.epoch - self.best_epoch >= self.settings.patience:
            return self.epoch
        return self.settings.epochs

    def begin(self) -> None:
        """Nothing to prepare."""

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Totals:
        """One pass over the windows of the histories, then the validation."""
        windows = self.train_sequences.windows(self.settings.history, generator)
        order = generator.permutation(len(windows))
        batches = np.array_split(order, math.ceil(len(order) / self.settings.batch_size))
        total = torch.zeros((), device=self.device)
        with seeded(generator, self.device):
            self.network.train()
            for number, numbers in enumerate(batches):
                progress = (self.epoch + number / len(batches)) / self.settings.epochs
                targets = self._step(windows.take(numbers), progress, total)
                advance(targets)
            self.network.eval()
        figures = self.validate()
        advance(0, f"{SELECTED_BY} {figures[SELECTED_BY]:.4f}")
        if figures[SELECTED_BY] > max((each[SELECTED_BY] for each in self.log), default=-1.0):
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        return {"loss": float(total) / self.items, **figures}

    def state(self) -> dict[str, Tensor]:
        """Weights, moments, and the best weights so far."""
        return self.adam.state() | {f"best.{name}": value for name, value in self.best.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.adam.load_state(tensors)
        self.best = {
            name.removeprefix("best."): value
            for name, value in tensors.items()
            if name.startswith("best.")
        }

    def _step(self, windows: Sequences, progress: float, total: Tensor) -> int:
        """One step; ``total`` grows by the loss summed over the targets, which are counted."""
        everyone = int((windows.lengths - 1).sum())
        rank, world = place()
        own = windows.take(slice(rank, None, world))
        loss = torch.zeros((), device=self.device)
        if len(own):
            with mixed_precision(self.device):
                loss = self.network(training_batch(own, self.steps, self.device))
            share = int((own.lengths - 1).sum()) / everyone
            loss = loss * share
        self.adam.step(loss, progress, _sum_gradients if world > 1 else None)
        loss = loss.detach()
        if world > 1:
            dist.all_reduce(loss)
        total += loss * everyone
        return everyone


def mixed_precision(device: torch.device) -> Any:
    """bfloat16 where it is faster, which is on a GPU."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def seeded(generator: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Let dropout depend on ``generator`` alone; the caller's own randomness stays as it is."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator.integers(2**62)) + place()[0])
        yield


def _sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Sum the gradients of all processes, in one message."""
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    flat = torch.cat([each.flatten() for each in gradients])
    dist.all_reduce(flat)
    pieces = flat.split([each.numel() for each in gradients])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)
