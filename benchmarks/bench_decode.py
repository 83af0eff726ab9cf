"""Prefix index and constrained decoding: size, speed, and Hugging Face's ``generate`` beside them.

    python -m benchmarks.bench_decode [--items 12101,100000,1000000] [--rounds 5]

Index: seconds to build and to map from disk, bytes a level and item; IDs of six codes of 100, drawn
evenly or skewed (the commonest code of a position is one in ten). Search: beams and exact scoring
of the whole catalogue without the recommender, from random log-probabilities; the floor of exact
scoring is one pass of its additions alone. Generate: a GPT-2 of HeterRec's size (width 128, four
layers, four heads, a history of 20 items as 120 tokens) that writes six tokens under
``prefix_allowed_tokens_fn`` over a trie of dictionaries, beside HeterRec (width 128, two layers
over tokens and two over items, four heads, random weights) with its forward pass, same histories
and catalogue, same machine, in turns; both with the batch that suits them best. "ours" has the
vectors of all items at hand, made once before, as a service would; "from tokens" makes those of the
history anew for every batch.

Every time is the least of several rounds, with the median, and the least of the process's own
time, which other processes on the machine lengthen less (of all threads, so: run with one).
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.common import RESULTS, provenance, write
from mmq import SemanticIDs
from mmq.data._sequences import Packed, Sequences
from mmq.decoding import (
    Excluded,
    Filters,
    ParallelScores,
    PrefixIndex,
    beam_search,
    exact_search,
    read_index,
    write_index,
)
from mmq.recommenders import HeterRec, Items

LENGTH, SIZE, HISTORY, WIDTH, K = 6, 100, 20, 128, 10
BEAMS, BATCHES, PEER_BATCHES = (10, 50), (16, 64, 256), (1, 4)


def draw_codes(items: int, skewed: bool = False, seed: int = 0) -> np.ndarray:
    """``(items, LENGTH)`` codes; ``skewed`` squares an even draw."""
    even = np.random.default_rng(seed).random((items, LENGTH))
    return ((even**2 if skewed else even) * SIZE).astype(np.int32)


def draw_scores(users: int, seed: int = 0) -> ParallelScores:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(LENGTH, users, SIZE, generator=generator)
    return ParallelScores(list(logits.log_softmax(-1)))


def seconds(rounds: int, **jobs: Callable[[], Any]) -> dict[str, dict[str, float]]:
    """Least, median and least process time of each job; they take turns, the first untimed."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            wall, own = time.perf_counter(), time.process_time()
            job()
            if turn:
                times[name].append((time.perf_counter() - wall, time.process_time() - own))
    return {name: _figures(np.array(each)) for name, each in times.items()}


def _figures(times: np.ndarray) -> dict[str, float]:
    return {
        "least": float(times[:, 0].min()),
        "median": float(np.median(times[:, 0])),
        "own": float(times[:, 1].min()),
    }


def measure_index(items: int, skewed: bool, folder: Path) -> dict[str, Any]:
    codes, sizes = draw_codes(items, skewed), [SIZE] * LENGTH
    index = PrefixIndex.build(codes, sizes)
    path = folder / "index.safetensors"
    write_index(path, index)
    times = seconds(
        3,
        build=lambda: PrefixIndex.build(codes, sizes),
        load=lambda: read_index(path, index.fingerprint),
    )
    return {
        "items": items,
        "codes": "skewed" if skewed else "even",
        "distinct_ids": index.leaves,
        "largest_leaf": index.largest_leaf,
        "build_seconds": times["build"],
        "load_seconds": times["load"],
        "bytes": index.nbytes,
        "bytes_a_level_and_item": index.nbytes / codes.size,
        "file_bytes": path.stat().st_size,
        "nodes": [level.nodes for level in index.levels],
        "widths": [level.width for level in index.levels],
        "dense": [level.dense for level in index.levels],
    }


def additions(index: PrefixIndex, scores: ParallelScores) -> Callable[[], None]:
    """The floor of exact scoring: every addition, block by block, and nothing kept."""
    users = len(scores.first())
    table = torch.cat([each.t() for each in scores.log_probs]).contiguous()
    codes = index.leaf_codes.int() + torch.arange(0, LENGTH * SIZE, SIZE, dtype=torch.int32)
    tables = [table[:, first : first + 64].contiguous() for first in range(0, users, 64)]

    def run() -> None:
        for first in range(0, len(codes), 8192):
            for each in tables:
                embedding_bag(codes[first : first + 8192], each, mode="sum")

    return run


def measure_search(index: PrefixIndex, users: int, rounds: int) -> dict[str, Any]:
    """Microseconds a user, without the recommender."""
    scores = draw_scores(users)
    rows = torch.from_numpy(np.random.default_rng(1).integers(0, len(index), users * HISTORY))
    history = Filters(excluded=Excluded(rows, torch.arange(0, len(rows) + 1, HISTORY)))
    times = seconds(
        rounds,
        **{f"beam {beams}": _search(scores, index, beams) for beams in BEAMS},
        **{"beam 50, history excluded": _search(scores, index, 50, history)},
        exact=lambda: exact_search(scores, index, K),
        floor_of_exact=additions(index, scores),
    )
    return {
        "items": len(index),
        "users": users,
        "microseconds_a_user": {
            name: {key: value / users * 1e6 for key, value in each.items()}
            for name, each in times.items()
        },
    }


def _search(
    scores: ParallelScores, index: PrefixIndex, beams: int, filters: Filters | None = None
) -> Callable[[], Any]:
    return lambda: beam_search(scores, index, K, beams, filters)


