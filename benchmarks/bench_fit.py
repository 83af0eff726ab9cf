"""Speed of training against the machine's own matmul rate.

    python -m benchmarks.bench_fit [--items 20000] [--epochs 5]

The floor is the multiply-adds that forward and backward pass need (counted below) over the rate of
a 2,048-cube product, measured before and after in the same run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bench_encode import WIDTHS, matmul_rate, pieces
from benchmarks.common import RESULTS, provenance, write
from mmq import Catalogue, MMQSettings, read_catalogue, write_catalogue
from mmq.tokenizers._inputs import unit_inputs
from mmq.tokenizers._mmq.fit import MMQTask
from mmq.tokenizers._mmq.network import MMQNetwork
from mmq.training._loop import Training, epoch_generator


def multiply_adds(settings: MMQSettings) -> int:
    """Of one item in one step.

    Experts: forward and the weights' gradient (inputs need none). Look-up: forward, gradients of
    both factors, and the gradient of the soft index. Decoders: forward and both gradients.
    """
    d, k, total = settings.latent_dim, settings.codebook_size, sum(WIDTHS.values())
    own = sum(settings.experts_of(name) * width * d for name, width in WIDTHS.items())
    length = settings.shared_experts + sum(settings.experts_of(name) for name in WIDTHS)
    experts = settings.shared_experts * total * d + own
    return 2 * experts + 4 * length * d * k + 3 * 2 * d * total


def measure(items: Catalogue, settings: MMQSettings, epochs: int) -> dict[str, Any]:
    """Items a second over ``epochs`` passes, after one pass that is not counted."""
    x, present = unit_inputs(items, WIDTHS)
    torch.manual_seed(0)
    training = Training(MMQTask(MMQNetwork(WIDTHS, settings), x, present), settings)
    training.begin()
    training.run_epoch(epoch_generator(0, 0), lambda count: None)
    rates = [matmul_rate()]
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        training.run_epoch(epoch_generator(0, 0), lambda count: None)
        seconds.append(time.perf_counter() - started)
    rates.append(matmul_rate())
    floor = len(items) * multiply_adds(settings) / float(np.mean(rates))
    return {
        "codebook_size": settings.codebook_size,
        "batch_size": settings.batch_size,
        "items_per_second": len(items) / float(np.median(seconds)),
        "floor_items_per_second": len(items) / floor,
        "to_floor": floor / float(np.median(seconds)),
        "gmac_per_second": float(np.mean(rates)) / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "fit.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_catalogue(Path(folder) / "catalogue.parquet", pieces(arguments.items))
        items = read_catalogue(Path(folder) / "catalogue.parquet")
    record: dict[str, Any] = {**provenance(), "items": arguments.items, "cells": []}
    for size, batch in ((100, 256), (100, 1024), (3000, 256), (3000, 1024)):
        settings = MMQSettings(
            learning="gradient",
            codebook_size=size,
            batch_size=batch,
            epochs=arguments.epochs + 1,
        )
        record["cells"].append(measure(items, settings, arguments.epochs))
        print(record["cells"][-1], flush=True)
    write(arguments.out, record)


if __name__ == "__main__":
    main()
