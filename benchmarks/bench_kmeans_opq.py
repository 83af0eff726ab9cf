"""RQ-KMeans and OPQ against faiss: error on fitted and on held-out items, and seconds.

    python -m benchmarks.bench_kmeans_opq [--data DATA] [--threads 1 2] [--repeats 3] [--turns 20]

DATA holds the folders ml1m and beauty; without it the synthetic cases alone run. Beauty is the
text embedding (384) beside the light encoding of the titles (128 by PCA), each unit-normed. 10% of
the items are held out. Ours and faiss run in turn in one process, a process a number of threads;
seconds are the least of the repeats (faiss' OPQ runs once: it takes minutes).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.common import RESULTS, provenance, write
from experiments.data import items_of, reduced
from mmq.encoders._light import LightTextEncoder
from mmq.tokenizers._opq import OPQ, OPQSettings
from mmq.tokenizers._rqkmeans import RQKMeans, RQKMeansSettings

ITERATIONS = 25
LEVELS = 6
RQ_SIZE = 100
PARTS = 4
OPQ_SIZE = 256


class Parts(NamedTuple):
    """Items that are fitted on and those that are not."""

    fit: np.ndarray
    held_out: np.ndarray


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length one; a missing one is zero."""
    x = np.nan_to_num(x)
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def synthetic(items: int, width: int) -> np.ndarray:
    """Themes with noise, both of falling variance, turned at random, unit-normed."""
    rng = np.random.default_rng(0)
    fall = np.arange(1, width + 1) ** -0.5
    themes = rng.standard_normal((300, width)) * fall
    x = themes[rng.integers(300, size=items)] + rng.standard_normal((items, width)) * fall
    turn, _ = np.linalg.qr(rng.standard_normal((width, width)))
    return unit(x @ turn)


def ml1m(data: Path) -> np.ndarray:
    files = ("text_minilm.npy", "image_effnet.npy")
    return np.hstack([unit(reduced(np.load(data / "ml1m" / name))) for name in files])


def beauty(data: Path) -> np.ndarray:
    text = np.load(data / "beauty" / "text_minilm.npy")
    titles = [item.get("title") or "" for item in items_of(data / "beauty")]
    return np.hstack([unit(text), unit(reduced(LightTextEncoder().encode(titles), 128))])