def our_model(codes: np.ndarray) -> HeterRec:
    """HeterRec as it starts."""
    ids = SemanticIDs.build(range(len(codes)), codes, [SIZE] * LENGTH)
    recommender = HeterRec(hidden_dim=WIDTH, history=HISTORY, ties="rank")
    recommender.load_items(Items(ids.item_ids, ids, np.ones(len(ids), np.int64)))
    recommender.restore({name: each.numpy() for name, each in _weights(recommender)}, Path())
    return recommender


def _weights(recommender: HeterRec) -> Iterator[tuple[str, Tensor]]:
    return iter(recommender.drawn().state_dict().items())


def peer_model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=LENGTH * SIZE,
        n_positions=HISTORY * LENGTH + LENGTH,
        n_embd=WIDTH,
        n_layer=4,
        n_head=4,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config).eval()


Trie = dict[int, "Trie"]


def build_trie(tokens: list[list[int]]) -> Trie:
    root: Trie = {}
    for item in tokens:
        node = root
        for token in item:
            node = node.setdefault(token, {})
    return root


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def generate(model: GPT2LMHeadModel, trie: Trie, prompts: Tensor, beams: int) -> Tensor:
    """``(b * beams, LENGTH)`` tokens that Hugging Face's constrained beam search writes."""
    start = prompts.shape[1]

    def allowed(_: int, written: Tensor) -> list[int]:
        node = trie
        for token in written[start:].tolist():
            node = node[token]
        return list(node)

    written = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=LENGTH,
        do_sample=False,
        pad_token_id=0,
        prefix_allowed_tokens_fn=allowed,
    )
    return written[:, start:]


def measure_generate(items: int, rounds: int) -> dict[str, Any]:
    """Users a second of ours and of ``generate``, in turns."""
    codes = draw_codes(items)
    tokens = codes + np.arange(LENGTH) * SIZE
    gc.collect()
    before, started = resident_bytes(), time.perf_counter()
    trie = build_trie(tokens.tolist())
    trie_seconds, trie_bytes = time.perf_counter() - started, resident_bytes() - before
    gc.freeze()  # the collector would walk the trie's dictionaries again and again
    model, peer = our_model(codes), peer_model()
    index = model.index
    model.prepare(items)
    rows = np.random.default_rng(2).integers(0, items, (max(BATCHES), HISTORY))
    prompts = torch.from_numpy(tokens[rows].reshape(len(rows), -1)).long()
    known = {item.tobytes() for item in tokens.astype(np.int64)}
    cells = []
    for beams in BEAMS:
        jobs: dict[str, Callable[[], Any]] = {}
        for batch in BATCHES:
            jobs[f"ours {batch}"] = _ours(model, rows[:batch], beams)
            jobs[f"from tokens {batch}"] = _from_tokens(model, rows[:batch], beams)
        for batch in PEER_BATCHES:
            jobs[f"generate {batch}"] = _theirs(peer, trie, prompts[:batch], beams)
        written = generate(peer, trie, prompts[:1], beams).numpy()
        times = seconds(rounds, **jobs)
        rates = {
            name: {key: int(name.split()[-1]) / value for key, value in each.items()}
            for name, each in times.items()
        }
        cells.append(
            {
                "items": items,
                "beams": beams,
                "users_per_second": rates,
                "ours_to_generate": {
                    side: {key: _ratio(rates, side, key) for key in ("least", "own")}
                    for side in ("ours", "from tokens")
                },
                "valid_ids_of_generate": float(np.mean([i.tobytes() in known for i in written])),
            }
        )
        print(cells[-1], flush=True)
    gc.unfreeze()
    return {
        "cells": cells,
        "index_bytes": index.nbytes,
        "trie_bytes": trie_bytes,
        "trie_build_seconds": trie_seconds,
    }


def _ratio(rates: dict[str, dict[str, float]], side: str, key: str) -> float:
    """Users a second of ours over those of generate, each with its best batch."""
    ours, theirs = (
        max(each[key] for name, each in rates.items() if name.startswith(side))
        for side in (side, "generate")
    )
    return ours / theirs


def _ours(model: HeterRec, rows: np.ndarray, beams: int) -> Callable[[], Any]:
    histories = Sequences.of(Packed(rows.reshape(-1), np.full(len(rows), HISTORY)))
    return lambda: model.search_block(histories, K, Filters(), beams)


def _from_tokens(model: HeterRec, rows: np.ndarray, beams: int) -> Callable[[], Any]:
    search = _ours(model, rows, beams)

    def run() -> Any:
        kept, model.network.cached = model.network.cached, None
        found = search()
        model.network.cached = kept
        return found

    return run


def _theirs(peer: GPT2LMHeadModel, trie: Trie, prompts: Tensor, beams: int) -> Callable[[], Any]:
    return lambda: generate(peer, trie, prompts, beams)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", default="12101,100000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "decode.json")
    arguments = parser.parse_args()
    sizes = [int(items) for items in arguments.items.split(",")]
    record: dict[str, Any] = {**provenance(), "index": [], "search": [], "generate": []}
    record["versions"]["transformers"] = version("transformers")
    with tempfile.TemporaryDirectory() as name:
        for items in sizes:
            for skewed in (False, True):
                record["index"].append(measure_index(items, skewed, Path(name)))
                print(record["index"][-1], flush=True)
    for items in sizes:
        index = PrefixIndex.build(draw_codes(items), [SIZE] * LENGTH)
        for users in BATCHES:
            record["search"].append(measure_search(index, users, arguments.rounds))
            print(record["search"][-1], flush=True)
    for items in dict.fromkeys((sizes[0], sizes[-1])):
        record["generate"].append(measure_generate(items, max(arguments.rounds // 2, 2)))
    write(arguments.out, record)


if __name__ == "__main__":
    main()
