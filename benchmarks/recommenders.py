"""Recommenders on real histories: popularity, SASRec, and HeterRec on every tokenizer's IDs.

    python benchmarks/recommenders.py beauty|ml1m --data DATA [--seeds 3] [--only NAME,..]
                                      [--cache out/recommenders]

DATA is the folder of the data set. Histories are 5-core, of ML-1M those rated above 3. Beauty is
split by leave-one-out. On ML-1M a random 5% of the items, another for every seed, is withheld from
the log altogether: what is left is split by leave-one-out, and the withheld interactions are the
cold cases, each asked of its user's history before it. All items compete in every ranking.

Tokenizers see the embeddings of all items and no interaction. Their settings are those that
benchmarks/quantisers.py tuned, without refinement, so that ordered codes stay ordered. Seed s is
the seed of tokenizer, recommender and withheld items. Every cell is stored when it is done and
never run again; codes are kept in the cache folder. NDCG@10 of single users goes to an .npz beside
the results, for the paired tests.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from catalogues import beauty, items_of
from cells import done, store
from common import RESULTS, mean_sd, provenance, read
from tokenizers_ml1m import catalogue as ml1m

from mmq import Catalogue, MMQTokenizer, SemanticIDs
from mmq.data.cold import withhold_items
from mmq.data.interactions import Interactions
from mmq.data.log import read_interactions
from mmq.data.sequences import Cases
from mmq.model import kinds, model_class
from mmq.recommenders import Recommender, RetrievalData, evaluate

COLD_SHARE = 0.05
BEAMS = (10, 20, 50, 200, 1000)
BEAM_CASES = 2000
"""Cases on which beam search is compared with exact search."""


class Row(NamedTuple):
    """A row of the table: a recommender, and the tokenizer whose IDs it reads."""

    recommender: str
    settings: Mapping[str, Any] = MappingProxyType({})
    tokenizer: str = ""
    codes: Mapping[str, Any] = MappingProxyType({})


class Dataset(NamedTuple):
    """How to get items and log, and what the recommenders are given."""

    catalogue: Callable[[Path], Catalogue]
    columns: dict[str, str]
    cold: bool
    rows: dict[str, Row]


KIND = {made.label: kind for kind, made in kinds("tokenizer").items()}

CYCLE = {"schedule": "one-cycle", "warmup": 0.05, "learning_rate": 0.002, "patience": 100}
SASREC_BEAUTY = {**CYCLE, "hidden_dim": 128, "history": 50, "epochs": 20}
HETERREC_BEAUTY = {
    **CYCLE,
    "hidden_dim": 128,
    "history": 20,
    "token_layers": 1,
    "epochs": 15,
    "item_token": False,
}
SASREC_ML1M = {**CYCLE, "hidden_dim": 64, "history": 50, "dropout": 0.2, "epochs": 8}
HETERREC_ML1M = {
    **CYCLE,
    "hidden_dim": 64,
    "history": 50,
    "token_layers": 1,
    "epochs": 5,
    "item_token": False,
}
"""Reduced settings: widths, layers and epochs that two cores can afford."""

LONG = {"shared_experts": 4, "specific_experts": 12, "codebook_size": 256, "epochs": 40}

DATASETS = {
    "beauty": Dataset(
        beauty,
        {"user_id": "user", "item_id": "item", "timestamp": "position"},
        False,
        {
            "Popularity": Row("popularity"),
            "SASRec": Row("sasrec", SASREC_BEAUTY),
            "HeterRec, MMQ 6 x 100": Row("heterrec", HETERREC_BEAUTY, "MMQ"),
            "HeterRec, MMQ 16 x 256": Row("heterrec", HETERREC_BEAUTY, "MMQ", LONG),
        },
    ),
    "ml1m": Dataset(
        ml1m,
        {"user_id": "user", "item_id": "item"},
        True,
        {
            "Popularity": Row("popularity"),
            "SASRec": Row("sasrec", SASREC_ML1M),
            **{
                f"HeterRec, {name}": Row("heterrec", HETERREC_ML1M, name)
                for name in (
                    "MMQ",
                    "MA-RQ-VAE",
                    "MS-RQ-VAE",
                    "MA-RQ-KMeans",
                    "MS-RQ-KMeans",
                    "MA-OPQ",
                    "MS-OPQ",
                )
            },
            "HeterRec, MMQ, loss over codes": Row(
                "heterrec", {**HETERREC_ML1M, "objective": "codes"}, "MMQ"
            ),
        },
    ),
}


class Job(NamedTuple):
    """One data set as it was loaded, and where codes are kept."""

    name: str
    dataset: Dataset
    folder: Path
    cache: Path
    log: Interactions


def codes(job: Job, row: Row, seed: int) -> tuple[np.ndarray, list[int]]:
    """The codes of all items and the codebook sizes; fitted once."""
    file = job.cache / f"{job.name} {row.tokenizer} {sorted(row.codes.items())} {seed}.npz"
    if not file.exists():
        tuned = read(RESULTS / f"quantisers_{job.name}.json")["tuning"][row.tokenizer]["settings"]
        kind = KIND[row.tokenizer.removeprefix("MA-").removeprefix("MS-")]
        way = {"learning": "gradient"} if kind == "mmq" else {}
        settings = {**way, **tuned, **row.codes, "seed": seed}
        if kind != "opq":
            settings["refinement"] = 0
        items = job.dataset.catalogue(job.folder)
        tokenizer = model_class("tokenizer", kind)(**settings)
        tokenizer.fit(items)
        job.cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, codes=tokenizer.encode(items), sizes=tokenizer.codebook_sizes)
    with np.load(file) as stored:
        return stored["codes"], stored["sizes"].tolist()


def default_codes(job: Job) -> tuple[np.ndarray, list[int]]:
    """Codes of all items by MMQ at its defaults, seed 0, and the codebook sizes; fitted once."""
    file = job.cache / f"{job.name}.npz"
    if not file.exists():
        catalogue = job.dataset.catalogue(job.folder)
        tokenizer = MMQTokenizer(seed=0)
        tokenizer.fit(catalogue)
        job.cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, codes=tokenizer.encode(catalogue), sizes=tokenizer.codebook_sizes)
    with np.load(file) as stored:
        return stored["codes"], stored["sizes"].tolist()


def items(job: Job, row: Row, seed: int) -> Any:
    """The items of the log, with their IDs where the row has a tokenizer."""
    everything = [item["item"] for item in items_of(job.folder)]
    met = set(job.log.items.ids.to_pylist())
    rows = [row for row, item in enumerate(everything) if item in met]
    names = [everything[each] for each in rows]
    if not row.tokenizer:
        return names
    found, sizes = codes(job, row, seed)
    return SemanticIDs.build(names, found[rows], sizes)


def beams_against_exact(recommender: Recommender[Any], cases: Cases) -> dict[str, Any]:
    """Recall@10 of exact search and of beams, and the share of exact search's items found."""
    some = cases.take(np.random.default_rng(0).permutation(len(cases.targets))[:BEAM_CASES])
    exact = recommender.search(some.histories, 10).rows
    target = torch.from_numpy(some.targets)[:, None]
    found: dict[str, Any] = {"exact": {"recall@10": _share(exact == target)}}
    for beams in BEAMS:
        rows = recommender.search(some.histories, 10, beams=beams).rows
        same = (rows[:, :, None] == exact[:, None]).any(2)
        shared = float(same.float().mean())
        found[str(beams)] = {"recall@10": _share(rows == target), "of exact": shared}
    return found


