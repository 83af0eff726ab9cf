"""Stage 1: batch, losses, step, revival, checkpoint. Eq. 14 with the codebooks' own gradient."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmq.artifacts import read_tensors_with_metadata, write_tensors
from mmq.errors import DataError, FormatError
from mmq.tokenizers.mmq.network import MMQNetwork, MMQOutput
from mmq.tokenizers.mmq.objective import weighted_losses
from mmq.tokenizers.mmq.settings import MMQSettings
from mmq.tokenizers.mmq.start import start_codebooks, start_decoders

SECONDS_BETWEEN_CHECKPOINTS = 20.0

Log = list[dict[str, float]]


class Stage1:
    """The state of a training: network, optimiser, moving averages, log, epochs done.

    All randomness of an epoch comes from a generator seeded by (seed, epoch), so that a training
    resumed at an epoch's start repeats the uninterrupted one to the bit.

    Args:
        network: what is trained, in place.
        x: ``(items, sum of dimensions)`` unit-normed inputs, zero where missing; moved to the
            network's device.
        present: ``(items, m)`` presence.
    """

    def __init__(self, network: MMQNetwork, x: Tensor, present: Tensor) -> None:
        self.device = network.codebooks.device
        self.network, self.x, self.present = network, x.to(self.device), present.to(self.device)
        self.settings = network.settings
        self.epochs = self.settings.resolved_epochs(len(x))
        self.noise = self.settings.resolved_noise(len(x))
        self.epoch = 0
        self.log: Log = []
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        for parameter in network.parameters():  # made now, so that a checkpoint can fill it
            self.optimizer.state[parameter] = {
                "step": torch.tensor(0.0, device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        size = network.codebooks.shape[:2]
        self.member_counts = torch.ones(size, device=self.device)
        self.member_sums = network.codebooks.detach().clone()
        self.batches = math.ceil(len(x) / self.settings.batch_size)

    def begin(self) -> None:
        """Start codebooks and decoders (before the first epoch, unless it is resumed)."""
        generator = _generator(self.settings.seed, -1)
        if self.settings.start == "kmeans":
            start_codebooks(self.network, self.x, self.present, generator)
        start_decoders(self.network, self.x, self.present, generator)
        self.member_sums = self.network.codebooks.detach().clone()

    def run_epoch(self, advance: Callable[..., None]) -> None:
        """One pass over the items in a new order."""
        generator = _generator(self.settings.seed, self.epoch)
        order = torch.from_numpy(generator.permutation(len(self.x))).to(self.device)
        used = torch.zeros_like(self.member_counts)
        totals: dict[str, float] = {}
        self.network.train()
        for batch, rows in enumerate(order.tensor_split(self.batches)):
            progress = (self.epoch + batch / self.batches) / self.epochs
            values, output, spoken = self._step(rows, progress, generator)
            used.scatter_add_(1, output.codes.T, spoken.T)
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value / self.batches
            advance(len(rows))
        for name, value in totals.items():
            if not math.isfinite(value):
                raise DataError(
                    f"the training diverged: the {name} loss of epoch {self.epoch + 1} is {value}; "
                    "lower it with --set learning_rate=..."
                )
        if self.settings.revival and self.epoch < self.settings.revival_until * self.epochs:
            totals["revived"] = self._revive(used, generator)
        self.epoch += 1
        self.log.append({"epoch": self.epoch, **totals})

    def _step(
        self, rows: Tensor, progress: float, generator: np.random.Generator
    ) -> tuple[dict[str, float], MMQOutput, Tensor]:
        settings, network = self.settings, self.network
        target, present = self.x[rows], self.present[rows]
        x, seen = self._disturb(target, present, generator)
        spoken = network.spoken_for(seen)
        tau = temperature(settings, progress)
        output = network(x, seen, tau)
        terms = weighted_losses(network, output, target, present, seen, tau)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate(settings, progress)
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        if settings.codebook == "ema":
            self._move_averages(output, spoken)
        return {name: float(term.detach()) for name, term in terms.items()}, output, spoken

    def _disturb(
        self, x: Tensor, present: Tensor, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Input noise and modality dropout."""
        settings = self.settings
        if self.noise > 0:
            noise = torch.from_numpy(generator.standard_normal(x.shape, np.float32)).to(self.device)
            parts = []
            widths = list(self.network.dimensions.values())
            for m, (part, own) in enumerate(
                zip(x.split(widths, 1), noise.split(widths, 1), strict=True)
            ):
                noisy = part.add(own, alpha=self.noise * part.shape[1] ** -0.5)
                length = noisy.norm(dim=1, keepdim=True).clamp_min(1e-12)
                parts.append(noisy * (present[:, m : m + 1] / length))
            x = torch.cat(parts, dim=1)
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
        spoken = network.spoken_for(self.present[rows]) > 0
        revived = 0
        for n in range(network.length):
            points = latents[spoken[:, n], n]
            slots = torch.nonzero(dead[n]).flatten()[: len(points)]
            network.codebooks[n, slots] = points[: len(slots)]
            self.member_sums[n, slots] = points[: len(slots)]
            self.member_counts[n, slots] = 1.0
            revived += len(slots)
        return float(revived)

    @torch.no_grad()
    def _move_averages(self, output: MMQOutput, spoken: Tensor) -> None:
        """codebook="ema": codewords are moving averages of their members' latents."""
        codebooks = self.network.codebooks
        n, k, d = codebooks.shape
        index = (output.codes + k * torch.arange(n, device=self.device)).flatten()
        members = (output.latents * spoken.unsqueeze(2)).flatten(0, 1)
        counts = torch.zeros_like(self.member_counts).view(-1)
        counts = counts.index_add_(0, index, spoken.flatten()).view(n, k)
        sums = torch.zeros_like(self.member_sums).view(-1, d)
        sums = sums.index_add_(0, index, members).view(n, k, d)
        self.member_counts.lerp_(counts, 1 - self.settings.ema_decay)
        self.member_sums.lerp_(sums, 1 - self.settings.ema_decay)
        codebooks.copy_(self.member_sums / self.member_counts.clamp_min(1e-6).unsqueeze(2))

    def save(self, path: Path, fingerprint: str) -> None:
        """Write everything that the next epoch depends on."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = value
        tensors |= {"member_counts": self.member_counts, "member_sums": self.member_sums}
        metadata = {
            "fingerprint": fingerprint,
            "epoch": str(self.epoch),
            "log": json.dumps(self.log),
        }
        write_tensors(path, {k: v.detach().cpu().numpy() for k, v in tensors.items()}, metadata)

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go back to the state of :meth:`save`.

        Raises:
            FormatError: the checkpoint is of other data or settings, or damaged.
        """
        arrays, metadata = read_tensors_with_metadata(path, "checkpoint")
        if metadata.get("fingerprint") != fingerprint:
            raise FormatError(
                f"{path} is the checkpoint of another catalogue or other settings; "
                "run without --resume to start anew"
            )
        tensors = {
            name: torch.from_numpy(np.array(array)).to(self.device)
            for name, array in arrays.items()
        }
        self.network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        for name, parameter in self.network.named_parameters():
            state = self.optimizer.state[parameter]
            for key in state:
                state[key] = tensors[f"optimizer.{name}.{key}"]
        self.member_counts, self.member_sums = tensors["member_counts"], tensors["member_sums"]
        self.epoch, self.log = int(metadata["epoch"]), json.loads(metadata["log"])


