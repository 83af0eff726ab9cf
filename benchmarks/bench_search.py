"""Exact top 10 of a trained model's scores: bounds beside the scan of all IDs, in one run.

    python -m benchmarks.bench_search --model MODEL --interactions LOG --codes codes.npy ...
        [--users 256] [--rounds 3] [--check 100000]

MODEL is HeterRec with parallel heads and without item tokens, LOG has the histories of its users.
Each ``codes.npy`` is ``(items, length)``: what the model's tokenizer gives to a catalogue of any
size, so that scores are those of training and IDs as many as wanted. Search alone is timed, not the
user tower. ``--check`` compares rows and scores with the scan's for so many histories (users' whole
ones first, then shorter and shorter ones) in the first catalogue.

Rounds take turns; a figure is the least processor time of a round, which others on the machine
lengthen less. The scan goes over 64 users at a time, so its time is that of a large batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

import mmq
from benchmarks.common import RESULTS, provenance, write
from mmq.data._sequences import Sequences
from mmq.decoding import ParallelScores, PrefixIndex, exact_search
from mmq.decoding import _bounded as bounded
from mmq.decoding import _prefix_index as prefix_index
from mmq.recommenders import HeterRec
from mmq.workflows import LogFile
from mmq.workflows._users import ALL, known_users

K, BATCH = 10, 256


def histories(model: HeterRec, log: str, wanted: int) -> Iterator[Sequences]:
    """Batches of histories: users' whole ones, then without the last item, and so on."""
    whole = known_users(model, ALL, LogFile(log)).histories
    shorter = 0
    while wanted > 0:
        left = whole.take(np.flatnonzero(whole.lengths > shorter))
        cut = Sequences(left.rows, left.first, left.end - shorter)
        for first in range(0, min(len(cut), wanted), BATCH):
            yield cut.take(np.arange(first, min(first + BATCH, len(cut), wanted)))
        wanted, shorter = wanted - len(cut), shorter + 1


@torch.no_grad()
def log_probs(model: HeterRec, some: Sequences) -> ParallelScores:
    scores = model.network.heads.scores(model.user_vectors(some))
    assert isinstance(scores, ParallelScores), "parallel heads alone are searched so"
    return scores


def scan(scores: ParallelScores, index: PrefixIndex) -> Any:
    with patch.object(prefix_index, "LEAST_LEAVES", len(index) + 1):
        return exact_search(scores, index, K)


def through_bounds(scores: ParallelScores, index: PrefixIndex) -> Any:
    return exact_search(scores, index, K)


def measure(index: PrefixIndex, scores: ParallelScores, rounds: int) -> dict[str, Any]:
    """Milliseconds a user of either search, what bounds look at, and what they need."""
    users = len(scores.first())
    began = time.process_time()
    inverted = index.inverted
    build = time.process_time() - began
    times: dict[str, list[float]] = {"bounds": [], "scan": []}
    for _ in range(rounds + 1):
        for name, search in (("bounds", through_bounds), ("scan", scan)):
            began = time.process_time()
            search(scores, index)
            times[name].append(time.process_time() - began)
    least = {name: min(each[1:]) / users * 1e3 for name, each in times.items()}
    looked, complete = looked_at(index, list(scores.log_probs))
    return {
        "items": len(index),
        "ids": index.leaves,
        "blocks": [block.sizes for block in inverted.blocks],
        "goes_through_bounds": index.worth_inverting(users),
        "milliseconds_a_user": least,
        "times_the_scan": least["scan"] / least["bounds"],
        "share_looked_at": looked / index.leaves,
        "users_left_to_the_scan": 1 - complete,
        "build_seconds": build,
        "bytes_an_id": inverted.nbytes / index.leaves,
        "index_bytes_an_id": index.nbytes / index.leaves,
    }


def looked_at(index: PrefixIndex, scores: list[Tensor]) -> tuple[float, float]:
    """IDs a user looks at on average, and the share of users for whom bounds do."""
    looked = []
    real = bounded._leaves_of

    def counted(*given: Any) -> Any:
        leaves = real(*given)
        looked.append(len(leaves.numbers))
        return leaves

    with patch.object(bounded, "_leaves_of", counted):
        found = bounded.bounded_search(index.inverted, scores, K)
    return sum(looked) / len(scores[0]), float(found.complete.float().mean())


def check(index: PrefixIndex, model: HeterRec, log: str, users: int) -> dict[str, int]:
    """How many histories were searched both ways, and how many lists differ in any bit."""
    differ = searched = 0
    for some in histories(model, log, users):
        scores = log_probs(model, some)
        here, there = exact_search(scores, index, K), scan(scores, index)
        same = (here.rows == there.rows).all(1) & (here.scores == there.scores).all(1)
        differ, searched = differ + int((~same).sum()), searched + len(some)
    return {"histories": searched, "differ": differ}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--interactions", required=True)
    parser.add_argument("--codes", type=Path, nargs="+", required=True)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "search.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = mmq.load(given.model, "cpu")
    sizes = model.semantic_ids.codebook_sizes
    parts = [log_probs(model, each) for each in histories(model, given.interactions, given.users)]
    scores = ParallelScores(
        [torch.cat(each) for each in zip(*(part.log_probs for part in parts), strict=True)]
    )
    record: dict[str, Any] = {**provenance(), "users": len(scores.first()), "cells": []}
    for number, path in enumerate(given.codes):
        index = PrefixIndex.build(np.load(path).astype(np.int32), sizes)
        cell = {"codebooks": list(sizes), **measure(index, scores, given.rounds)}
        if given.check and not number:
            cell["equal_to_the_scan"] = check(index, model, given.interactions, given.check)
        record["cells"].append(cell)
        print(cell, flush=True)
        write(given.out, record)


if __name__ == "__main__":
    main()
