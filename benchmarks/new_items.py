"""Old items against new ones: what a bonus for new items finds, and what it costs.

    python benchmarks/new_items.py --data ML1M --reproduction OUT

OUT is the folder of `mmq reproduce table1 --scale full --config benchmarks/paper_ml1m.toml` on the
same data: its models are measured with some bonuses for the films that were withheld. No bonus is
chosen; all are shown.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, mean_sd, provenance, write

from mmq.data.sequences import Cases
from mmq.experiments.paper import Request, prepare, scale_of
from mmq.experiments.paper.folders import Places
from mmq.experiments.paper.plan import ITEM_TOKENS, RETRIEVAL, Cell, Row
from mmq.experiments.paper.variants import MMQ, WITH_BEHAVIOUR
from mmq.experiments.paper.worlds import retrieval_world
from mmq.recommenders import HeterRec, Recommender, evaluate

BONUSES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
ROWS = [Row(name, stage) for name in (MMQ, WITH_BEHAVIOUR) for stage in ("", ITEM_TOKENS)]
SEEDS = range(3)
SETTINGS = Path(__file__).parent / "paper_ml1m.toml"


def curve(
    model: HeterRec, test: Cases, cold: Cases, bonuses: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Figures of old and of new items with every bonus."""
    found = {}
    for bonus in bonuses:
        model.favour_new_items(bonus)
        old, new = evaluate(model, test).figures, evaluate(model, cold).figures
        found[f"{bonus:g}"] = {"recall@10": old["recall@10"], "cold recall@10": new["recall@10"]}
    model.favour_new_items(0.0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reproduction", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS / "new_items_ml1m.json")
    arguments = parser.parse_args()
    scale = scale_of("full", tomllib.loads(SETTINGS.read_text()))
    columns = (("item_id", "item"), ("user_id", "user"))
    request = Request(
        ("table1",), arguments.data, arguments.reproduction, "full", scale, len(SEEDS), None,
        columns, (), "auto",
    )  # fmt: skip
    setup = prepare(request).setup
    places = Places(arguments.reproduction / "cells", Path(), Path())
    cells: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        for seed in SEEDS:
            folder = places.of(Cell(RETRIEVAL, row, seed)) / "model"
            if not folder.exists():
                continue
            model = Recommender.load(folder)
            assert isinstance(model, HeterRec), "rows of Table 1 with IDs are HeterRec"
            world = retrieval_world(setup, seed)
            measured = curve(model, world.data.test, world.cold, BONUSES)
            print(row.name, seed, measured, flush=True)
            cells.setdefault(row.name, {})[str(seed)] = {
                "bonus": measured, "epochs": model.settings.epochs, **provenance(),
            }  # fmt: skip
    write(arguments.out, {"cells": cells, "summary": summary(cells)})


def summary(cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Row -> bonus -> figure -> mean and sd over the seeds."""
    return {
        name: {
            bonus: {
                key: mean_sd([run["bonus"][bonus][key] for run in runs.values()])
                for key in ("recall@10", "cold recall@10")
            }
            for bonus in next(iter(runs.values()))["bonus"]
        }
        for name, runs in cells.items()
    }


if __name__ == "__main__":
    main()
