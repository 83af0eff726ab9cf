"""The whole path by the command line at growing sizes: seconds, memory, growth, and 40 million.

    python -m benchmarks.bench_scale [--sizes 10000,100000,1000000] [--stages fit,encode]

Every command is a process of its own over a generated world (benchmarks/world). What is measured
is kept at once: a run that was stopped goes on, and further sizes join those that are there. The
world of a size has 10,000 users, above 100,000 items 200, so that figures tell what items cost:
scans for users are linear in both.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, provenance, write
from benchmarks.scale_stages import LARGE, SAMPLE, STAGES, Size

AIM = 40_000_000
Cell = dict[str, Any]


def measured(command: str, folder: Path) -> dict[str, float]:
    """Seconds and peak memory of one command."""
    words = [sys.executable, "-m", *shlex.split(command)]
    root = str(Path(__file__).parents[1])
    started = time.perf_counter()
    with (folder / "log.txt").open("a") as log:
        child = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": root}
        )
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{command} failed; see {folder / 'log.txt'}")
    return {
        "wall_seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def cell(size: Size, stage: str, folder: Path) -> Cell:
    """One stage at one size; what an earlier run left of it goes."""
    place = folder / STAGES[stage].makes
    if stage not in ("world", "inspect", "evaluate"):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    took = measured(size.command(stage), folder)
    if stage == "world":
        _older_parts(folder)
    return {
        "items": size.items,
        "users": size.users,
        "stage": stage,
        "handled": size.handled(stage),
        "command": size.command(stage),
        **took,
    }


def _older_parts(folder: Path) -> None:
    """A catalogue of links to all parts but the last, whose items come later."""
    before = folder / "before"
    before.mkdir(exist_ok=True)
    for part in sorted((folder / "world" / "catalogue").iterdir())[:-1]:
        link = before / part.name
        if not link.exists():
            link.symlink_to(part.resolve())


def growth(cells: Iterable[Cell]) -> list[Cell]:
    """How each stage grows between one size and the next: 1 is linear in the items."""
    return [
        {
            "stage": stage,
            "from": small["items"],
            "to": large["items"],
            "users": [small["users"], large["users"]],
            **{name: _exponent(small, large, name) for name in ("processor_seconds", "peak_mb")},
        }
        for stage, of_stage in _by_stage(cells).items()
        for small, large in pairwise(of_stage)
        if small["users"] == large["users"]
    ]


def _exponent(small: Cell, large: Cell, name: str) -> float:
    ratio = max(large[name], 0.1) / max(small[name], 0.1)
    return math.log(ratio) / math.log(large["items"] / small["items"])


def extrapolated(cells: Iterable[Cell]) -> list[Cell]:
    """What 40 million items take: a + b n through the two largest sizes of as many users."""
    lines = []
    for stage, of_stage in _by_stage(cells).items():
        for users in (of_stage[-1]["users"], of_stage[0]["users"]):
            alike = [each for each in of_stage if each["users"] == users]
            if len(alike) > 1:
                lines.append(_line(stage, alike))
                break
    return lines


def _line(stage: str, of_stage: list[Cell]) -> Cell:
    last = of_stage[-2:]
    found: Cell = {"stage": stage, "items": AIM, "users": last[-1]["users"]}
    for name in ("processor_seconds", "peak_mb"):
        b, a = np.polyfit([each["items"] for each in last], [each[name] for each in last], 1)
        found[name] = {
            "a": float(a),
            "b": float(b),
            "from": [each["items"] for each in last],
            "arithmetic": f"{a:.4g} + {b:.4g} * {AIM}",
            "at_40_million": float(a + b * AIM),
        }
    return found


def _by_stage(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Stage -> its cells, by size."""
    ordered = sorted(cells, key=lambda each: each["items"])
    return {stage: own for stage in STAGES if (own := [e for e in ordered if e["stage"] == stage])}


def run(sizes: Iterable[int], stages: Iterable[str], work: Path, out: Path) -> None:
    """Measure what is not measured yet, and keep it."""
    record = json.loads(out.read_text()) if out.exists() else {}
    cells = {(each["items"], each["stage"]): each for each in record.get("cells", [])}
    for size in map(Size.of, sizes):
        folder = work / str(size.items)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in stages:
            there = (folder / STAGES[stage].makes).exists()
            known = cells.get((size.items, stage))
            if there and known and known["command"] == size.command(stage):
                continue
            cells[size.items, stage] = cell(size, stage, folder)
            print(cells[size.items, stage], flush=True)
            _keep(list(cells.values()), out)


def _keep(cells: list[Cell], out: Path) -> None:
    notes = {
        "settings": f"MMQ 6 x 100 by default settings, of {SAMPLE:,} items at most; HeterRec of "
        "width 64 on codes for one epoch, all interactions; "
        f"{LARGE:,} items and fewer have 10,000 users, more have 200",
        "extrapolation": "a + b * items through the two largest sizes measured of as many users",
    }
    record = {**provenance(), **notes, "cells": cells}
    write(out, {**record, "growth": growth(cells), "extrapolated": extrapolated(cells)})


def main() -> None:
    """Run the stages of all sizes in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--work", type=Path, default=Path("out/scale"), help="worlds and results")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    given = parser.parse_args()
    stages = given.stages.split(",")
    if unknown := set(stages) - STAGES.keys():
        parser.error(f"unknown stages {sorted(unknown)}; choose of {', '.join(STAGES)}")
    ordered = [stage for stage in STAGES if stage in stages]
    run(map(int, given.sizes.split(",")), ordered, given.work.resolve(), given.out)


if __name__ == "__main__":
    main()
