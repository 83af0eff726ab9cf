"""What trainings of recommenders share: a step over several processes, and the best epoch kept.

Under ``torchrun`` every process takes its share of each batch, and gradients are summed so that a
step is the one that a single process would have made with the whole batch.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
import torch.distributed as dist
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmq.training.distributed import place
from mmq.training.loop import Adam, LearningSettings, Log, Totals


class EarlyStoppingSettings(LearningSettings):
    """Settings of a training that is stopped by its validation part."""

    epochs: NonNegativeInt | None = None
    """Most passes over the training part; None for what suits the size of the log. 0 leaves the
    weights as they were drawn: a model for stage 2 to begin with from scratch."""
    patience: PositiveInt = 8
    """Epochs without a better validation figure after which training stops; the best is kept."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products in training; weights and sums are float32. "auto" is bfloat16 on a GPU. On a
    processor with matrix units (AMX) bfloat16 makes batches of one shape faster, others slower."""


class Batches(Protocol):
    """Batches that are counted before they are made."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Part(NamedTuple):
    """What a process makes of its share of a batch.

    Attributes:
        loss: mean over its targets, a scalar.
        share: of the batch's targets that are its own.
        targets: of the whole batch.
    """

    loss: Tensor
    share: float
    targets: int


class Task(ABC):
    """What a :class:`EarlyStoppedTraining` learns.

    Attributes:
        network: what learns.
        items: targets that an epoch passes.
        monitor: the figure of :meth:`validate` that tells the best epoch; higher is better.
        slower: start of a parameter's name -> factor of its learning rate.
    """

    network: nn.Module
    items: int
    monitor: str
    slower: Mapping[str, float] = MappingProxyType({})

    @property
    def usual_epochs(self) -> int:
        """Most epochs where no number is set."""
        return 40

    @abstractmethod
    def batches(self, generator: np.random.Generator) -> Batches:
        """The batches of an epoch, in the order in which they are learned."""

    @abstractmethod
    def part(self, batch: Any, progress: float) -> Part:
        """The loss of this process's share of a batch, at a share of the training."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures of the network as it is."""

    def end_epoch(self, generator: np.random.Generator, progress: float) -> None:  # noqa: B027
        """What is to be done after the steps of an epoch and before its validation, if anything."""

    def refused(self, figures: Mapping[str, float]) -> bool:
        """Whether an epoch of such figures is not to be kept, and ends the training."""
        return False


class EarlyStoppedTraining:
    """A training that :func:`mmq.training.loop.train` runs, whose best epoch is kept.

    Args:
        task: what is learned.
        settings: how.
        floor: the figure of the network as it is, which is kept unless an epoch is better.
    """

    def __init__(
        self, task: Task, settings: EarlyStoppingSettings, floor: float = -math.inf
    ) -> None:
        self.task, self.settings, self.items = task, settings, task.items
        self.device = next(task.network.parameters()).device
        self.adam = Adam(task.network, settings, task.slower)
        self.epoch, self.log, self.floor = 0, Log(), floor
        self.best = _copy(task.network)
        self.most = task.usual_epochs if settings.epochs is None else settings.epochs

    @property
    def best_epoch(self) -> int:
        """The epoch that was best on the validation part, from 1; 0 for the start."""
        scores = [self.floor, *map(self._score, self.log)]
        return int(np.argmax(scores))

    @property
    def best_figures(self) -> dict[str, float]:
        """Of the network that is kept; call it once that is what the network is again."""
        return self.log[self.best_epoch - 1] if self.best_epoch else self.task.validate()

    @property
    def epochs(self) -> int:
        """Where the training ends: after the last epoch, or once it has not improved for long."""
        waited = self.epoch - self.best_epoch >= self.settings.patience
        if waited or (self.log and self.task.refused(self.log[-1])):
            return self.epoch
        return self.most

    def begin(self) -> None:
        """Nothing to prepare."""

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Totals:
        """One pass over the training part, then the validation."""
        network, name = self.task.network, self.task.monitor
        batches = self.task.batches(generator)
        steps = len(batches)
        total = torch.zeros((), device=self.device)
        with seeded(generator, self.device, place()[0]):
            network.train()
            for number, batch in enumerate(batches):
                progress = (self.epoch + number / steps) / self.most
                advance(self.step(batch, progress, total))
            network.eval()
        self.task.end_epoch(generator, (self.epoch + 1) / self.most)
        figures = self.task.validate()
        advance(0, f"{name} {figures[name]:.4f}")
        if self._score(figures) > max([self.floor, *map(self._score, self.log)]):
            self.best = _copy(network)
        return {"loss": float(total) / self.items, **figures}

    def step(self, batch: Any, progress: float, total: Tensor) -> int:
        """One step; ``total`` grows by the loss summed over the targets, which are counted.

        Gradients of all processes are summed, each weighed by its share of the batch.
        """
        world = place()[1]
        part = self.task.part(batch, progress)
        loss = part.loss * part.share
        self.adam.step(loss, progress, _sum_gradients if world > 1 else None)
        loss = loss.detach()
        if world > 1:
            dist.all_reduce(loss)
        total += loss * part.targets
        return part.targets

    def _score(self, figures: Mapping[str, float]) -> float:
        return -math.inf if self.task.refused(figures) else figures[self.task.monitor]

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


def mixed_precision(device: torch.device, precision: str = "auto") -> Any:
    """bfloat16 products where they are asked for, or faster as a rule, which is on a GPU."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def seeded(
    generator: np.random.Generator, device: torch.device, process: int = 0
) -> Iterator[None]:
    """Let what is drawn depend on ``generator`` alone; the caller's own randomness stays as it is.

    Args:
        generator: of the seed.
        device: where it is drawn.
        process: its number, where each is to draw something else (dropout of its own share).
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator.integers(2**62)) + process)
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
