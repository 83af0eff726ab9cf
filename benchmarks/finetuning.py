"""Stage 2: frozen IDs, longer training, fine-tuned IDs; with and without behaviour.

    python benchmarks/finetuning.py toyshop [--seeds 0,1,2] [--only "NAME|.."] [--sweep]
    python benchmarks/finetuning.py retrieval|ranking --data ML1M [--cache out/finetuning] ...
    python benchmarks/finetuning.py beauty --data BEAUTY [--bonuses] ...

For each tokenizer, on the content alone and with behaviour as one more modality (SVD of the shifted
positive mutual information of the training part; items without history borrow it by their content;
IDs have six codes all the same): a recommender on its IDs (*frozen*), the same trained on with the
tokenizer frozen (*longer*, the control), and fine-tuned for as many epochs: alternating
(*fine-tuned*) or at every step (*fine-tuned jointly*). In retrieval also a recommender that lets
items without interactions compete a little (*weight 0.1*) or fully (*weight 1*); on logs of users
also SASRec, on Beauty one whose items have tokens of their own beside their codes (*item tokens*);
in ranking also one that knows items by their codes alone (*no item IDs*). *From scratch* is a
recommender that has learned nothing before. `--sweep` tries settings of stage 2 for MMQ on the
content, seed 0, by the validation part alone. `--bonuses` measures frozen IDs with bonuses for
items without interactions. toyshop is retrieval in a generated shop, another for every seed (101,
102, ...), where the words say a toy's team, the picture shows its badge, and only whether the two
match decides what sells. Beauty is retrieval by titles alone, where an aligned RQ-VAE of the
content is a separated one too. Retrieval withholds 5% of the items, another sample for every seed;
ranking has the log's own split. Fitted tokenizers and recommenders are kept in the cache folder;
every cell is stored when it is done and never run again.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import new_items
import numpy as np
from cells import done, store
from common import RESULTS, mean_sd, provenance, read, write
from finetuning_rows import STAGE2, SWEEP, rows
from finetuning_starts import SETUPS, Kind, Place, Start, Withheld, positives

from mmq.data.sequences import Cases
from mmq.finetuning import FinetuneSettings, finetune
from mmq.ranking import PPNet, evaluate_ranking
from mmq.recommenders import RetrievalData, SASRec, evaluate
from recommenders import SASREC_BEAUTY, SASREC_ML1M, tested_users

SASREC = {
    "retrieval": SASREC_ML1M,
    "beauty": {**SASREC_BEAUTY, "hidden_dim": 64},
}
"""Setups with a row of it."""

BONUSES = (-100.0, -2.0, -1.0, 0.0, 1.0)
"""What --bonuses adds to the scores of items without interactions; at -100 old items are alone."""


class Measured(NamedTuple):
    """Figures of a recommender on the test part, and the selected one of each user."""

    figures: dict[str, Any]
    users: dict[str, np.ndarray]


def sasrec(setup: str, folder: Path, seed: int) -> tuple[Any, Any]:
    """A row of a model that knows items by their tokens alone."""
    rest, data, cold = Withheld.of(positives(setup, folder), seed)
    model = SASRec(**SASREC[setup], seed=seed)
    fit = model.fit(data)
    found = measure_retrieval(model, data, cold, tested_users(rest, data))
    about = {"settings": model.settings.to_dict(), "best_epoch": fit.best_epoch}
    return {**about, "figures": found.figures, **provenance()}, found.users


def measure(start: Start) -> Measured:
    """On the test part, and on cold items."""
    student, data = start.student, start.data
    if isinstance(student, PPNet):
        found = evaluate_ranking(student, data)
        strata = {f"auc {name}": each.auc for name, each in found.strata.items()}
        return Measured({**found.figures, **strata}, {"figure": found.by_user.auc})
    assert start.cold is not None
    assert start.users is not None
    found = measure_retrieval(student, data, start.cold, start.users)
    if start.factors:
        found.figures["pairing"] = pairing(student.semantic_ids.codes, start.factors)
    return found


def measure_retrieval(model: Any, data: RetrievalData, cold: Cases, users: np.ndarray) -> Measured:
    """On the test part, and on items that were withheld."""
    tested = evaluate(model, data.test)
    of_cold = {f"cold {name}": value for name, value in evaluate(model, cold).figures.items()}
    kept = {"figure": tested.users["ndcg@10"], "user": users}
    return Measured({**tested.figures, **of_cold}, kept)


def pairing(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> float:
    """By how many codes more two toys are alike if their pairing, which sells them, is the same.

    Of toys that differ in team and in badge, so that neither words nor picture give it away.
    """
    differ = [factors[name][:, None] != factors[name] for name in ("team", "badge")]
    compared = np.triu(differ[0] & differ[1], 1)
    same = factors["pairing"][:, None] == factors["pairing"]
    shared = sum((column[:, None] == column).astype(np.int16) for column in codes.T)
    return float(shared[compared & same].mean() - shared[compared & ~same].mean())


def unmet_fvu(start: Start) -> float:
    """FVU of the items that nobody liked in the training part; the tokenizer saw their content."""
    _, rows = start.data.positives()
    ids = start.data.item_ids.take(np.setdiff1d(np.arange(len(start.data.item_ids)), rows))
    items = start.catalogue.take(start.catalogue.rows(ids.to_pylist()))
    return float(start.tokenizer.measure(items).fvu)


def cell(start: Start, settings: Mapping[str, Any] | None, seed: int) -> tuple[Any, Any]:
    """A row: the start as it is, or after stage 2."""
    figures: dict[str, Any] = {}
    if settings is not None:
        chosen = FinetuneSettings(**settings, seed=seed)
        fit = finetune(start.tokenizer, start.student, start.data, start.catalogue, chosen)
        figures = {
            "settings": chosen.to_dict(),
            "validation": fit.after,
            "best_epoch": fit.best_epoch,
            "seconds_per_epoch": fit.seconds / len(fit.log),
            "log": fit.log,
        }
    tested = measure(start)
    found = {**figures, "figures": tested.figures, "held_out_fvu": unmet_fvu(start)}
    return {**found, **provenance()}, tested.users


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of every figure of a row."""
    found = {name: mean_sd([run["figures"][name] for run in runs]) for name in runs[0]["figures"]}
    if "held_out_fvu" in runs[0]:
        found["held_out_fvu"] = mean_sd([run["held_out_fvu"] for run in runs])
    if "validation" in runs[0]:
        for name in ("items_moved", "codes_moved", "colliding", "utilisation", "fvu"):
            found[name] = mean_sd([run["validation"][name] for run in runs])
    return found


