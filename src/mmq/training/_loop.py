"""The one training loop: of tokenizers, recommenders and rankers that learn by gradient.

What is learned is a :class:`Task`: batches, the loss of a batch, and what is done between epochs.
Under ``torchrun`` every process takes its share of each batch, and gradients are summed so that a
step is the one that a single process would have made with the whole batch.

All randomness of an epoch comes from a generator seeded by (seed, epoch), so that a training
resumed at an epoch's start repeats the uninterrupted one to the bit.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mmq._formats import parse_json, read_tensors_with_metadata, to_json, write_tensors
from mmq._progress import bar
from mmq.errors import DivergedError
from mmq.made_from import Checkpoint
from mmq.training._distributed import is_first, like_the_first, place, sum_gradients, summed
from mmq.training._optimiser import Adam, LearningSettings
from mmq.training._watching import tell

SECONDS_BETWEEN_CHECKPOINTS = 20.0

Figures = dict[str, float]
Log = list[Figures]


class Batches(Protocol):
    """Batches that are counted before they are made."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Part(NamedTuple):
    """What a process makes of its share of a batch.

    Attributes:
        losses: by name, weighted means over its targets; their sum is learned from.
        share: of the batch's targets that are its own.
        targets: of the whole batch.
    """

    losses: Mapping[str, Tensor]
    share: float
    targets: int

    @property
    def loss(self) -> Tensor:
        """The sum of the losses, a scalar."""
        return torch.stack([*self.losses.values()]).sum()


class Task(ABC):
    """What a :class:`Training` learns.

    Attributes:
        network: what learns.
        items: targets that an epoch passes.
        slower: start of a parameter's name -> factor of its learning rate.
        sparse: names of the parameters of whose rows a step reads few, and learns these alone.
    """

    network: nn.Module
    items: int
    slower: Mapping[str, float] = MappingProxyType({})
    sparse: Collection[str] = ()

    @property
    def usual_epochs(self) -> int:
        """Epochs where no number is set."""
        return 40

    def begin(self, generator: np.random.Generator) -> None:  # noqa: B027
        """What is to be done before the first epoch, if anything; not when resumed."""

    @abstractmethod
    def batches(self, generator: np.random.Generator) -> Batches:
        """The batches of an epoch, in the order in which they are learned."""

    @abstractmethod
    def part(self, batch: Any, progress: float) -> Part:
        """The losses of this process's share of a batch, at a share of the training."""

    def end_step(self) -> None:  # noqa: B027
        """What is to be done after a step, if anything."""

    def end_epoch(self, generator: np.random.Generator, start: float, end: float) -> Figures:
        """What is to be done after the steps of an epoch, if anything; figures of it for the log.

        Args:
            generator: of the epoch.
            start: share of the training at which the epoch began.
            end: and at which it ends.
        """
        return {}

    def state(self) -> dict[str, Tensor]:
        """What the next epoch depends on beside weights and optimiser, by name."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Go back to a :meth:`state`."""


