"""What tokenizers that learn by gradient share: items in a random order, noise, codebooks."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from mmq.errors import SettingsError
from mmq.tokenizers._inputs import noisy
from mmq.tokenizers._network import CodingNetwork
from mmq.training._codebooks import CodebookState, Members
from mmq.training._distributed import place
from mmq.training._loop import Figures, Part, Task, named

REVIVAL_UNTIL = 0.8
"""Share of the training after which no codeword is revived any more."""

N = TypeVar("N", bound=CodingNetwork)


class CodingTask(Task, Generic[N]):
    """Every item is to be reconstructed from its codes.

    Every process draws the same noise for the whole batch and learns from its share of it.

    Args:
        network: what learns, in place.
        settings: of the tokenizer.
        x: ``(items, sum of dimensions)`` inputs, zero where missing; moved to the network's device.
        present: ``(items, m)`` presence.

    Raises:
        SettingsError: batches of fewer items than processes.
    """

    network: N
    revives: bool = True
    """Whether codewords unused over an epoch restart at random items."""

    def __init__(self, network: N, settings: Any, x: Tensor, present: Tensor) -> None:
        self.network, self.settings, self.device = network, settings, network.device
        self.x, self.present = x.to(self.device), present.to(self.device)
        self.items, self.noise = len(x), settings.resolved_noise(len(x))
        self.steps = math.ceil(self.items / settings.batch_size)
        if self.items // self.steps < place()[1]:
            raise SettingsError(
                f"batches of {self.items // self.steps} items are too small for {place()[1]} "
                "processes; raise batch_size, or start fewer"
            )
        self.codebooks = self.codebook_states()
        self.members: dict[int, Members] = {}
        """Of the last step: place in :attr:`codebooks` -> what this process knows of it."""

    @abstractmethod
    def codebook_states(self) -> list[CodebookState]:
        """Of each group of codebooks, as they are."""

    @abstractmethod
    def losses(self, x: Tensor, target: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Weighted losses of some items, means over them; sets :attr:`members`.

        Args:
            x: ``(b, sum of dimensions)`` disturbed inputs.
            target: the same undisturbed.
            present: ``(b, m)``.
        """

    @abstractmethod
    def points(self, x: Tensor, present: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
        """Place in :attr:`codebooks` and, of its positions, what they read of items ``(p, d)``."""

    @abstractmethod
    def finish(self) -> None:
        """Measure, on all items, what is not learned by gradient."""

    @property
    def usual_epochs(self) -> int:
        """As many as the settings say for so many items."""
        return int(self.settings.resolved_epochs(self.items))

    def batches(self, generator: np.random.Generator) -> tuple[Tensor, ...]:
        """Rows of all items, in a random order."""
        order = torch.from_numpy(generator.permutation(self.items)).to(self.device)
        self.draws = copy.deepcopy(generator)  # for all else of the epoch: the loop draws too
        for state in self.codebooks:
            state.begin_epoch()
        return order.tensor_split(self.steps)

    def part(self, batch: Tensor, progress: float) -> Part:
        """Losses of this process's items, which are disturbed by noise."""
        target, present = self.x[batch], self.present[batch]
        x = target
        if self.noise > 0:
            widths = list(self.network.dimensions.values())
            x = noisy(x, present, widths, self.noise, self.draws)
        rank, world = place()
        own = slice(rank, None, world)
        losses = self.losses(x[own], target[own], present[own])
        return Part(losses, len(target[own]) / len(batch), len(batch))

    def end_step(self) -> None:
        """Count the members of codewords, and let codewords follow them where they do."""
        for place_, state in enumerate(self.codebooks):
            members = self.members.get(place_, _none(state))
            state.count(members)
            if self.settings.codebook == "ema":
                state.move(members)

    def end_epoch(self, generator: np.random.Generator, start: float, end: float) -> Figures:
        """Restart codewords that were not used."""
        for state in self.codebooks:
            state.end_epoch()
        if not self.revives or start >= REVIVAL_UNTIL:
            return {}
        return {"revived": float(self._revive())}

    @torch.no_grad()
    def _revive(self) -> int:
        """How many codewords restarted; the items are the same in every process."""
        if not any(state.has_idle for state in self.codebooks):
            return 0
        drawn = self.draws.integers(self.items, size=4 * self.settings.codebook_size)
        rows = torch.from_numpy(drawn).to(self.device)
        found = self.points(self.x[rows], self.present[rows])
        return sum(self.codebooks[place_].revive(points) for place_, points in found)

    def state(self) -> dict[str, Tensor]:
        """The moving averages."""
        return {
            f"{place_}.{name}": tensor
            for place_, state in enumerate(self.codebooks)
            for name, tensor in state.state().items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        for place_, state in enumerate(self.codebooks):
            state.load_state(named(tensors, f"{place_}."))


def _none(state: CodebookState) -> Members:
    """No members."""
    n, _, d = state.codebooks.shape
    empty = state.codebooks.new_empty(n, 0, d)
    return Members(empty, empty[:, :, 0].long())
