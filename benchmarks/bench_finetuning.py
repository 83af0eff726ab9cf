"""Time and memory of a step of stage 2 against one with the tokenizer frozen, on ML-1M.

    python -m benchmarks.bench_finetuning --data DATA [--kept out/experiments]

Steps of all kinds take turns on the same batches, by processor time; memory is the peak of what
torch allocates on the way, by its own profiler. Of the alternating way an epoch that moves codes is
measured against one that does not, and all epochs, of which not every one moves codes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import RESULTS, provenance, write
from experiments.cells import Places
from experiments.experiment import Context
from experiments.finetuning import STAGE2
from experiments.starts import Kind, Start, start
from mmq.finetuning import FinetuneSettings
from mmq.finetuning._alternating import AlternatingTask
from mmq.finetuning._joint import JointTask
from mmq.training._early_stopping import EarlyStoppedTraining
from mmq.training._loop import epoch_generator

STEPS = 12
KINDS = {"frozen": {"tokenizer_rate": 0.0}} | {
    f"{items:,} items a step": {"items_per_step": items} for items in (256, 512, 1024, 4096)
}


def measure(start: Start, setup: str) -> dict[str, Any]:
    """Seconds and bytes of a step of every kind."""
    inputs = start.tokenizer.inputs(start.catalogue)
    trainings = {}
    for name, changes in KINDS.items():
        settings = FinetuneSettings(**{**STAGE2[setup], "mode": "joint", **changes})
        start.tokenizer.network.requires_grad_(True)
        task = JointTask(start.student, start.tokenizer, start.data, inputs, settings)
        trainings[name] = EarlyStoppedTraining(task, settings.learning(start.student.settings, 1))
    batches = {
        name: list(each.task.batches(epoch_generator(0, 0)))[: STEPS + 2]
        for name, each in trainings.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in KINDS}
    totals: dict[str, torch.Tensor] = {}
    for step in range(STEPS + 1):
        for name, training in trainings.items():
            start.tokenizer.network.requires_grad_(name != "frozen")
            training.task.network.train()
            began = time.process_time()
            training.step(batches[name][step], 0.5, totals)
            if step:
                seconds[name].append(time.process_time() - began)
    found = {}
    for name, training in trainings.items():
        start.tokenizer.network.requires_grad_(name != "frozen")
        ratios = [a / b for a, b in zip(seconds[name], seconds["frozen"], strict=True)]
        found[name] = {
            "seconds": median(seconds[name]),
            "ratio": median(ratios),
            "bytes": peak(training, batches[name][-1]),
        }
    settings = FinetuneSettings(**STAGE2[setup], moving=1.0)
    task = AlternatingTask(start.student, start.tokenizer, start.data, inputs, settings)
    batch_count = len(trainings["frozen"].task.batches(epoch_generator(0, 0)))
    began = time.process_time()
    task.end_epoch(np.random.default_rng(0), 0.5)
    turn = time.process_time() - began
    epoch = found["frozen"]["seconds"] * batch_count
    chosen = FinetuneSettings(**STAGE2[setup])
    turns = sum(chosen.has_turn((each + 1) / chosen.epochs) for each in range(chosen.epochs))
    found["alternating"] = {
        "seconds_a_turn": turn,
        "ratio": (epoch + turn) / epoch,
        "ratio_of_all_epochs": 1 + turns * turn / (chosen.epochs * epoch),
    }
    return found


def peak(training: EarlyStoppedTraining, batch: Any) -> int:
    """The most bytes that are allocated at a time in a step, beyond those at its start."""
    totals: dict[str, torch.Tensor] = {}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        training.step(batch, 0.5, totals)
    held = most = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kept", type=Path, default=Path("out/experiments"))
    parser.add_argument("--out", type=Path, default=RESULTS / "finetuning_speed.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, Any] = {**provenance()}
    places = Places(arguments.kept / "speed" / "cells", arguments.kept, arguments.kept)
    for setup in ("retrieval", "ranking"):
        begun = start(setup, Kind("MMQ"), Context(arguments.data, 0, places))
        record[setup] = measure(begun, setup)
        for name, found in record[setup].items():
            print(setup, name, found, flush=True)
    write(arguments.out, record)


if __name__ == "__main__":
    main()