class Job(NamedTuple):
    """What is to be done.

    Attributes:
        setup: which data.
        data: folder of it.
        cache: folder of starts.
        out: JSON of the results.
        seeds: of the cells.
        only: names of rows; empty for all.
    """

    setup: str
    data: Path
    cache: Path
    out: Path
    seeds: list[int]
    only: list[str]

    def start(self, kind: Kind, seed: int) -> Start:
        """What a row starts from."""
        return SETUPS[self.setup](self.data, Place(self.setup, kind, seed, self.cache))

    def wants(self, name: str) -> bool:
        """Whether a row was asked for."""
        return not self.only or name in self.only


def rows_of(job: Job) -> None:
    """Make the cells of the table."""
    known = rows(job.setup)
    order = [*(["SASRec"] if job.setup in SASREC else []), *known]
    for seed, name in itertools.product(job.seeds, filter(job.wants, order)):
        if done(job.out, name, seed):
            continue
        if name == "SASRec":
            found, users = sasrec(job.setup, job.data, seed)
        else:
            found, users = cell(job.start(known[name].kind, seed), known[name].settings, seed)
        print(name, seed, found["figures"], flush=True)
        store(job.out, (name, seed), found, users, order, summary)


def sweep(job: Job) -> None:
    """Validation figures of settings of stage 2, MMQ on the content, seed 0."""
    for name, changes in SWEEP[job.setup].items():
        if name in read(job.out).get("sweep", {}):
            continue
        start = job.start(Kind("MMQ", False), 0)
        chosen = FinetuneSettings(**{**STAGE2[job.setup], **changes})
        fit = finetune(start.tokenizer, start.student, start.data, start.catalogue, chosen)
        selected = [round(each.get("ndcg@10", each.get("auc", 0.0)), 4) for each in fit.log]
        print(name, selected, [round(each["codes_moved"], 3) for each in fit.log], flush=True)
        stored = read(job.out) or {"cells": {}}  # by now others may have stored something too
        stored.setdefault("sweep", {})[name] = {
            "before": fit.before, "after": fit.after, "log": fit.log,
        }  # fmt: skip
        write(job.out, stored)


def bonuses(job: Job) -> None:
    """What frozen IDs find of old and new items with a bonus for new ones, for all tokenizers."""
    frozen = {
        name: row.kind
        for name, row in rows(job.setup).items()
        if job.wants(name) and row.settings is None and not row.kind.model
    }
    for (name, kind), seed in itertools.product(frozen.items(), job.seeds):
        if str(seed) in read(job.out).get("bonuses", {}).get("cells", {}).get(name, {}):
            continue
        start = job.start(kind, seed)
        assert start.cold is not None
        found = new_items.curve(start.student, start.data.test, start.cold, BONUSES)
        print(name, seed, found, flush=True)
        stored = read(job.out) or {"cells": {}}
        kept = stored.setdefault("bonuses", {"cells": {}})
        kept["cells"].setdefault(name, {})[str(seed)] = {"bonus": found, **provenance()}
        kept["summary"] = new_items.summary(kept["cells"])
        write(job.out, stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("setup", choices=SETUPS)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--bonuses", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("out/finetuning"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    setup = arguments.setup
    if arguments.sweep and setup not in SWEEP:
        parser.error(f"there is no sweep of {setup}; take one of {', '.join(SWEEP)}")
    if arguments.bonuses and setup == "ranking":
        parser.error("bonuses are for retrieval; take another setup")
    out = arguments.out or RESULTS / f"finetuning_{setup}.json"
    seeds = [int(each) for each in arguments.seeds.split(",")]
    only = [each for each in arguments.only.split("|") if each]
    job = Job(setup, arguments.data, arguments.cache, out, seeds, only)
    make = sweep if arguments.sweep else bonuses if arguments.bonuses else rows_of
    make(job)


if __name__ == "__main__":
    main()
