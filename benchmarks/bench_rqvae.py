"""Training steps of our residual quantiser against vector-quantize-pytorch's ResidualVQ.

    pip install vector-quantize-pytorch
    python -m benchmarks.bench_rqvae [--rounds 5] [--epochs 12]

One autoencoder class, with the same weights at the start, the same fused AdamW and the same data
holds each quantiser in turn: 6 levels of 100 codewords of d 64, between 512 inputs and TIGER's
encoder (512, 256, 128) and mirror, or linear ones. A step is forward, losses, backward, AdamW; the
autoencoder's share of it is the same for all and bounds the ratio, so "quantiser" is the step
without encoder, decoder and AdamW. Variants take turns within a round; figures are the least and
the median of the rounds. With one thread the clock is the process's CPU time, which other
processes do not lengthen; with two it is wall time. What is compared:

- "ours, loss" with "peer, learnable": codewords are parameters that follow a codebook loss. The
  peer has one weight for both pulls, 0.25; ours has 1 and 0.25, as TIGER.
- "ours, EMA" with "peer, EMA": moving averages of decay 0.99.
- "peer, as it comes": ResidualVQ with no option but the sizes and kmeans_init, that is EMA of decay
  0.8 and the rotation trick, which the others switch off for the plain straight-through step.

The peer starts its codebooks by k-means of its first batch and never revives a code as it comes;
with ``threshold_ema_dead_code=2`` it revives in every step, and that is what the EMA variant does.
Ours starts by k-means of 10,000 items and revives once an epoch. The peer's losses are means over
dimensions; they are multiplied by d, so that all losses are sums over dimensions.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from vector_quantize_pytorch import ResidualVQ

from benchmarks.common import RESULTS, provenance, write
from mmq.nn import residual
from mmq.nn.losses import squared_error
from mmq.tokenizers._rqvae.network import RQVAE
from mmq.tokenizers._rqvae.settings import RQVAESettings
from mmq.tokenizers._rqvae.start import start
from mmq.training._codebooks import CodebookState, Members

WIDTH, LEVELS, SIZE, LATENT = 512, 6, 100, 64
COMMITMENT = 0.25
SHAPES: dict[str, tuple[int, ...]] = {"TIGER": (512, 256, 128), "linear": ()}


class Ours(nn.Module):
    """Residual codebooks as the RQ-VAE tokenizer trains them."""

    def __init__(self, codebooks: Tensor, ema: bool) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(codebooks.clone())
        self.state, self.ema = CodebookState(self.codebooks), ema
        self.levels: residual.Levels

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantised vectors, loss summed over dimensions as a mean of items, codes."""
        self.levels = residual.quantise(z, self.codebooks)
        codebook = 0.0 if self.ema else 1.0
        out, loss = residual.straight_through(z, self.codebooks, self.levels, COMMITMENT, codebook)
        return out, loss / len(z), self.levels.codes.T

    def after(self) -> None:
        """What follows the optimiser's step."""
        if self.ema:
            self.state.move(Members(self.levels.residuals[:-1], self.levels.codes))

    @torch.no_grad()
    def revive(self, used: Tensor) -> None:
        """Restart codes that no item of the epoch used at residuals of the last batch."""
        self.state.used = used
        self.state.revive(list(self.levels.residuals[:-1]))


class Peer(nn.Module):
    """ResidualVQ."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        sizes = {"dim": LATENT, "num_quantizers": LEVELS, "codebook_size": SIZE}
        self.quantiser = ResidualVQ(**sizes, kmeans_init=True, **options)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`Ours.forward`."""
        quantised, codes, losses = self.quantiser(z.unsqueeze(0))
        return quantised.squeeze(0), losses.sum() * LATENT, codes.squeeze(0)

    def after(self) -> None:
        """Its averages move in the forward pass."""

    def revive(self, used: Tensor) -> None:
        """It revives in the forward pass, if at all."""


class Autoencoder(nn.Module):
    """Encoder and decoder, copied, around a quantiser."""

    def __init__(self, around: RQVAE, quantiser: Ours | Peer) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(around.encoder)
        self.decoder = copy.deepcopy(around.decoder)
        self.quantiser = quantiser
        self.adam = torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    def step(self, x: Tensor) -> Tensor:
        """One step of the training; the codes."""
        quantised, loss, codes = self.quantiser(self.encoder(x))
        self.adam.zero_grad()
        (squared_error(self.decoder(quantised), x) + loss).backward()
        self.adam.step()
        self.quantiser.after()
        return codes

    @torch.no_grad()
    def measure(self, x: Tensor) -> dict[str, float]:
        """L_recon and utilisation."""
        self.eval()
        quantised, _, codes = self.quantiser(self.encoder(x))
        error = float(squared_error(self.decoder(quantised), x))
        used = [len(level.unique()) / SIZE for level in codes.T]
        self.train()
        return {"l_recon": error, "utilisation": float(np.mean(used))}


