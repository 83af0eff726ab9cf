"""What trainings of recommenders share: a step over several processes, and the best epoch kept.

Under ``torchrun`` every process takes its share of each batch, and gradients are summed so that a
step is the one that a single process would have made with the whole batch.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
import torch.distributed as dist
from pydantic import PositiveInt
from torch import Tensor, nn

from mmq.nn.loop import Adam, LearningSettings, Log, Totals
from mmq.nn.processes import place


class SelectedSettings(LearningSettings):
    """Settings of a training that is stopped by its validation part."""

    epochs: PositiveInt = 40
    """Most passes over the training part."""
    patience: PositiveInt = 8
    """Epochs without a better validation figure after which training stops; the best is kept."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products in training; weights and sums are float32. "auto" is bfloat16 on a GPU. On a
    processor with matrix units (AMX) bfloat16 makes batches of one shape faster, others slower."""


class Batches(Protocol):
    """Batches that are counted before they are made."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class SelectedTraining(ABC):
    """A training that :func:`mmq.nn.loop.train` runs, whose best epoch is kept.

    Args:
        network: what learns.
        settings: how.
        items: what an epoch passes, for the progress bar.
        validate: gives the figures of the network as it is.
    """

    selected_by: ClassVar[str]
    """The figure of :attr:`validate` that tells the best epoch; higher is better."""

    def __init__(
        self,
        network: nn.Module,
        settings: SelectedSettings,
        items: int,
        validate: Callable[[], dict[str, float]],
    ) -> None:
        self.settings, self.items, self.validate = settings, items, validate
        self.device = next(network.parameters()).device
        self.adam = Adam(network, settings)
        self.epoch, self.log = 0, Log()
        self.best = _copy(network)

    @abstractmethod
    def batches(self, generator: np.random.Generator) -> Batches:
        """The batches of an epoch, in the order in which they are learned."""

    @abstractmethod
    def step(self, batch: Any, progress: float, total: Tensor) -> int:
        """One step; ``total`` grows by the loss summed over the targets, which are counted."""

    @property
    def best_epoch(self) -> int:
        """The epoch that was best on the validation part, from 1; 0 before the first."""
        scores = [epoch[self.selected_by] for epoch in self.log]
        return int(np.argmax(scores)) + 1 if scores else 0

    @property
    def epochs(self) -> int:
        """Where the training ends: after the last epoch, or once it has not improved for long."""
        if self.epoch - self.best_epoch >= self.settings.patience:
            return self.epoch
        return self.settings.epochs

    def begin(self) -> None:  # noqa: B027  (a kind may have something to prepare, and need not)
        """Nothing to prepare."""

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Totals:
        """One pass over the training part, then the validation."""
        network, name = self.adam.network, self.selected_by
        batches = self.batches(generator)
        steps = len(batches)
        total = torch.zeros((), device=self.device)
        with seeded(generator, self.device):
            network.train()
            for number, batch in enumerate(batches):
                progress = (self.epoch + number / steps) / self.settings.epochs
                advance(self.step(batch, progress, total))
            network.eval()
        figures = self.validate()
        advance(0, f"{name} {figures[name]:.4f}")
        if figures[name] > max((each[name] for each in self.log), default=-1.0):
            self.best = _copy(network)
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

    def descend(self, loss: Tensor, share: float, progress: float) -> Tensor:
        """Step down the mean loss of all processes, and give it.

        Args:
            loss: mean over this process's part of the batch.
            share: of the batch's targets that the part holds.
            progress: share of the training that is done.
        """
        world = place()[1]
        loss = loss * share
        self.adam.step(loss, progress, _sum_gradients if world > 1 else None)
        loss = loss.detach()
        if world > 1:
            dist.all_reduce(loss)
        return loss


def mixed_precision(device: torch.device, precision: str = "auto") -> Any:
    """bfloat16 products where they are asked for, or faster as a rule, which is on a GPU."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def seeded(generator: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Let dropout depend on ``generator`` alone; the caller's own randomness stays as it is."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator.integers(2**62)) + place()[0])
        yield


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Sum the gradients of all processes, in one message."""
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    flat = torch.cat([each.flatten() for each in gradients])
    dist.all_reduce(flat)
    pieces = flat.split([each.numel() for each in gradients])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)