def split(x: np.ndarray) -> Parts:
    """Nine tenths and a tenth, centred on the mean of the first."""
    order = np.random.default_rng(0).permutation(len(x))
    held, fit = x[order[: len(x) // 10]], x[order[len(x) // 10 :]]
    mean = fit.mean(0)
    return Parts(fit - mean, held - mean)


def ignore(*_: Any, **__: Any) -> None:
    """Progress that nobody looks at."""


def level_errors(parts: Parts, nearest: Callable[[np.ndarray, int], np.ndarray]) -> dict[str, Any]:
    """Part -> squared error after each level; ``nearest`` gives codewords of residuals."""
    errors: dict[str, Any] = {}
    for name, x in parts._asdict().items():
        residual, errors[name] = x, []
        for level in range(LEVELS):
            residual = residual - nearest(residual, level)
            errors[name].append(float(np.square(residual).sum(1).mean()))
    return errors


def our_rq(parts: Parts, **settings: Any) -> tuple[float, dict[str, Any]]:
    chosen = RQKMeansSettings(codebook_size=RQ_SIZE, iterations=ITERATIONS, **settings)
    quantiser = RQKMeans(parts.fit.shape[1], LEVELS, chosen)
    started = time.perf_counter()
    quantiser.fit(torch.from_numpy(parts.fit.copy()), np.random.default_rng(0), ignore)
    seconds = time.perf_counter() - started
    books = quantiser.codebooks.numpy()

    def nearest(residual: np.ndarray, level: int) -> np.ndarray:
        book = books[level]
        return book[(residual @ book.T - 0.5 * np.square(book).sum(1)).argmax(1)]

    return seconds, level_errors(parts, nearest)


def faiss_rq(parts: Parts) -> tuple[float, dict[str, Any]]:
    import faiss

    books: list[np.ndarray] = []
    started, residual = time.perf_counter(), parts.fit
    for level in range(LEVELS):
        means = faiss.Kmeans(
            residual.shape[1],
            RQ_SIZE,
            niter=ITERATIONS,
            seed=level + 1,
            max_points_per_centroid=len(residual),
        )
        means.train(residual)
        residual = residual - means.centroids[means.index.search(residual, 1)[1][:, 0]]
        books.append(means.centroids)
    seconds = time.perf_counter() - started

    def nearest(left: np.ndarray, level: int) -> np.ndarray:
        book = books[level]
        return book[(left @ book.T - 0.5 * np.square(book).sum(1)).argmax(1)]

    return seconds, level_errors(parts, nearest)


def our_opq(parts: Parts, turns: int) -> tuple[float, dict[str, Any]]:
    settings = OPQSettings(codebook_size=OPQ_SIZE, rotations=turns)
    quantiser = OPQ(parts.fit.shape[1], PARTS, settings)
    started = time.perf_counter()
    log = quantiser.fit(torch.from_numpy(parts.fit.copy()), np.random.default_rng(0), ignore)
    seconds = time.perf_counter() - started
    errors = {}
    for name, x in parts._asdict().items():
        items = torch.from_numpy(x)
        left = quantiser.decode(quantiser.encode(items)) - items
        errors[name] = float(left.square().sum(1).mean())
    return seconds, {**errors, "turns": len(log) - 1}


def faiss_opq(parts: Parts) -> tuple[float, dict[str, Any]]:
    import faiss

    width = parts.fit.shape[1]
    started = time.perf_counter()
    turn = faiss.OPQMatrix(width, PARTS)
    turn.train(parts.fit)
    product = faiss.ProductQuantizer(width, PARTS, 8)
    product.train(turn.apply(parts.fit))
    seconds = time.perf_counter() - started
    errors = {}
    for name, x in parts._asdict().items():
        y = turn.apply(x)
        left = product.decode(product.compute_codes(y)) - y
        errors[name] = float(np.square(left).sum(1).mean())
    return seconds, errors


Run = Callable[[], tuple[float, dict[str, Any]]]


def compare(runs: dict[str, Run], repeats: int, once: str = "") -> dict[str, Any]:
    """Least seconds and the errors of each, run in turn."""
    best: dict[str, Any] = {}
    for repeat in range(repeats):
        for name, run in runs.items():
            if name == once and repeat:
                continue
            seconds, errors = run()
            known = best.get(name, {"seconds": seconds})
            best[name] = {"seconds": min(seconds, known["seconds"]), "error": errors}
    return best


def child(arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """All cases with so many threads."""
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    inputs: dict[str, Callable[[], np.ndarray]] = {
        "synthetic 12,101 x 512": lambda: synthetic(12_101, 512),
    }
    if arguments.data:
        inputs["ML-1M 3,706 x 512"] = lambda: ml1m(arguments.data)
        inputs["Beauty 12,101 x 512"] = lambda: beauty(arguments.data)
    cells: dict[str, Any] = {}
    everything = {**inputs, "synthetic 100,000 x 256": lambda: synthetic(100_000, 256)}
    for name, make in everything.items():
        if arguments.only not in (None, name):
            continue
        parts = split(make())
        runs: dict[str, Run] = {
            "ours": lambda p=parts: our_rq(p),  # type: ignore[misc]
            "ours, start sample, not balanced": lambda p=parts: our_rq(  # type: ignore[misc]
                p, start="sample", balanced=False
            ),
            "faiss": lambda p=parts: faiss_rq(p),  # type: ignore[misc]
        }
        cells[f"rqkmeans | {name}"] = compare(runs, arguments.repeats)
        print(threads, name, json.dumps(cells[f"rqkmeans | {name}"]), file=sys.stderr, flush=True)
        if name in inputs:
            runs = {
                "ours": lambda p=parts: our_opq(p, arguments.turns),  # type: ignore[misc]
                "faiss": lambda p=parts: faiss_opq(p),  # type: ignore[misc]
            }
            cells[f"opq | {name}"] = compare(runs, arguments.repeats, once="faiss")
            print(threads, name, json.dumps(cells[f"opq | {name}"]), file=sys.stderr, flush=True)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--only", help="one case, by its name; the others stay as they are")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "kmeans_opq.json")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments, arguments.child)))
        return
    known = json.loads(arguments.out.read_text()).get("threads_run", {}) if arguments.only else {}
    record: dict[str, Any] = {**provenance(), "iterations": ITERATIONS, "threads_run": known}
    for threads in arguments.threads:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.bench_kmeans_opq",
                *sys.argv[1:],
                "--child",
                str(threads),
            ],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        cells = known.setdefault(str(threads), {})
        cells.update(json.loads(done.stdout.splitlines()[-1]))
        write(arguments.out, record)


if __name__ == "__main__":
    main()