def temperature(settings: MMQSettings, progress: float) -> float:
    """tau at a share of the training, geometric from start to end."""
    end = settings.temperature_end or settings.temperature
    return float(settings.temperature * (end / settings.temperature) ** progress)


def rate(settings: MMQSettings, progress: float) -> float:
    """Factor of the learning rate: linear warm-up, half cosine to (almost) zero."""
    if progress < settings.warmup:
        return 0.04 + 0.96 * progress / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    left = (progress - settings.warmup) / max(1 - settings.warmup, 1e-9)
    return max(1e-4, 0.5 * (1 + math.cos(math.pi * left)))


def run(
    training: Stage1, advance: Callable[..., None], checkpoint: Path | None, fingerprint: str
) -> float:
    """Train to the last epoch, writing a checkpoint now and then and at the end; seconds spent."""
    started = saved = time.monotonic()
    while training.epoch < training.epochs:
        training.run_epoch(advance)
        due = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
        if checkpoint is not None and (due or training.epoch == training.epochs):
            training.save(checkpoint, fingerprint)
            saved = time.monotonic()
    return time.monotonic() - started


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch + 1])


@torch.no_grad()
def set_mean_weights(network: MMQNetwork, x: Tensor, present: Tensor) -> None:
    """Store the catalogue-mean gates, all that a reader of the ID alone can use."""
    shared = network.settings.shared_experts
    total = torch.zeros_like(network.mean_weights)
    counts = torch.zeros_like(network.mean_weights)
    for block, mask in zip(x.split(8192), present.split(8192), strict=True):
        _, parts = network.latents(block, mask)
        total += network.fusion_weights(parts, mask).sum(0)
        counts += network.spoken_for(mask).sum(0)
    network.mean_weights.copy_(total / counts.clamp_min(1))
    network.mean_weights[:shared] = 1.0
