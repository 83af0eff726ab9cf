"""Trainings that end when their validation part says so, and keep the best epoch."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmq.training._loop import Figures, Task, Training, named
from mmq.training._optimiser import LearningSettings


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


class ValidatedTask(Task):
    """What an :class:`EarlyStoppedTraining` learns.

    Attributes:
        monitor: the figure of :meth:`validate` that tells the best epoch; higher is better.
    """

    monitor: str

    @abstractmethod
    def validate(self) -> Figures:
        """Figures of the network as it is."""

    def refused(self, figures: Mapping[str, float]) -> bool:
        """Whether an epoch of such figures is not to be kept, and ends the training."""
        return False


class EarlyStoppedTraining(Training):
    """A training whose best epoch is kept.

    Args:
        task: what is learned.
        settings: how.
        floor: the figure of the network as it is, which is kept unless an epoch is better.
    """

    task: ValidatedTask
    settings: EarlyStoppingSettings

    def __init__(
        self, task: ValidatedTask, settings: EarlyStoppingSettings, floor: float = -math.inf
    ) -> None:
        super().__init__(task, settings)
        self.floor, self.best = floor, _copy(task.network)

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

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Figures:
        """One pass over the training part, then the validation."""
        name, losses = self.task.monitor, super().run_epoch(generator, advance)
        figures = self.task.validate()
        advance(0, f"{name} {figures[name]:.4f}")
        if self._score(figures) > max([self.floor, *map(self._score, self.log)]):
            self.best = _copy(self.task.network)
        return {**losses, **figures}

    def _score(self, figures: Mapping[str, float]) -> float:
        return -math.inf if self.task.refused(figures) else figures[self.task.monitor]

    def state(self) -> dict[str, Tensor]:
        """As of every training, and the best weights so far."""
        return super().state() | {f"best.{name}": value for name, value in self.best.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        super().load_state(tensors)
        self.best = named(tensors, "best.")


def mixed_precision(device: torch.device, precision: str = "auto") -> Any:
    """bfloat16 products where they are asked for, or faster as a rule, which is on a GPU."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}