class Training:
    """A task, its optimiser and its log, that :func:`train` can run, store and go on with.

    Args:
        task: what is learned.
        settings: how.
    """

    def __init__(self, task: Task, settings: LearningSettings) -> None:
        self.task, self.settings, self.items = task, settings, task.items
        self.device = next(task.network.parameters()).device
        self.adam = Adam(task.network, settings, task.slower, task.sparse)
        self.epoch, self.log = 0, Log()
        self.most = task.usual_epochs if settings.epochs is None else settings.epochs

    @property
    def epochs(self) -> int:
        """Where it ends, as far as is known now; asked after every epoch."""
        return self.most

    def begin(self) -> None:
        """Start what the first epoch needs; not called when resumed."""
        self.task.begin(epoch_generator(self.settings.seed, -1))

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Figures:
        """One pass over the items; the mean of every loss, and figures of the task."""
        network, batches = self.task.network, self.task.batches(generator)
        steps, totals = len(batches), dict[str, Tensor]()
        with seeded(generator, self.device, place()[0]):
            network.train()
            for number, batch in enumerate(batches):
                progress = (self.epoch + number / steps) / self.most
                advance(self.step(batch, progress, totals))
            network.eval()
        more = self.task.end_epoch(generator, self.epoch / self.most, (self.epoch + 1) / self.most)
        sums = summed(torch.stack([*totals.values()])).tolist()
        means = {name: total / self.items for name, total in zip(totals, sums, strict=True)}
        return {**means, **more}

    def step(self, batch: Any, progress: float, totals: dict[str, Tensor]) -> int:
        """One step; gives back the targets of the batch.

        Each of ``totals`` grows by this process's part of a loss, summed over the targets.
        Gradients of all processes are summed, each weighed by its share of the batch.
        """
        part = self.task.part(batch, progress)
        self.adam.step(part.loss * part.share, progress, sum_gradients)
        self.task.end_step()
        for name, loss in part.losses.items():
            totals[name] = totals.get(name, 0) + loss.detach() * part.share * part.targets
        return part.targets

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on: weights, moments, what the task adds."""
        return self.adam.state() | {f"task.{n}": value for n, value in self.task.state().items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.adam.load_state(tensors)
        self.task.load_state(named(tensors, "task."))


class Trained(NamedTuple):
    """What came out of a training, besides the weights."""

    epochs: int
    seconds: float
    items_per_second: float
    log: Log


def train(training: Training, checkpoint: Checkpoint | None = None) -> Trained:
    """Run a training to its last epoch, storing it now and then and at the end.

    Args:
        training: what learns.
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
    like_the_first(training.state().values())
    done, started = training.epoch, time.monotonic()
    saved = started
    total = training.items * training.epochs
    with bar("fit", total, done=training.items * done, shown=first) as advance:
        while training.epoch < training.epochs:
            generator = epoch_generator(training.settings.seed, training.epoch)
            figures = training.run_epoch(generator, advance)
            _require_finite(figures, training.epoch)
            training.epoch += 1
            training.log.append({"epoch": training.epoch, **figures})
            if first:
                tell(training.log[-1])
            due = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
            if checkpoint and first and (due or training.epoch == training.epochs):
                _save(training, checkpoint)
                saved = time.monotonic()
    seconds = time.monotonic() - started
    passed = training.items * (training.epochs - done)
    return Trained(training.epochs, seconds, passed / max(seconds, 1e-9), training.log)


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


def named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name starts with the prefix, without it."""
    return {n.removeprefix(prefix): each for n, each in tensors.items() if n.startswith(prefix)}


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """The source of all randomness of one epoch; -1 is the start."""
    return np.random.default_rng([seed, epoch + 1])


def step_generator(seed: int, progress: float) -> np.random.Generator:
    """The source of what a step at a share of the training draws alike in all processes."""
    return np.random.default_rng([seed, 1, round(progress * 2**53)])


def _require_finite(figures: Figures, epoch: int) -> None:
    for name, value in figures.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"the training diverged: the {name} loss of epoch {epoch + 1} is {value}; "
                "lower it with --set learning_rate=..."
            )


def _save(training: Training, checkpoint: Checkpoint) -> None:
    metadata = {
        "made_from": to_json(checkpoint.made_from),
        "epoch": str(training.epoch),
        "log": json.dumps(training.log),
    }
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in training.state().items()}
    write_tensors(checkpoint.path, arrays, metadata)


def _restore(training: Training, checkpoint: Checkpoint) -> None:
    arrays, metadata = read_tensors_with_metadata(checkpoint.path, "checkpoint")
    noted = metadata.get("made_from")
    checkpoint.require_own(None if noted is None else parse_json(noted))
    training.load_state(
        {
            name: torch.from_numpy(np.array(array)).to(training.device)
            for name, array in arrays.items()
        }
    )
    training.epoch, training.log = int(metadata["epoch"]), json.loads(metadata["log"])
