"""PPNet beside FuxiCTR's on the same rows, and AUC and GAUC of ten million rows.

    python -m benchmarks.bench_ranking --data ML1M [--epochs 4] [--rows 10000000]

One thread. Both train PPNet of the same sizes on item IDs and pooled histories of ML-1M, with the
same batches' size, rate and number of epochs, each keeping its best epoch by validation AUC. Rates
are training rows by processor time, loading included and validation left out. Without FuxiCTR
(extra dev) only ours is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import fuxictr_peer
from benchmarks.common import RESULTS, provenance, write
from mmq.data import LogReader
from mmq.metrics.ranking import auc, user_aucs
from mmq.ranking import PPNet, RankingData
from mmq.ranking._fit import RankingTask
from mmq.ranking._impressions import Impressions
from mmq.ranking._vocabulary import Numbering, Vocabulary
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import epoch_generator, seeded

HISTORY = 50


def ours(data: RankingData, epochs: int, precision: str) -> dict[str, Any]:
    """Test AUC of the best epoch, and rows by processor second of the median epoch."""
    ranker = PPNet(
        epochs=epochs,
        patience=epochs,
        unknown_share=0.0,
        warmup=0.0,
        schedule="constant",
        learning_rate=1e-3,
        dropout=0.0,
        history=HISTORY,
        precision=precision,
    )
    ranker.fit(data)
    tested = auc(data.test.labels, ranker.predict(data.test, data))
    numbering = ranker.numbering(data.vocabulary)
    task = RankingTask(ranker.drawn(), ranker.settings, data.train, numbering, dict)
    training = EarlyStoppedTraining(task, ranker.settings)
    times = []
    for epoch in range(epochs):
        generator, totals = epoch_generator(0, epoch), dict[str, torch.Tensor]()
        start = time.process_time()
        with seeded(generator, ranker.device):
            task.network.train()
            for batch in task.batches(generator):
                training.step(batch, 0.5, totals)
        times.append(time.process_time() - start)
    return {
        "test_auc": tested,
        "validation_auc": [epoch["auc"] for epoch in ranker.log],
        "rows_per_cpu_second": len(data.train) / float(np.median(times)),
        "parameters": sum(each.size for each in ranker.tensors().values()),
    }


def theirs(data: RankingData, epochs: int) -> dict[str, Any]:
    """The same of FuxiCTR."""
    known = Vocabulary.of(data)
    numbering = Numbering.of(data.vocabulary, known)
    parts = {
        name: arrays(part, numbering)
        for name, part in (
            ("train", data.train),
            ("validation", data.validation),
            ("test", data.test),
        )
    }
    sizes = fuxictr_peer.Sizes(len(known.users) + 1, len(known.items) + 1)
    found: dict[str, Any] = {}
    for name, gate in (("as it is", True), ("gates as ours", False)):
        settings = fuxictr_peer.Settings(
            input_gate=gate, decay_on_plateau=False, epochs=epochs, patience=epochs
        )
        result = fuxictr_peer.train_and_predict(parts, sizes, settings)
        found[name] = {
            "test_auc": auc(parts["test"]["label"], result.test),
            "validation_auc": [epoch.validation_auc for epoch in result.epochs],
            "rows_per_cpu_second": result.rows_per_cpu_second,
            "step_rows_per_cpu_second": result.step_rows_per_cpu_second,
            "loading_share": result.loading_share,
            "parameters": result.parameters,
        }
    return found


def arrays(part: Impressions, numbering: Numbering) -> dict[str, np.ndarray]:
    """The rows of a part, histories padded with 0."""
    packed = part.histories(HISTORY)
    history = np.zeros((len(part), HISTORY), np.int64)
    inside = np.arange(HISTORY) < packed.lengths[:, None]
    history[inside] = numbering.items[packed.rows]
    return {
        "user": numbering.users[part.users],
        "item": numbering.items[part.items],
        "history": history,
        "label": np.asarray(part.labels),
    }


def metrics(rows: int) -> dict[str, Any]:
    """Seconds of AUC and GAUC of so many rows with ties, a tenth as many users."""
    rng = np.random.default_rng(0)
    users, scores = rng.integers(rows // 10, size=rows), rng.random(rows).round(6)
    labels = (rng.random(rows) < 0.2).astype(np.uint8)

    def seconds(measured: Callable[[], Any]) -> dict[str, float]:
        wall, own = time.perf_counter(), time.process_time()
        measured()
        return {"wall": time.perf_counter() - wall, "own": time.process_time() - own}

    return {
        "rows": rows,
        "auc": seconds(lambda: auc(labels, scores)),
        "gauc": seconds(lambda: user_aucs(users, labels, scores)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "ranking_speed.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    columns = {"user_id": "user", "item_id": "item"}
    data = RankingData.of(LogReader.open(arguments.data / "interactions.parquet", columns))
    found = {
        "metrics": metrics(arguments.rows),
        "ours": {each: ours(data, arguments.epochs, each) for each in ("float32", "bfloat16")},
    }
    print(found, flush=True)
    if importlib.util.find_spec("fuxictr"):
        found["fuxictr"] = theirs(data, arguments.epochs)
        print(found["fuxictr"], flush=True)
    write(arguments.out, {**found, "epochs": arguments.epochs, **provenance()})


if __name__ == "__main__":
    main()
