"""Stage 1: batch, losses, step, revival. Eq. 14 with the codebooks' own gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from mmq.tokenizers.inputs import noisy
from mmq.tokenizers.mmq.network import MMQNetwork, MMQOutput
from mmq.tokenizers.mmq.objective import loss_terms, weighted_losses
from mmq.tokenizers.mmq.settings import MMQSettings
from mmq.tokenizers.mmq.start import start_codebooks, start_decoders, start_experts
from mmq.training.loop import Adam, Log, Totals, epoch_generator


class Stage1:
    """The state of a training: network, optimiser, moving averages, log, epochs done.

    Args:
        network: what is trained, in place.
        x: ``(items, sum of dimensions)`` unit-normed inputs, zero where missing; moved to the
            network's device.
        present: ``(items, m)`` presence.
    """

    def __init__(self, network: MMQNetwork, x: Tensor, present: Tensor) -> None:
        self.device = network.device
        self.network, self.x, self.present = network, x.to(self.device), present.to(self.device)
        self.settings = network.settings
        self.items = len(x)
        self.epochs = self.settings.resolved_epochs(len(x))
        self.noise = self.settings.resolved_noise(len(x))
        self.epoch = 0
        self.log: Log = []
        self.adam = Adam(network, self.settings)
        size = network.codebooks.shape[:2]
        self.member_counts = torch.ones(size, device=self.device)
        self.member_sums = network.codebooks.detach().clone()
        self.batches = math.ceil(len(x) / self.settings.batch_size)

    def begin(self) -> None:
        """Start codebooks and decoders (before the first epoch, unless it is resumed)."""
        generator = epoch_generator(self.settings.seed, -1)
        if self.settings.start == "rotation":
            start_experts(self.network, self.x, self.present)
        if self.settings.start != "random":
            start_codebooks(self.network, self.x, self.present, generator)
        start_decoders(self.network, self.x, self.present, generator)
        self.member_sums = self.network.codebooks.detach().clone()

    def run_epoch(self, generator: np.random.Generator, advance: Callable[..., None]) -> Totals:
        """One pass over the items in a new order; the mean of every weighted loss."""
        order = torch.from_numpy(generator.permutation(len(self.x))).to(self.device)
        used = torch.zeros_like(self.member_counts)
        totals: Totals = {}
        self.network.train()
        for batch, rows in enumerate(order.tensor_split(self.batches)):
            progress = (self.epoch + batch / self.batches) / self.epochs
            values, output, mask = self._step(rows, progress, generator)
            used.scatter_add_(1, output.codes.T, mask.T)
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value / self.batches
            advance(len(rows))
        if self.settings.revival and self.epoch < self.settings.revival_until * self.epochs:
            totals["revived"] = self._revive(used, generator)
        return totals

    def _step(
        self, rows: Tensor, progress: float, generator: np.random.Generator
    ) -> tuple[dict[str, float], MMQOutput, Tensor]:
        settings, network = self.settings, self.network
        target, present = self.x[rows], self.present[rows]
        x, seen = self._disturb(target, present, generator)
        mask = network.mask(seen)
        tau = temperature(settings, progress)
        output = network(x, seen, tau)
        parts = loss_terms(network, output, target, present, seen, tau)
        terms = weighted_losses(settings, parts)
        self.adam.step(torch.stack(list(terms.values())).sum(), progress)
        if settings.codebook == "ema":
            self._move_averages(output, mask)
        return {name: float(term.detach()) for name, term in terms.items()}, output, mask

    def _disturb(
        self, x: Tensor, present: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Input noise and modality dropout."""
        settings = self.settings
        if self.noise > 0:
            widths = list(self.network.dimensions.values())
            x = noisy(x, present, widths, self.noise, generator)
        if settings.modality_dropout > 0:
            chance = torch.from_numpy(generator.random(present.shape)).to(self.device)
            kept = chance >= settings.modality_dropout
            kept |= ~(kept & (present > 0)).any(1, keepdim=True)  # never hide all of an item
            present = present * kept
        return x, present

    @torch.no_grad()
    def _revive(self, used: Tensor, generator: np.random.Generator) -> float:
        """Restart codes unused over the epoch at outputs of their encoder for random items."""
        network = self.network
        dead = used == 0
        if not dead.any():
            return 0.0
        drawn = generator.integers(len(self.x), size=4 * used.shape[1])
        rows = torch.from_numpy(drawn).to(self.device)
        latents, _ = network.latents(self.x[rows], self.present[rows])
        mask = network.mask(self.present[rows]) > 0
        revived = 0
        for n in range(network.length):
            points = latents[mask[:, n], n]
            slots = torch.nonzero(dead[n]).flatten()[: len(points)]
            network.codebooks[n, slots] = points[: len(slots)]
            self.member_sums[n, slots] = points[: len(slots)]
            self.member_counts[n, slots] = 1.0
            revived += len(slots)
        return float(revived)

    @torch.no_grad()
    def _move_averages(self, output: MMQOutput, mask: Tensor) -> None:
        """codebook="ema": codewords are moving averages of their members' latents."""
        codebooks = self.network.codebooks
        n, k, d = codebooks.shape
        index = (output.codes + k * torch.arange(n, device=self.device)).flatten()
        members = (output.latents * mask.unsqueeze(2)).flatten(0, 1)
        counts = torch.zeros_like(self.member_counts).view(-1)
        counts = counts.index_add_(0, index, mask.flatten()).view(n, k)
        sums = torch.zeros_like(self.member_sums).view(-1, d)
        sums = sums.index_add_(0, index, members).view(n, k, d)
        self.member_counts.lerp_(counts, 1 - self.settings.ema_decay)
        self.member_sums.lerp_(sums, 1 - self.settings.ema_decay)
        codebooks.copy_(self.member_sums / self.member_counts.clamp_min(1e-6).unsqueeze(2))

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on."""
        averages = {"member_counts": self.member_counts, "member_sums": self.member_sums}
        return self.adam.state() | averages

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.adam.load_state(tensors)
        self.member_counts, self.member_sums = tensors["member_counts"], tensors["member_sums"]


def temperature(settings: MMQSettings, progress: float) -> float:
    """tau at a share of the training, geometric from start to end."""
    end = settings.temperature_end or settings.temperature
    return float(settings.temperature * (end / settings.temperature) ** progress)
