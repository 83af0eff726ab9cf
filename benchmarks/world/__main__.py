"""Make a world: ``python -m benchmarks.world --items N --users U --out DIR``."""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.world.settings import World
from benchmarks.world.write import make_world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=64, help="of every embedding")
    parser.add_argument("--shared", type=float, default=0.6, help="share of common information")
    given = vars(parser.parse_args())
    out = given.pop("out")
    started = time.perf_counter()
    rows = {"catalogue": 0, "interactions": 0}
    for path in make_world(World(**given), out):
        rows[path.parent.name] += pq.read_metadata(path).num_rows
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{rows['catalogue']:,} items and {rows['interactions']:,} events in {seconds:.1f} s, "
        f"peak {peak:,.0f} MiB: {out}"
    )


if __name__ == "__main__":
    main()
