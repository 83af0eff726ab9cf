"""Rankers on ML-1M: means, and PPNet with item IDs, with semantic IDs, and with these alone.

    python benchmarks/ranking.py --data ML1M [--seeds 0,1,2] [--only "NAME|NAME"]
                                 [--cache out/leaderboard/codes]

The log's own chronological split and labels; settings of the command line. The tokenizer is MMQ at
its defaults (seed 0 for all rows), fitted without any interaction; codes are kept in the cache
folder. Every cell is stored when it is done and never run again; the AUC of every user
goes to an .npz beside the results, for the paired tests.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from catalogues import items_of
from cells import done, store
from common import RESULTS, mean_sd, provenance

from mmq import SemanticIDs
from mmq.data.log import LogReader
from mmq.model import model_class
from mmq.ranking import RankingData, evaluate_ranking
from mmq.ranking.verdict import beside_means, fitted_means
from recommenders import DATASETS, Job, default_codes


class Ranked(NamedTuple):
    """A row of the table: kind and settings of a ranker, and the tokenizer of its IDs."""

    kind: str = "ppnet"
    settings: Mapping[str, Any] = MappingProxyType({})
    tokenizer: str = ""


ROWS = {
    "means": Ranked("means"),
    "PPNet, item IDs": Ranked(),
    "PPNet, item IDs and MMQ": Ranked(tokenizer="MMQ"),
    "PPNet, MMQ alone": Ranked(settings={"item_id": False}, tokenizer="MMQ"),
}


def table_of(job: Job, tokenizer: str) -> SemanticIDs | None:
    """The IDs of all items."""
    if not tokenizer:
        return None
    found, sizes = default_codes(job)
    return SemanticIDs.build([item["item"] for item in items_of(job.folder)], found, sizes)


def run(
    data: RankingData, row: Ranked, ids: SemanticIDs | None, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train and measure one cell."""
    seeded = {} if row.kind == "means" else {"seed": seed}
    ranker = model_class("ranker", row.kind)(**{**row.settings, **seeded})
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
        "rows_per_second": fit.targets_per_second,
        "seconds": fit.seconds,
        **provenance(),
    }
    if row.kind != "means":
        beside = beside_means(found, fitted_means(data), data, data.test, "test")
        cell["beside means"] = {"auc": beside.auc._asdict(), "gauc": beside.gauc._asdict()}
        cell["sentence"] = beside.sentence
    return cell, {"figure": by_user.auc}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of every figure of a row."""
    row = {each: mean_sd([run["figures"][each] for run in runs]) for each in runs[0]["figures"]}
    for part in ("auc", "gauc"):
        if "beside means" in runs[0]:
            found = [run["beside means"][part] for run in runs]
            row[f"{part} less means"] = mean_sd([each["mean"] for each in found])
            row[f"{part} p"] = mean_sd([each["p_value"] for each in found])
    for stratum in runs[0]["strata"]:
        row[f"auc {stratum}"] = mean_sd([run["strata"][stratum]["auc"] for run in runs])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--cache", type=Path, default=Path("out/leaderboard/codes"))
    parser.add_argument("--out", type=Path, default=RESULTS / "ranking_ml1m.json")
    arguments = parser.parse_args()
    names = DATASETS["ml1m"].columns
    data = RankingData.of(LogReader.open(arguments.data / "interactions.parquet", names))
    job = Job("ml1m", DATASETS["ml1m"], arguments.data, arguments.cache, None)
    rows = [name for name in ROWS if not arguments.only or name in arguments.only.split("|")]
    for seed in map(int, arguments.seeds.split(",")):
        for name in rows:
            if done(arguments.out, name, seed):
                continue
            row = ROWS[name]
            cell, users = run(data, row, table_of(job, row.tokenizer), seed)
            print(name, seed, cell["figures"], flush=True)
            store(arguments.out, (name, seed), cell, users, list(ROWS), summary)


if __name__ == "__main__":
    main()
