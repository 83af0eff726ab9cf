"""Training of RQ-VAEs: all groups of modalities in one loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.nn import losses
from mmq.nn.residual import Levels
from mmq.tokenizers._rqvae.network import RQVAENetwork
from mmq.tokenizers._rqvae.start import start
from mmq.tokenizers._task import CodingTask
from mmq.training._codebooks import CodebookState, Members
from mmq.training._distributed import summed
from mmq.training._loop import Figures

_BLOCK = 8192  # items of a pass over all of them


class Read(NamedTuple):
    """What one group of modalities reads of some items, those left out that it knows nothing of."""

    inputs: Tensor  # b width
    target: Tensor  # b width, undisturbed
    mask: Tensor | None  # b width, zero where missing; None where nothing is


class RQVAETask(CodingTask[RQVAENetwork]):
    """What encoders, codebooks and decoders learn; each group of modalities has its codebooks.

    The groups have no weight in common and AdamW works on each weight alone, so one optimiser and
    the sum of their losses train them as if each were on its own.

    Args:
        network: what learns, in place.
        x: ``(items, sum of dimensions)`` inputs, zero where missing; moved to the network's device.
            Items without any embedding teach nothing and are left out.
        present: ``(items, m)`` presence.

    Raises:
        SettingsError: batches of fewer items than processes.
    """

    def __init__(self, network: RQVAENetwork, x: Tensor, present: Tensor) -> None:
        known = present.any(1)
        rows = slice(None) if bool(known.all()) else known
        super().__init__(network, network.settings, x[rows], present[rows])
        self.complete = bool(self.present.all())

    def codebook_states(self) -> list[CodebookState]:
        """Of each group."""
        return [CodebookState(group.codebooks) for group in self.network.groups()]

    def begin(self, generator: np.random.Generator) -> None:
        """Set the filler of missing embeddings, the scale of the latents and the codebooks."""
        self.network.set_filler(self.x, self.present)
        for g, own in self.read(self.x, self.x, self.present):
            start(self.network.groups()[g], own.inputs, generator)
        for state in self.codebooks:
            state.begin()

    def batches(self, generator: np.random.Generator) -> tuple[Tensor, ...]:
        """As :meth:`CodingTask.batches`; the lengths of residuals are measured anew."""
        self.squares = [torch.zeros_like(group.mean_squares) for group in self.network.groups()]
        return super().batches(generator)

    def losses(self, x: Tensor, target: Tensor, present: Tensor) -> dict[str, Tensor]:
        """As :meth:`CodingTask.losses`: the error, and what the levels add, over all groups."""
        reconstruction, quantiser = [], []
        self.members = {}
        for g, own in self.read(x, target, present):
            output = self.network.groups()[g](own.inputs)
            error = losses.squared_error(output.reconstruction, own.target, own.mask)
            reconstruction.append(error * (len(own.target) / len(target)))
            quantiser.append(output.quantiser_loss / len(target))
            self.members[g] = Members(output.levels.residuals[:-1], output.levels.codes)
            self.squares[g] += squared_lengths(output.levels)
        return {
            "reconstruction": torch.stack(reconstruction).sum(),
            "quantiser": torch.stack(quantiser).sum(),
        }

    def end_epoch(self, generator: np.random.Generator, start: float, end: float) -> Figures:
        """As :meth:`CodingTask.end_epoch`; sets the mean lengths of residuals."""
        figures = super().end_epoch(generator, start, end)
        pairs = zip(self.network.groups(), self.codebooks, self.squares, strict=True)
        for group, state, total in pairs:
            group.mean_squares.copy_(summed(total) / state.used.sum(1).clamp_min(1))
        return figures

    def read(self, x: Tensor, target: Tensor, present: Tensor) -> Iterator[tuple[int, Read]]:
        """Each group that has items among these, by its place, with what it reads of them."""
        places = list(self.network.columns.values())
        if self.complete:
            for g, place in enumerate(places):
                yield g, Read(x[:, place], target[:, place], None)
            return
        widths = torch.tensor(list(self.network.dimensions.values()), device=self.device)
        mask = present.repeat_interleave(widths, dim=1)
        inputs, seen = self.network.inputs(x, present), self.network.seen(present)
        for g, place in enumerate(places):
            rows = seen[g]
            if bool(rows.any()):
                yield g, Read(inputs[g][rows], target[rows, place], mask[rows, place])

    def points(self, x: Tensor, present: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
        """As :meth:`CodingTask.points`: what the levels of a group read."""
        for g, own in self.read(x, x, present):
            yield g, list(self.network.groups()[g].quantise(own.inputs).residuals[:-1])

    @torch.no_grad()
    def finish(self) -> None:
        """The mean squared length of every level's residuals, for soft codes."""
        totals = [torch.zeros_like(group.mean_squares) for group in self.network.groups()]
        counts = [0] * len(totals)
        for x, present in zip(self.x.split(_BLOCK), self.present.split(_BLOCK), strict=True):
            for g, own in self.read(x, x, present):
                totals[g] += squared_lengths(self.network.groups()[g].quantise(own.inputs))
                counts[g] += len(own.inputs)
        for group, total, count in zip(self.network.groups(), totals, counts, strict=True):
            group.mean_squares.copy_(total / max(count, 1))


def squared_lengths(levels: Levels) -> Tensor:
    """Sum ``(l,)`` over the items of the squared length of what every level read."""
    lengths: Tensor = torch.linalg.vector_norm(levels.residuals[:-1], dim=(1, 2))
    return lengths.square()
