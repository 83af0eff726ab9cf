"""Seconds an epoch of training takes, beside the time its products alone would need.

    python -m benchmarks.bench_recommenders [--data BEAUTY] [--threads 2]

BEAUTY is the folder of Amazon Beauty (MMQ_DATA/beauty if not given); without it histories of the
same size are drawn at random. Codes are random, which changes no shape. The floor is the number of
multiply-adds of a step (counted by torch as it runs) over the rate of a large product on the same
machine, measured in the same run, turn by turn with the steps.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import RESULTS, provenance, write
from mmq import SemanticIDs
from mmq.data import Interactions, read_interactions
from mmq.model import model_class
from mmq.recommenders import Items, RetrievalData
from mmq.recommenders._fit import RetrievalTask
from mmq.training._early_stopping import EarlyStoppedTraining

MODELS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "SASRec, d 64": ("sasrec", {"hidden_dim": 64}, (6, 100)),
    "SASRec, d 128": ("sasrec", {"hidden_dim": 128}, (6, 100)),
    "HeterRec, 6 x 100, d 64": ("heterrec", {"hidden_dim": 64}, (6, 100)),
    "HeterRec, 6 x 100, d 128": ("heterrec", {"hidden_dim": 128}, (6, 100)),
    "HeterRec, 6 x 100, d 128, loss over codes": (
        "heterrec",
        {"hidden_dim": 128, "objective": "codes"},
        (6, 100),
    ),
    "HeterRec, 6 x 100, d 128, tokens see the history": (
        "heterrec",
        {"hidden_dim": 128, "token_scope": "history"},
        (6, 100),
    ),
    "HeterRec, 16 x 256, d 128": ("heterrec", {"hidden_dim": 128}, (16, 256)),
}
STEPS = 6


def histories(folder: Path | None) -> Interactions:
    """Beauty's log, or one of its size."""
    if folder is not None and folder.exists():
        columns = {"user_id": "user", "item_id": "item", "timestamp": "position"}
        return read_interactions(folder / "interactions.parquet", columns)
    rng = np.random.default_rng(0)
    users = np.concatenate([np.repeat(np.arange(22363), 5), rng.integers(0, 22363, 86687)])
    items = np.concatenate([np.arange(12101), rng.integers(0, 12101, len(users) - 12101)])
    times = rng.permutation(len(users))
    return Interactions.build({"user_id": users, "item_id": items, "timestamp": times})


def product_rate(size: int = 1536) -> float:
    """Multiply-adds a second of a large product."""
    a = torch.randn(size, size)
    started = time.perf_counter()
    a @ a
    return size**3 / (time.perf_counter() - started)


def flops_in_place(total: Any, a: Any, b: Any, **rest: Any) -> int:
    """Of ``total.addmm_(a, b)``, from shapes."""
    operations: int = 2 * a[0] * a[1] * b[1]
    return operations


IN_PLACE = {torch.ops.aten.addmm_: flops_in_place}
"""Products that torch does not count by itself: a third of those with all items."""


def measure(log: Interactions, kind: str, settings: dict[str, Any], shape: tuple[int, int]) -> Any:
    """Seconds an epoch, and of its products alone."""
    length, size = shape
    ids = log.items.ids
    codes = np.random.default_rng(0).integers(0, size, (len(ids), length))
    data = RetrievalData.of(log, SemanticIDs.build(ids, codes, [size] * length))
    recommender = model_class("recommender", kind)(**settings, device="cpu")
    recommender.load_items(Items(data.item_ids, data.ids, data.popularity()))
    network = recommender._make()
    task = RetrievalTask(network, recommender.settings, data.train, 1, dict)
    training = EarlyStoppedTraining(task, recommender.settings)
    windows = data.train.windows(recommender.settings.history, np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(windows))
    batches = np.array_split(order, -(-len(order) // recommender.settings.batch_size))
    totals: dict[str, torch.Tensor] = {}
    network.train()
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        training.step(windows.take(batches[0]), 0.5, totals)
    products = counter.get_total_flops() / 2
    seconds, floors = [], []
    for batch in batches[1 : STEPS + 1]:
        floors.append(products / product_rate())
        started = time.perf_counter()
        training.step(windows.take(batch), 0.5, totals)
        seconds.append(time.perf_counter() - started)
    return {
        "steps": len(batches),
        "targets": int((windows.lengths - 1).sum()),
        "seconds_per_epoch": median(seconds) * len(batches),
        "floor_seconds": median(floors) * len(batches),
        "ratio": median(s / f for s, f in zip(seconds, floors, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("MMQ_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) / "beauty" if data else None)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--out", type=Path, default=RESULTS / "recommender_training.json")
    arguments = parser.parse_args()
    log = histories(arguments.data)
    results: dict[str, Any] = {"users": len(log.users.ids), "items": len(log.items.ids)}
    for threads in map(int, arguments.threads.split(",")):
        torch.set_num_threads(threads)
        found = results.setdefault(f"{threads} threads", {})
        for name, (kind, settings, shape) in MODELS.items():
            found[name] = measure(log, kind, settings, shape)
            print(threads, name, found[name], flush=True)
    write(arguments.out, {**results, **provenance()})


if __name__ == "__main__":
    main()
