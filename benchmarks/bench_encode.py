"""Speed and memory of ``mmq encode`` against the machine's own matmul rate.

    python -m benchmarks.bench_encode [--items 10000,100000,1000000] [--codebook-sizes 100,3000]

For each size a catalogue of two 256-d modalities is written, then encoded by the real command in a
child process, which reports the time inside ``MMQTokenizer.encoder`` (compute), the wall time of
the stream (reading included) and its own peak memory. The plain floor is the multiply-adds of
experts and look-up over the rate of a 2,048-cube product, measured in the child before and after;
the least floor counts experts folded into the codebooks where that is less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import RESULTS, provenance, write
from mmq import Catalogue, MMQTokenizer, write_catalogue
from mmq.workflows import encode

WIDTHS = {"text": 256, "image": 256}


def matmul_rate(size: int = 2048, seconds: float = 1.0) -> float:
    """Multiply-adds a second of a float32 product of two ``size`` squares."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = a @ b
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        torch.mm(a, b, out=out)
        count += 1
    return count * size**3 / (time.perf_counter() - started)


def pieces(items: int, seed: int = 0) -> Iterator[Catalogue]:
    """A synthetic catalogue in pieces, at bounded memory."""
    rng = np.random.default_rng(seed)
    for first in range(0, items, 8192):
        n = min(8192, items - first)
        yield Catalogue.build(
            np.arange(first, first + n),
            {name: rng.standard_normal((n, width), np.float32) for name, width in WIDTHS.items()},
        )


def multiply_adds(tokenizer: MMQTokenizer, folded: bool = False) -> int:
    """Of one item: each expert, then its latent against its codewords.

    With ``folded``, an expert multiplied into its codebook counts where that is less.
    """
    d, k = tokenizer.settings.latent_dim, tokenizer.settings.codebook_size
    count = 0
    for name, positions in tokenizer.positions.items():
        width = tokenizer.dimensions.get(name, sum(tokenizer.dimensions.values()))
        each = width * d + d * k
        count += len(positions) * (min(each, width * k) if folded else each)
    return count


def child(catalogue: str, tokenizer: str, out: str) -> None:
    """Encode once; print figures as JSON."""
    spent = 0.0
    plain = MMQTokenizer.encoder

    def timed(self: MMQTokenizer) -> Callable[[Catalogue], np.ndarray]:
        encode = plain(self)

        def encode_timed(piece: Catalogue) -> np.ndarray:
            nonlocal spent
            started = time.perf_counter()
            codes = encode(piece)
            spent += time.perf_counter() - started
            return codes

        return encode_timed

    rates = [matmul_rate()]
    MMQTokenizer.encoder = timed  # type: ignore[method-assign]
    started = time.perf_counter()
    encode(catalogue, tokenizer, out)
    wall = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rates.append(matmul_rate())
    print(json.dumps({"compute": spent, "wall": wall, "peak_mib": peak, "rates": rates}))


def measure(folder: Path, items: int, tokenizer: MMQTokenizer) -> dict[str, Any]:
    """One cell: items x codebook size."""
    catalogue, saved = folder / f"{items}.parquet", folder / f"k{tokenizer.codebook_sizes[0]}"
    command = [
        sys.executable,
        "-m",
        "benchmarks.bench_encode",
        "--child",
        str(catalogue),
        str(saved),
    ]
    printed = subprocess.run(
        [*command, str(folder / f"ids{items}_{saved.name}.parquet")],
        check=True,
        capture_output=True,
        text=True,
    )
    figures = json.loads(printed.stdout.splitlines()[-1])
    rate = float(np.mean(figures["rates"]))
    floor = items * multiply_adds(tokenizer) / rate
    least = items * multiply_adds(tokenizer, folded=True) / rate
    return {
        "items": items,
        "codebook_size": tokenizer.codebook_sizes[0],
        "items_per_second": items / figures["wall"],
        "compute_items_per_second": items / figures["compute"],
        "floor_items_per_second": items / floor,
        "compute_to_floor": floor / figures["compute"],
        "compute_to_least": least / figures["compute"],
        "peak_mib": figures["peak_mib"],
        "gmac_per_second": rate / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", default="10000,100000,1000000")
    parser.add_argument("--codebook-sizes", default="100,3000")
    parser.add_argument("--child", nargs=3, metavar=("CATALOGUE", "TOKENIZER", "OUT"))
    parser.add_argument("--out", type=Path, default=RESULTS / "encode.json")
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    record: dict[str, Any] = {**provenance(), "cells": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = next(pieces(5000))
        tokenizers = []
        for size in map(int, arguments.codebook_sizes.split(",")):
            tokenizer = MMQTokenizer(learning="gradient", codebook_size=size, epochs=1)
            tokenizer.fit(few)
            tokenizer.save(folder / f"k{size}")
            tokenizers.append(tokenizer)
        for items in map(int, arguments.items.split(",")):
            write_catalogue(folder / f"{items}.parquet", pieces(items))
            for tokenizer in tokenizers:
                record["cells"].append(measure(folder, items, tokenizer))
                print(record["cells"][-1], flush=True)
            (folder / f"{items}.parquet").unlink()
    write(arguments.out, record)


if __name__ == "__main__":
    main()
