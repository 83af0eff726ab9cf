"""PPNet on ML-1M: item IDs alone, and with the semantic IDs of every tokenizer.

    python benchmarks/ranking.py --data ML1M [--seeds 0,1,2] [--only "NAME|NAME"] [--tune]
                                 [--cache out/recommenders]

The log's own chronological split and labels. Tokenizers are those of benchmarks/recommenders.py,
fitted without any interaction; codes are kept in the cache folder. PPNet's settings were chosen by
the validation AUC of item IDs alone (`--tune`, seed 0) and are the same in every row. Every cell is
stored when it is done and never run again; the AUC of every user goes to an .npz beside the
results, for the paired tests.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from catalogues import items_of
from cells import done, store
from common import RESULTS, mean_sd, provenance, read, write

from mmq import SemanticIDs
from mmq.ranking import Pieces, PPNet, RankingData, evaluate_ranking
from recommenders import DATASETS, Job, Row, codes

TOKENIZERS = (
    "MMQ",
    "MA-RQ-VAE",
    "MS-RQ-VAE",
    "MA-RQ-KMeans",
    "MS-RQ-KMeans",
    "MA-OPQ",
    "MS-OPQ",
)
BASE = {"epochs": 12, "patience": 2, "learning_rate": 1e-3, "dropout": 0.2}
"""What the table is trained with, besides the defaults."""

GRID = {
    "learning_rate": (5e-4, 1e-3, 2e-3),
    "dropout": (0.0, 0.2),
    "weight_decay": (0.0, 0.1),
}
"""What --tune tries for item IDs alone."""


class Ranked(NamedTuple):
    """A row of the table: settings of PPNet, and the tokenizer of its IDs."""

    settings: Mapping[str, Any] = MappingProxyType({})
    tokenizer: str = ""


ROWS = {
    "item IDs": Ranked(),
    **{f"item IDs and {name}": Ranked({}, name) for name in TOKENIZERS},
    "MMQ alone": Ranked({"item_id": False}, "MMQ"),
    "item IDs and MMQ, summed": Ranked({"codes": "sum"}, "MMQ"),
    "item IDs and MMQ, gated": Ranked({"codes": "gated"}, "MMQ"),
    "item IDs and MA-RQ-KMeans, prefixes": Ranked({"code_features": "prefixes"}, "MA-RQ-KMeans"),
}


def table_of(job: Job, tokenizer: str, seed: int) -> SemanticIDs | None:
    """The IDs of all items."""
    if not tokenizer:
        return None
    found, sizes = codes(job, Row("", tokenizer=tokenizer), seed)
    return SemanticIDs.build([item["item"] for item in items_of(job.folder)], found, sizes)


def run(
    data: RankingData, row: Ranked, ids: SemanticIDs | None, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train and measure one cell."""
    ranker = PPNet(**{**BASE, **row.settings, "seed": seed})
    fit = ranker.fit(data, ids)
    found = evaluate_ranking(ranker, data)
    by_user = found.by_user
    cell = {
        "settings": ranker.settings.to_dict(),
        "parameters": sum(each.size for each in ranker.tensors().values()),
        "validation": fit.validation,
        "figures": found.figures,
        "strata": {name: each._asdict() for name, each in found.strata.items()},
        "impressions": found.rows,
        "eligible_users": by_user.eligible_users,
        "eligible_impressions": by_user.eligible_rows,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "rows_per_second": fit.rows_per_second,
        **provenance(),
    }
    return cell, {"figure": by_user.auc}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of every figure of a row."""
    row = {each: mean_sd([run["figures"][each] for run in runs]) for each in runs[0]["figures"]}
    for stratum in runs[0]["strata"]:
        row[f"auc {stratum}"] = mean_sd([run["strata"][stratum]["auc"] for run in runs])
    return row


def tune(data: RankingData, out: Path) -> None:
    """Validation AUC of item IDs alone for every point of the grid."""
    stored = read(out) or {"cells": {}}
    done = stored.setdefault("tuning", {})
    for values in itertools.product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        key = " ".join(f"{name}={value}" for name, value in settings.items())
        if key not in done:
            fit = PPNet(**{**BASE, **settings}).fit(data)
            done[key] = {**fit.validation, "best_epoch": fit.best_epoch}
            print(key, done[key], flush=True)
            write(out, stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("out/recommenders"))
    parser.add_argument("--out", type=Path, default=RESULTS / "ranking_ml1m.json")
    arguments = parser.parse_args()
    names = DATASETS["ml1m"].columns
    data = RankingData.of(Pieces.open(arguments.data / "interactions.parquet", names))
    if arguments.tune:
        tune(data, arguments.out)
        return
    job = Job("ml1m", DATASETS["ml1m"], arguments.data, arguments.cache, None)
    rows = [name for name in ROWS if not arguments.only or name in arguments.only.split("|")]
    for seed in map(int, arguments.seeds.split(",")):
        for name in rows:
            if done(arguments.out, name, seed):
                continue
            row = ROWS[name]
            cell, users = run(data, row, table_of(job, row.tokenizer, seed), seed)
            print(name, seed, cell["figures"], flush=True)
            store(arguments.out, (name, seed), cell, users, list(ROWS), summary)


if __name__ == "__main__":
    main()
