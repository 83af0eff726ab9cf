"""The recommenders of the product and the baselines, on the same rows, under both protocols.

    python benchmarks/leaderboard.py beauty|ml1m --data DATA [--seeds 0,1,2] [--only "ROW|ROW"]
                                     [--cells out/leaderboard]

DATA is the folder of the data set. Histories are 5-core, of ML-1M those rated above 3, split by
leave-one-out. On ML-1M a random 5% of the items, another for every seed, is withheld from the log
altogether; their interactions are the cold cases. SASRec, item-kNN and EASE have the settings of
the command line; HeterRec is narrower and trained for fewer epochs than by default, since its rows
are dear. Semantic IDs come from one MMQ tokenizer (its defaults, seed 0), fitted without any
interaction.

A cell (row and seed) is stored when it is done and never run again; a training that was killed goes
on. Every cell is a process of its own, so that its peak memory is its own. The rows of
benchmarks/results/recommenders_*.json, of before the entries of histories were normalised, stand
beside them with the commit that they were measured at.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from common import RESULTS, mean_sd, provenance, read, write

from mmq import SemanticIDs
from mmq.data.cold import withhold_items
from mmq.data.log import read_interactions
from mmq.experiments.origin import peak_memory, restart_peak
from mmq.made_from import Checkpoint
from mmq.model import model_class
from mmq.recommenders import (
    Evaluation,
    Recommender,
    RetrievalData,
    evaluate,
)
from recommenders import COLD_SHARE, DATASETS, Job, Row, default_codes, items_of

HETERREC = {"hidden_dim": 64, "token_layers": 1, "epochs": 8}
"""Reduced: the default is twice as wide and trained longer."""
ROWS = {
    "Popularity": Row("popularity"),
    "Item-kNN": Row("item-knn"),
    "EASE": Row("ease"),
    "SASRec": Row("sasrec"),
    "HeterRec, codes alone": Row("heterrec", {**HETERREC, "item_token": False}, "MMQ"),
    "HeterRec, item tokens": Row("heterrec", {**HETERREC, "item_token": True}, "MMQ"),
}
SEEDLESS = ("popularity", "item-knn", "ease")
FIGURES = ("recall@5", "recall@10", "ndcg@5", "ndcg@10")
BEFORE = {
    "SASRec": "SASRec, before the norm",
    "HeterRec, MMQ 6 x 100": "HeterRec, codes alone, before the norm",
    "HeterRec, MMQ": "HeterRec, codes alone, before the norm",
}
"""Rows of recommenders_*.json -> what they are called here."""


class Place(NamedTuple):
    """What a cell is of, and where it is kept."""

    data: str
    folder: Path
    cells: Path
    row: str
    seed: int

    @property
    def file(self) -> Path:
        """Of the cell."""
        return self.cells / self.data / f"{self.row} {self.seed}.json"


def seeds_of(dataset: str, row: str, seeds: list[int]) -> list[int]:
    """Those that make a difference: some rows are the same for all seeds of the same log."""
    same = ROWS[row].recommender in SEEDLESS and not DATASETS[dataset].cold
    return seeds[:1] if same else seeds


def run(place: Place) -> dict[str, Any]:
    """Train and measure one cell."""
    row, dataset = ROWS[place.row], DATASETS[place.data]
    log = read_interactions(place.folder / "interactions.parquet", dataset.columns)
    log = log.positives().k_core(5)
    withheld = withhold_items(log, COLD_SHARE, place.seed) if dataset.cold else None
    job = Job(place.data, dataset, place.folder, place.cells / "codes", log)
    rest = (withheld.rest if withheld else log).positives().k_core(5)
    data = RetrievalData.of(rest, known_items(job, row))
    settings = {} if row.recommender in SEEDLESS else {**row.settings, "seed": place.seed}
    recommender = model_class("recommender", row.recommender)(device="cpu", **settings)
    recommender, figures = fitted(recommender, data, place)
    cell = {
        **figures,
        "settings": recommender.settings.to_dict(),
        "test": both(evaluate(recommender, data.test)),
        **provenance(),
    }
    if withheld:
        cold = evaluate(recommender, data.cold_cases(withheld))
        cell["cold"] = {"cases": cold.cases, "items": len(withheld.cold_items), **both(cold)}
    return cell


def fitted(
    recommender: Recommender[Any], data: RetrievalData, place: Place
) -> tuple[Recommender[Any], dict[str, Any]]:
    """The trained model of a cell, what its fit gave and cost; kept, never fitted again.

    A training that was killed and went on is known to cost what was left of it, so nothing is said.
    """
    folder, kept = place.file.with_suffix(".model"), place.file.with_suffix(".cost")
    checkpoint = place.file.with_suffix(".checkpoint")
    if not folder.exists():
        whole = not checkpoint.exists()
        restart_peak()
        started, work = time.monotonic(), time.process_time()
        recommender.fit(data, Checkpoint(checkpoint, resume=True))
        cost = {
            "seconds": time.monotonic() - started,
            "processor_seconds": time.process_time() - work,
            "peak_mb": peak_memory(),
        }
        write(kept, cost if whole else {})
        recommender.save(folder)
        checkpoint.unlink(missing_ok=True)
    recommender = Recommender.load(folder, "cpu")
    figures = read(folder / "config.json")["figures"]
    log = folder / "training.jsonl"
    epochs = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return recommender, {**read(kept), **figures, "training": epochs}


def known_items(job: Job, row: Row) -> Any:
    """The items of the log, with their IDs where the row has a tokenizer."""
    met = set(job.log.items.ids.to_pylist())
    everything = [item["item"] for item in items_of(job.folder)]
    rows = [number for number, item in enumerate(everything) if item in met]
    names = [everything[number] for number in rows]
    if not row.tokenizer:
        return names
    found, sizes = default_codes(job)
    return SemanticIDs.build(names, found[rows], sizes)


def both(found: Evaluation) -> dict[str, Any]:
    """Figures under both protocols."""
    return {
        "history_competes": {**found.figures, "coverage": found.coverage},
        "history_left_out": {**found.left_out.figures, "coverage": found.left_out.coverage},
    }


def rows_of(dataset: str, cells: Path) -> list[dict[str, Any]]:
    """All rows that were measured, and those of before the norm."""
    rows = []
    for name in ROWS:
        found = {int(f.stem.rpartition(" ")[2]): read(f) for f in cells.glob(f"{name} [0-9].json")}
        if found:
            rows.append(as_row(dataset, name, dict(sorted(found.items()))))
    before = read(RESULTS / f"recommenders_{dataset}.json").get("cells", {})
    for name, title in BEFORE.items():
        older = {int(seed): as_cell(cell) for seed, cell in before.get(name, {}).items()}
        if older:
            rows.append(as_row(dataset, title, older))
    return rows


def as_cell(older: Mapping[str, Any]) -> dict[str, Any]:
    """A cell of recommenders_*.json as one of here."""
    cell = {
        **older,
        "test": {
            "history_competes": {**older["figures"], "coverage": older["coverage"]},
            "history_left_out": older["history excluded"],
        },
    }
    if "cold" in older:
        cold = {name: older["cold"][name] for name in FIGURES}
        cell["cold"] = {"history_competes": cold}
    return cell


def as_row(dataset: str, name: str, cells: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of a row."""
    runs = list(cells.values())

    def spread(part: str, protocol: str) -> dict[str, Any]:
        return {
            figure: mean_sd([run[part][protocol][figure] for run in runs])
            for figure in runs[0][part][protocol]
        }

    row = {
        "data": dataset,
        "row": name,
        "seeds": list(cells),
        **{each: spread("test", each) for each in runs[0]["test"]},
        "validation": {
            figure: mean_sd([run["validation"][figure] for run in runs]) for figure in FIGURES
        },
        "settings": runs[0]["settings"],
        "best_epochs": [run["best_epoch"] for run in runs],
        "commit": sorted({run["commit"] for run in runs}),
        "machine": {key: runs[0][key] for key in ("cores", "processor", "threads", "versions")},
    }
    if "cold" in runs[0]:
        row["cold"] = {
            each: spread("cold", each) for each in runs[0]["cold"] if each.startswith("history")
        }
    for measure in ("seconds", "processor_seconds", "peak_mb"):
        known = [run[measure] for run in runs if measure in run]
        if known:
            row[measure] = mean_sd(known)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--cells", type=Path, default=Path("out/leaderboard"))
    parser.add_argument("--cell", help="run this one here: ROW|SEED")
    arguments = parser.parse_args()
    of = functools.partial(Place, arguments.dataset, arguments.data, arguments.cells)
    if arguments.cell:
        name, _, seed = arguments.cell.rpartition("|")
        place = of(name, int(seed))
        write(place.file, run(place))
        return
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for name in arguments.only.split("|") if arguments.only else ROWS:
        for seed in seeds_of(arguments.dataset, name, seeds):
            place = of(name, seed)
            if not place.file.exists():
                place.file.parent.mkdir(parents=True, exist_ok=True)
                options = ["--data", arguments.data, "--cells", arguments.cells]
                one = [sys.executable, __file__, arguments.dataset, *options, "--cell"]
                subprocess.run([*map(os.fspath, one), f"{name}|{seed}"], check=True)
            print(name, seed, read(place.file)["test"], flush=True)
    rows = rows_of(arguments.dataset, arguments.cells / arguments.dataset)
    write(RESULTS / f"leaderboard_{arguments.dataset}.json", rows)


if __name__ == "__main__":
    main()
