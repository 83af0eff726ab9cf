"""SASRec of RecBole, as a peer of ours: the same rows, split and protocols as the leaderboard.

    python -m venv RECBOLE
    RECBOLE/bin/pip install recbole==1.2.1 "numpy<1.24" "pandas<2" "scipy<1.12" -c constraints.txt
    OMP_NUM_THREADS=1 python -m benchmarks.recbole_peer beauty --data DATA
        --python RECBOLE/bin/python [--seeds 0] [--minutes 90] [--cells out/recbole]

RecBole 1.2.1 needs a NumPy before 2, newer releases of Arrow one from 2 on: so RecBole has an
environment of its own and is no extra. The rows go there in RecBole's format (each user's in our
order), recbole_cell.py trains and measures, and the row of the leaderboard goes to
benchmarks/results/recbole_DATASET.json. A seed whose cell is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, provenance, write
from experiments.data import LOGS, items_of, world
from experiments.results import as_row

SYSTEM = {
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
}
"""A checkpoint that RecBole wrote itself holds more than weights; and memory that was had is kept,
which saves a fifth of the time."""
HEADER = "user_id:token\titem_id:token\ttimestamp:float"


def rows_of(dataset: str, data: Path) -> list[str]:
    """The log that our recommenders learn from and are measured on, in RecBole's format.

    The time of a row is its place in the user's sequence, so that ties stay in our order.
    """
    log = LOGS[dataset].liked(data)
    met = set(log.items.ids.to_pylist())
    every = (each["item"] for each in items_of(data / LOGS[dataset].folder))
    test = world(log, [item for item in every if item in met], None).data.test
    packed, start, found = test.histories.pack(), 0, [HEADER]
    for user, length, target in zip(test.users, packed.lengths, test.targets, strict=True):
        items = [*packed.rows[start : start + length], target]
        found += [f"{user}\t{item}\t{place}" for place, item in enumerate(items)]
        start += length
    return found


def cell(python: Path, folder: Path, seed: int, minutes: float) -> dict[str, Any]:
    """What RecBole's SASRec reaches with a seed, and where it was measured."""
    file = folder / f"{seed}.json"
    if not file.exists():
        script = Path(__file__).resolve().with_name("recbole_cell.py")
        command = [python.absolute(), script, folder.absolute(), str(seed), str(minutes)]
        settings = {**os.environ, **SYSTEM}
        subprocess.run([*map(os.fspath, command)], check=True, env=settings, cwd=folder)
        write(file, {**provenance(), **json.loads(file.read_text())})
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def told(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell of RecBole's in the form of ours."""
    names = ("validation", "best_epoch", "seconds", "processor_seconds", "peak_mb")
    return {
        **cell,
        "figures": {**cell["test"], **{name: cell[name] for name in names if name in cell}},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=[name for name, of in LOGS.items() if not of.cold])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True, help="that has RecBole")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--minutes", type=float, default=90.0, help="longest training of a seed")
    parser.add_argument("--cells", type=Path, default=Path("out/recbole"))
    arguments = parser.parse_args()
    folder = arguments.cells / arguments.dataset
    file = folder / "rows" / "rows.inter"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(rows_of(arguments.dataset, arguments.data)) + "\n")
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    cells = {seed: cell(arguments.python, folder, seed, arguments.minutes) for seed in seeds}
    row = as_row(
        arguments.dataset, "SASRec of RecBole 1.2.1", {s: told(c) for s, c in cells.items()}
    )
    more = ("ended_by", "targets", "parameters", "test by RecBole", "loss of a batch", "training")
    row["runs"] = {seed: {name: each[name] for name in more} for seed, each in cells.items()}
    write(RESULTS / f"recbole_{arguments.dataset}.json", [row])


if __name__ == "__main__":
    main()
