"""What trainings over epochs share: schedule, optimiser, checkpoint, the loop itself.

All randomness of an epoch comes from a generator seeded by (seed, epoch), so that a training
resumed at an epoch's start repeats the uninterrupted one to the bit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmq.errors import DivergedError
from mmq.formats import read_tensors_with_metadata, to_json, write_tensors
from mmq.made_from import Checkpoint
from mmq.progress import bar
from mmq.settings import Settings
from mmq.training.distributed import is_first

SECONDS_BETWEEN_CHECKPOINTS = 20.0

Log = list[dict[str, float]]

Share = Annotated[float, Field(ge=0, le=1)]


class LearningSettings(Settings):
    """Settings of everything that learns by gradient descent over epochs."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything random."""
    batch_size: PositiveInt = 256
    """Items (recommenders: windows of histories) a step; they are split evenly, so that no batch
    is a remnant."""
    learning_rate: PositiveFloat = 5e-3
    """Peak rate of AdamW."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """Linear warm-up then a half cosine to zero, or a constant rate."""
    warmup: Share = 0.05
    """Share of the training over which the rate rises."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled weight decay of AdamW."""


def rate(settings: LearningSettings, progress: float) -> float:
    """Factor of the learning rate: linear warm-up, half cosine to (almost) zero."""
    if progress < settings.warmup:
        return 0.04 + 0.96 * progress / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    left = (progress - settings.warmup) / max(1 - settings.warmup, 1e-9)
    return max(1e-4, 0.5 * (1 + math.cos(math.pi * left)))


class Adam:
    """Fused AdamW under the schedule, whose state can be stored by parameter name.

    Args:
        network: what learns; parameters that ask for no gradient are left alone.
        settings: rate, schedule, decay.
        slower: start of a parameter's name -> factor of its learning rate.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: LearningSettings,
        slower: Mapping[str, float] | None = None,
    ) -> None:
        self.network, self.settings = network, settings
        self.parameters = {n: p for n, p in network.named_parameters() if p.requires_grad}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            factors = (each for start, each in (slower or {}).items() if name.startswith(start))
            groups.setdefault(next(factors, 1.0), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": group, "factor": factor} for factor, group in groups.items()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        for parameter in self.parameters.values():  # made now, so that a checkpoint can fill it
            self.optimizer.state[parameter] = {
                "step": torch.tensor(0.0, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def step(
        self,
        loss: Tensor,
        progress: float,
        share: Callable[[list[nn.Parameter]], None] | None = None,
    ) -> None:
        """One step down the gradient of ``loss``, at a share of the training.

        Args:
            loss: a scalar.
            progress: share of the training that is done.
            share: lets other processes add their gradients, before the step is made.
        """
        for group in self.optimizer.param_groups:
            peak = self.settings.learning_rate * group["factor"]
            group["lr"] = peak * rate(self.settings, progress)
        self.optimizer.zero_grad()
        if loss.requires_grad:  # a process without a share of the batch has no graph
            loss.backward()
        if share is not None:
            share(list(self.parameters.values()))
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Weights and moments by name."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = value
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        for name, parameter in self.parameters.items():
            state = self.optimizer.state[parameter]
            for key in state:
                state[key] = tensors[f"optimizer.{name}.{key}"]


class EpochTraining(Protocol):
    """A training that :func:`train` can run, store and go on with."""

    items: int
    epoch: int
    log: Log
    device: torch.device

    @property
    def epochs(self) -> int:
        """Where it ends, as far as is known now; asked after every epoch."""

    def begin(self) -> None:
        """Start what the first epoch needs; not called when resumed."""

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Totals:
        """One pass over the items; the mean of every loss."""

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on."""

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""


Totals = dict[str, float]


class Trained(NamedTuple):
    """What came out of a training, besides the weights."""

    epochs: int
    seconds: float
    items_per_second: float
    log: Log


def train(training: EpochTraining, seed: int, checkpoint: Checkpoint | None = None) -> Trained:
    """Run a training to its last epoch, storing it now and then and at the end.

    Args:
        training: what learns.
        seed: of all randomness.
        checkpoint: where it is stored; None stores nothing.

    Raises:
        DivergedError: a loss is not finite.
        FormatError: the checkpoint is damaged or of other data or settings.
    """
    first = is_first()
    if checkpoint is not None and checkpoint.goes_on:
        _restore(training, checkpoint)
    else:
        training.begin()
    done, started = training.epoch, time.monotonic()
    saved = started
    total = training.items * training.epochs
    with bar("fit", total, done=training.items * done, shown=first) as advance:
        while training.epoch < training.epochs:
            totals = training.run_epoch(epoch_generator(seed, training.epoch), advance)
            _require_finite(totals, training.epoch)
            training.epoch += 1
            training.log.append({"epoch": training.epoch, **totals})
            due = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
            if checkpoint and first and (due or training.epoch == training.epochs):
                _save(training, checkpoint)
                saved = time.monotonic()
    seconds = time.monotonic() - started
    passed = training.items * (training.epochs - done)
    return Trained(training.epochs, seconds, passed / max(seconds, 1e-9), training.log)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """The source of all randomness of one epoch; -1 is the start."""
    return np.random.default_rng([seed, epoch + 1])


def _require_finite(totals: Totals, epoch: int) -> None:
    for name, value in totals.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"the training diverged: the {name} loss of epoch {epoch + 1} is {value}; "
                "lower it with --set learning_rate=..."
            )


def _save(training: EpochTraining, checkpoint: Checkpoint) -> None:
    metadata = {
        "made_from": to_json(checkpoint.made_from),
        "epoch": str(training.epoch),
        "log": json.dumps(training.log),
    }
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in training.state().items()}
    write_tensors(checkpoint.path, arrays, metadata)


def _restore(training: EpochTraining, checkpoint: Checkpoint) -> None:
    arrays, metadata = read_tensors_with_metadata(checkpoint.path, "checkpoint")
    noted = metadata.get("made_from")
    checkpoint.require_own(None if noted is None else json.loads(noted))
    training.load_state(
        {
            name: torch.from_numpy(np.array(array)).to(training.device)
            for name, array in arrays.items()
        }
    )
    training.epoch, training.log = int(metadata["epoch"]), json.loads(metadata["log"])