def _share(hits: torch.Tensor) -> float:
    return float(hits.any(1).float().mean())


def run(job: Job, row: Row, seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train and measure one cell."""
    known = items(job, row, seed)
    withheld = withhold_items(job.log, COLD_SHARE, seed) if job.dataset.cold else None
    log = (withheld.rest if withheld else job.log).positives().k_core(5)
    data = RetrievalData.of(log, known)
    settings = {} if row.recommender == "popularity" else {**row.settings, "seed": seed}
    recommender = model_class("recommender", row.recommender)(**settings)
    fit = recommender.fit(data)
    tested = evaluate(recommender, data.test)
    cell = {
        "settings": recommender.settings.to_dict(),
        "parameters": sum(each.size for each in recommender.tensors().values()),
        "validation": fit.validation,
        "figures": tested.figures,
        "id_level": tested.id_level,
        "history excluded": tested.left_out.figures,
        "coverage": tested.coverage,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "seconds_per_epoch": fit.seconds_per_epoch,
        **provenance(),
    }
    if withheld:
        cold = evaluate(recommender, data.cold_cases(withheld))
        cell["cold"] = {"cases": cold.cases, "items": len(withheld.cold_items), **cold.figures}
    if row.tokenizer:
        cell["beams"] = beams_against_exact(recommender, data.test)
    return cell, {"figure": tested.users["ndcg@10"], "user": tested_users(log, data)}


def tested_users(log: Interactions, data: RetrievalData) -> np.ndarray:
    """``(users,)`` id of each user whom figures are of."""
    ids: np.ndarray = log.users.ids.to_numpy()[np.unique(data.test.users)]
    return ids


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of every figure of a row."""
    row = {each: mean_sd([run["figures"][each] for run in runs]) for each in runs[0]["figures"]}
    excluded = [run["history excluded"]["recall@10"] for run in runs]
    row["recall@10 without history"] = mean_sd(excluded)
    row["coverage"] = mean_sd([run["coverage"] for run in runs])
    if runs[0]["id_level"]:
        row["id recall@10"] = mean_sd([run["id_level"]["recall@10"] for run in runs])
    if "cold" in runs[0]:
        for each in ("recall@10", "ndcg@10"):
            row[f"cold {each}"] = mean_sd([run["cold"][each] for run in runs])
    for beams in runs[0].get("beams", {}):
        for each in runs[0]["beams"][beams]:
            row[f"{beams} {each}"] = mean_sd([run["beams"][beams][each] for run in runs])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--cache", type=Path, default=Path("out/recommenders"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    dataset = DATASETS[arguments.dataset]
    out = arguments.out or RESULTS / f"recommenders_{arguments.dataset}.json"
    log = read_interactions(arguments.data / "interactions.parquet", dataset.columns)
    log = log.positives().k_core(5)
    job = Job(arguments.dataset, dataset, arguments.data, arguments.cache, log)
    rows = [
        name for name in dataset.rows if not arguments.only or name in arguments.only.split("|")
    ]
    for seed in map(int, arguments.seeds.split(",")):
        for name in rows:
            if done(out, name, seed):
                continue
            cell, users = run(job, dataset.rows[name], seed)
            print(name, seed, cell["figures"], cell.get("cold"), flush=True)
            store(out, (name, seed), cell, users, list(dataset.rows), summary)


if __name__ == "__main__":
    main()