def variants(around: RQVAE) -> dict[str, Autoencoder]:
    """Every quantiser in an autoencoder of its own; the same seed for each."""
    plain = {"rotation_trick": False, "commitment_weight": COMMITMENT}
    ema = {**plain, "decay": 0.99, "threshold_ema_dead_code": 2}
    learnable = {**plain, "learnable_codebook": True, "ema_update": False}
    makers: dict[str, Callable[[], Ours | Peer]] = {
        "ours, loss": lambda: Ours(around.codebooks.detach(), ema=False),
        "ours, EMA": lambda: Ours(around.codebooks.detach(), ema=True),
        "peer, learnable": lambda: Peer(**learnable),
        "peer, EMA": lambda: Peer(**ema),
        "peer, as it comes": lambda: Peer(),
    }
    made = {}
    for name, make in makers.items():
        torch.manual_seed(0)
        made[name] = Autoencoder(around, make())
    return made


def data(items: int) -> Tensor:
    """Unit vectors around 60 x 30 combined directions, with noise."""
    rng = np.random.default_rng(0)
    themes, looks = rng.normal(size=(60, WIDTH)), 0.7 * rng.normal(size=(30, WIDTH))
    noise = 0.7 * rng.normal(size=(items, WIDTH))
    x = themes[rng.integers(60, size=items)] + looks[rng.integers(30, size=items)] + noise
    return normalize(torch.from_numpy(x.astype(np.float32)), dim=1)


def started(x: Tensor, shape: str) -> RQVAE:
    """Weights that all variants start from."""
    torch.manual_seed(0)
    settings = RQVAESettings(
        hidden_sizes=SHAPES[shape], latent_dim=LATENT, codebook_size=SIZE, seed=0
    )
    network = RQVAE(WIDTH, LEVELS, settings)
    start(network, x, np.random.default_rng(0))
    return network


def seconds_of(step: Callable[[], object], steps: int) -> float:
    """Seconds a call: of CPU with one thread, else of the wall clock."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    for _ in range(steps):
        step()
    return (clock() - began) / steps


def quantiser_step(model: Autoencoder, z: Tensor) -> Callable[[], None]:
    """Forward and backward of the quantiser alone, with its averages."""

    def step() -> None:
        leaf = z.clone().requires_grad_(True)
        quantised, loss, _ = model.quantiser(leaf)
        (quantised.sum() + loss).backward()
        model.quantiser.after()
        model.quantiser.zero_grad()

    return step


def timings(x: Tensor, shape: str, batch: int, threads: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a step of every variant, and ratios of the matching pairs."""
    torch.set_num_threads(threads)
    models, part = variants(started(x, shape)), x[:batch]
    z = next(iter(models.values())).encoder(part).detach()
    steps: dict[str, dict[str, Callable[[], object]]] = {
        "step": {name: (lambda m=model: m.step(part)) for name, model in models.items()},
        "quantiser": {name: quantiser_step(model, z) for name, model in models.items()},
    }
    cell: dict[str, Any] = {"shape": shape, "batch_size": batch, "threads": threads}
    for what, runs in steps.items():
        times: dict[str, list[float]] = {name: [] for name in runs}
        for i in range(rounds + 1):
            for name, run in runs.items():
                spent = seconds_of(run, 3)
                if i > 0:  # the first round warms up, k-means of the peer included
                    times[name].append(1e3 * spent)
        least = {name: min(values) for name, values in times.items()}
        middle = {name: float(np.median(values)) for name, values in times.items()}
        cell[what] = {
            "least_ms": least,
            "median_ms": middle,
            "steps_per_second": {name: 1e3 / value for name, value in least.items()},
            "ratio_of_least": ratios(least),
            "ratio_of_medians": ratios(middle),
        }
    return cell


def ratios(times: dict[str, float]) -> dict[str, float]:
    """How many times faster ours is, in matching pairs."""
    return {
        "loss": times["peer, learnable"] / times["ours, loss"],
        "EMA": times["peer, EMA"] / times["ours, EMA"],
        "as it comes": times["peer, as it comes"] / times["ours, EMA"],
    }


def quality(x: Tensor, epochs: int, batch: int = 256) -> dict[str, Any]:
    """What every variant reaches in the same epochs of the same batches, and its seconds."""
    torch.set_num_threads(1)
    reached = {}
    for name, model in variants(started(x, "TIGER")).items():
        began = time.perf_counter()
        for epoch in range(epochs):
            order = torch.from_numpy(np.random.default_rng(epoch).permutation(len(x)))
            used = torch.zeros(LEVELS, SIZE)
            for rows in order.split(batch):
                used += residual.member_counts(model.step(x[rows]).T, SIZE)
            if epoch < 0.8 * epochs:
                model.quantiser.revive(used)
        seconds = time.perf_counter() - began
        reached[name] = {**model.measure(x), "seconds": seconds}
        print(name, reached[name], flush=True)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=RESULTS / "rqvae_throughput.json")
    arguments = parser.parse_args()
    x = data(4096)
    record: dict[str, Any] = {
        **provenance(),
        "peer": f"vector-quantize-pytorch {version('vector-quantize-pytorch')}",
        "sizes": {"width": WIDTH, "levels": LEVELS, "codebook_size": SIZE, "latent_dim": LATENT},
        "items": len(x),
        "epochs": arguments.epochs,
        "cells": [],
    }
    for threads, shape, batch in itertools.product((1, 2), SHAPES, (256, 1024)):
        cell = timings(x, shape, batch, threads, arguments.rounds)
        record["cells"].append(cell)
        for what in ("step", "quantiser"):
            print(shape, batch, threads, what, cell[what]["ratio_of_least"], flush=True)
    record["quality"] = quality(x, arguments.epochs)
    write(arguments.out, record)


if __name__ == "__main__":
    main()
