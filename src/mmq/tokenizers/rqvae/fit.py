"""Training of RQ-VAEs: batch, losses, step, revival; all groups of modalities in one loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.nn import losses
from mmq.nn.averages import MovingAverages
from mmq.nn.residual import Levels, member_counts
from mmq.tokenizers.inputs import noisy
from mmq.tokenizers.rqvae.network import RQVAE, RQVAENetwork
from mmq.tokenizers.rqvae.start import start
from mmq.training.loop import Adam, Log, Totals, epoch_generator

_BLOCK = 8192  # items of a pass over all of them


class Part(NamedTuple):
    """What one group of modalities reads of some items, those left out that it knows nothing of."""

    inputs: Tensor  # b width
    target: Tensor  # b width, undisturbed
    mask: Tensor | None  # b width, zero where missing; None where nothing is


class RQVAETraining:
    """The state of a training: network, optimiser, moving averages, log, epochs done.

    The groups of modalities have no weight in common and AdamW works on each weight alone, so one
    optimiser and the sum of their losses train them as if each were on its own.

    Args:
        network: what is trained, in place.
        x: ``(items, sum of dimensions)`` unit-normed inputs, zero where missing; moved to the
            network's device.
        present: ``(items, m)`` presence.
    """

    def __init__(self, network: RQVAENetwork, x: Tensor, present: Tensor) -> None:
        self.device = network.device
        self.network, self.settings = network, network.settings
        known = present.any(1)  # an item without any embedding teaches nothing
        rows = slice(None) if bool(known.all()) else known
        self.x, self.present = x[rows].to(self.device), present[rows].to(self.device)
        self.items = len(self.x)
        self.complete = bool(self.present.all())
        self.epochs = self.settings.resolved_epochs(self.items)
        self.noise = self.settings.resolved_noise(self.items)
        self.epoch = 0
        self.log: Log = []
        self.adam = Adam(network, self.settings)
        self.averages = [self._averages(group) for group in network.groups()]
        self.batches = math.ceil(self.items / self.settings.batch_size)

    def _averages(self, group: RQVAE) -> MovingAverages:
        return MovingAverages(group.codebooks, self.settings.ema_decay)

    def begin(self) -> None:
        """Set the filler of missing embeddings, the scale of the latents and the codebooks."""
        generator = epoch_generator(self.settings.seed, -1)
        self.network.set_filler(self.x, self.present)
        for g, part in self._parts(self.x, self.x, self.present):
            start(self.network.groups()[g], part.inputs, generator)
        self.averages = [self._averages(group) for group in self.network.groups()]

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Totals:
        """One pass over the items in a new order; the mean of every weighted loss."""
        order = torch.from_numpy(generator.permutation(self.items)).to(self.device)
        used = [torch.zeros_like(averages.counts) for averages in self.averages]
        squares = [torch.zeros_like(group.mean_squares) for group in self.network.groups()]
        totals = {"reconstruction": 0.0, "quantiser": 0.0}
        self.network.train()
        for batch, rows in enumerate(order.tensor_split(self.batches)):
            progress = (self.epoch + batch / self.batches) / self.epochs
            terms, passes = self._step(rows, progress, generator)
            for name, term in terms.items():
                totals[name] += float(term.detach()) / self.batches
            for g, levels in passes.items():
                used[g] += member_counts(levels.codes, self.settings.codebook_size)
                squares[g] += squared_lengths(levels)
            advance(len(rows))
        for group, counts, total in zip(self.network.groups(), used, squares, strict=True):
            group.mean_squares.copy_(total / counts.sum(1).clamp_min(1))
        if self.epoch < self.settings.revival_until * self.epochs:
            totals["revived"] = self._revive(used, generator)
        return totals

    def _step(
        self, rows: Tensor, progress: float, generator: np.random.Generator
    ) -> tuple[dict[str, Tensor], dict[int, Levels]]:
        """One step; the weighted losses, and what each group that had items made of them."""
        target, present = self.x[rows], self.present[rows]
        x = target
        if self.noise > 0:
            widths = list(self.network.dimensions.values())
            x = noisy(x, present, widths, self.noise, generator)
        reconstruction, quantiser = [], []
        passes = {}
        for g, part in self._parts(x, target, present):
            output = self.network.groups()[g](part.inputs)
            error = losses.squared_error(output.reconstruction, part.target, part.mask)
            reconstruction.append(error * (len(part.target) / len(rows)))
            quantiser.append(output.quantiser_loss / len(rows))
            passes[g] = output.levels
        terms = {
            "reconstruction": torch.stack(reconstruction).sum(),
            "quantiser": torch.stack(quantiser).sum(),
        }
        self.adam.step(terms["reconstruction"] + terms["quantiser"], progress)
        if self.settings.codebook == "ema":
            for g, levels in passes.items():
                codebooks = self.network.groups()[g].codebooks
                self.averages[g].move(codebooks, levels.residuals[:-1], levels.codes)
        return terms, passes

    def _parts(self, x: Tensor, target: Tensor, present: Tensor) -> Iterator[tuple[int, Part]]:
        """Each group that has items among these, by its place, with what it reads of them."""
        places = list(self.network.columns.values())
        if self.complete:
            for g, place in enumerate(places):
                yield g, Part(x[:, place], target[:, place], None)
            return
        widths = torch.tensor(list(self.network.dimensions.values()), device=self.device)
        mask = present.repeat_interleave(widths, dim=1)
        inputs, seen = self.network.inputs(x, present), self.network.seen(present)
        for g, place in enumerate(places):
            rows = seen[g]
            if bool(rows.any()):
                yield g, Part(inputs[g][rows], target[rows, place], mask[rows, place])

    @torch.no_grad()
    def _revive(self, used: list[Tensor], generator: np.random.Generator) -> float:
        """Restart codes unused over the epoch at what their level read of random items."""
        if all(bool(counts.all()) for counts in used):
            return 0.0
        drawn = generator.integers(self.items, size=4 * self.settings.codebook_size)
        rows = torch.from_numpy(drawn).to(self.device)
        x, present = self.x[rows], self.present[rows]
        revived = 0
        for g, part in self._parts(x, x, present):
            group = self.network.groups()[g]
            residuals = group.quantise(part.inputs).residuals
            for level, counts in enumerate(used[g]):
                points = residuals[level]
                slots = torch.nonzero(counts == 0).flatten()[: len(points)]
                group.codebooks[level, slots] = points[: len(slots)]
                self.averages[g].restart(level, slots, points[: len(slots)])
                revived += len(slots)
        return float(revived)

    @torch.no_grad()
    def set_mean_squares(self) -> None:
        """Store the mean squared length of every level's residuals, for soft codes."""
        totals = [torch.zeros_like(group.mean_squares) for group in self.network.groups()]
        counts = [0] * len(totals)
        for x, present in zip(self.x.split(_BLOCK), self.present.split(_BLOCK), strict=True):
            for g, part in self._parts(x, x, present):
                levels = self.network.groups()[g].quantise(part.inputs)
                totals[g] += squared_lengths(levels)
                counts[g] += len(part.inputs)
        for group, total, count in zip(self.network.groups(), totals, counts, strict=True):
            group.mean_squares.copy_(total / max(count, 1))

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on."""
        tensors = self.adam.state()
        for g, averages in enumerate(self.averages):
            tensors |= {
                f"averages.{g}.counts": averages.counts,
                f"averages.{g}.sums": averages.sums,
            }
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.adam.load_state(tensors)
        for g, averages in enumerate(self.averages):
            averages.counts = tensors[f"averages.{g}.counts"]
            averages.sums = tensors[f"averages.{g}.sums"]


def squared_lengths(levels: Levels) -> Tensor:
    """Sum ``(l,)`` over the items of the squared length of what every level read."""
    lengths: Tensor = torch.linalg.vector_norm(levels.residuals[:-1], dim=(1, 2))
    return lengths.square()
