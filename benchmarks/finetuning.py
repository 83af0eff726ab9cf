"""Stage 2 on real logs: frozen IDs, longer training, fine-tuned IDs; with and without behaviour.

    python benchmarks/finetuning.py toyshop [--seeds 0,1,2] [--only "NAME|.."] [--sweep]
    python benchmarks/finetuning.py retrieval|ranking --data ML1M [--cache out/finetuning] ...
    python benchmarks/finetuning.py beauty --data BEAUTY [--bonuses] ...

For each tokenizer, on the content alone and with behaviour as one more modality (SVD of the shifted
positive mutual information of the training part; items without history borrow it by their content;
IDs have six codes all the same): a recommender on its IDs (*frozen*), the same trained on with the
tokenizer frozen (*longer*, the control), and fine-tuned for as many epochs: by turns (*fine-tuned*)
or at every step (*fine-tuned jointly*). In retrieval also a recommender that lets items that nobody
met compete a little (*weight 0.1*) or fully (*weight 1*), one whose items have tokens of their own
beside their codes (*item tokens*), and SASRec; in ranking also one that knows items by their codes
alone (*no item IDs*). *From scratch* is a recommender that has learned nothing before. `--sweep`
tries settings of stage 2 for MMQ on the content, seed 0, by the validation part alone. `--bonuses`
measures frozen IDs with bonuses for items that nobody met. toyshop is retrieval in a generated
shop, another one for every seed (101, 102, ...), where the words say a toy's team, the picture
shows its badge, and only whether the two match decides what sells. Beauty is retrieval by titles
alone, where an aligned RQ-VAE of the content is a separated one too. Retrieval withholds 5% of the
items, another sample for every seed; ranking has the log's own split. Fitted tokenizers and
recommenders are kept in the cache folder; every cell is stored when it is done and never run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import new_items
import numpy as np
from cells import done, store
from common import RESULTS, mean_sd, provenance, read, write
from finetuning_starts import HETERREC_BEAUTY, ROOMS, TOKENIZERS, Place, Start, Withheld, liked

from mmq.data.sequences import Cases
from mmq.finetuning import FinetuneSettings, finetune
from mmq.ranking import PPNet, evaluate_ranking
from mmq.recommenders import RetrievalData, SASRec, evaluate
from mmq.tokenizers.evaluation import reconstruction
from mmq.tokenizers.inputs import unit_inputs
from recommenders import SASREC_BEAUTY, SASREC_ML1M, tested_users

SASREC = {
    "retrieval": SASREC_ML1M,
    "beauty": {**SASREC_BEAUTY, "hidden_dim": 64},
}

STAGE2: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "toyshop": {"epochs": 6, "learning_rate": 5e-4},
        "retrieval": {"epochs": 3},
        "ranking": {"epochs": 4},
        "beauty": {"epochs": 3},
    }
)
"""What all rows of stage 2 share; the rest are the defaults."""

FROM_SCRATCH: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "toyshop": {
            "longer": {"epochs": 21, "tokenizer_rate": 0.0},
            "fine-tuned": {"epochs": 21, "tokenizer_rate": 0.125},
            "fine-tuned jointly": {"epochs": 21, "mode": "joint", "tokenizer_rate": 0.00075},
        },
        "retrieval": {
            "longer": {"epochs": 8, "tokenizer_rate": 0.0},
            "fine-tuned": {"epochs": 8},
        },
    }
)
"""Stage 2 with a recommender that has learned nothing: as many epochs as both stages of the others
have, at the rate of the first, and the tokenizer at the rate that it has in theirs."""

NO_ITEM_IDS = {"item_id": False}
"""A ranker that knows items by their codes alone."""
CONVERGED = {"epochs": 20}
"""ML-1M: a recommender that has nothing to gain from longer training at its own rate."""
AT_REST = {"learning_rate": 5e-4}
"""Stage 2 after it, which must not undo what was learned."""

WEIGHTS = (0.1, 1.0)
"""Of items that nobody met among the competitors: a little, and as if they had been refused."""

BONUSES = (-100.0, -2.0, -1.0, 0.0, 1.0)
"""What --bonuses adds to the scores of items that nobody met; at -100 old items are alone."""

SWEEP: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "toyshop": {
            "longer": {"tokenizer_rate": 0.0},
            "alternating": {},
            "alternating, rate 0.1": {"tokenizer_rate": 0.1},
            "alternating, rate 2": {"tokenizer_rate": 2.0},
            "alternating, weight 0": {"behaviour_weight": 0.0},
            "alternating, weight 10": {"behaviour_weight": 10.0},
            "alternating, nothing wanted": {"wanted_weight": 0.0},
            "alternating, 2 nearest": {"nearest": 2},
            "alternating, 16 nearest": {"nearest": 16},
            "alternating, tau 0.07": {"temperature": 0.07},
            "alternating, undisturbed": {"input_noise": 0.0},
            "alternating, anchor 5": {"reconstruction_weight": 5.0, "auxiliary_weight": 5.0},
            "joint, rate 0.003": {"mode": "joint"},
            "joint, rate 0.01": {"mode": "joint", "tokenizer_rate": 0.01},
            "joint, rate 0.03": {"mode": "joint", "tokenizer_rate": 0.03},
            "joint, rate 0.1": {"mode": "joint", "tokenizer_rate": 0.1},
            "joint, detached targets": {
                "mode": "joint", "tokenizer_rate": 0.03, "target_codes": "detached",
            },
            "joint, tau 0.03": {"mode": "joint", "tokenizer_rate": 0.03, "temperature": 0.03},
            "joint, no anchor": {
                "mode": "joint", "tokenizer_rate": 0.03, "reconstruction_weight": 0.0,
                "auxiliary_weight": 0.0,
            },
            "joint, noise 0.5": {"mode": "joint", "tokenizer_rate": 0.03, "noise": 0.5},
            "joint, 4 refreshes": {"mode": "joint", "tokenizer_rate": 0.03, "refreshes": 4},
        },
        "ranking": {
            "longer": {"tokenizer_rate": 0.0},
            "longer, learning rate 1e-4": {"tokenizer_rate": 0.0, "learning_rate": 1e-4},
            "alternating": {},
            "alternating, learning rate 1e-4": {"learning_rate": 1e-4, "tokenizer_rate": 5.0},
            "alternating, rate 0.1": {"tokenizer_rate": 0.1},
            "joint, rate 0.003": {"mode": "joint"},
            "joint, rate 0.03": {"mode": "joint", "tokenizer_rate": 0.03},
            "joint, rate 0.3": {"mode": "joint", "tokenizer_rate": 0.3},
            "joint, learning rate 1e-4": {
                "mode": "joint", "learning_rate": 1e-4, "tokenizer_rate": 0.3,
            },
        },
    }
)  # fmt: skip
"""What --sweep tries in a room."""


class Measured(NamedTuple):
    """Figures of a recommender on the test part, and the selected one of each user."""

    figures: dict[str, Any]
    users: dict[str, np.ndarray]


def sasrec(room: str, folder: Path, seed: int) -> tuple[Any, Any]:
    """A row of a model that knows items by their tokens alone."""
    rest, data, cold = Withheld.of(liked(room, folder), seed)
    model = SASRec(**SASREC[room], seed=seed)
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


def held_out_fvu(start: Start) -> float:
    """FVU of the items that no user of the training part met, from which stage 2 learns nothing."""
    _, rows = start.data.liked()
    ids = start.data.item_ids.take(np.setdiff1d(np.arange(len(start.data.item_ids)), rows))
    items = start.catalogue.take(start.catalogue.rows(ids.to_pylist()))
    return reconstruction(
        start.tokenizer.network, *unit_inputs(items, start.tokenizer.dimensions)
    ).fvu


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
    found = {**figures, "figures": tested.figures, "held_out_fvu": held_out_fvu(start)}
    return {**found, **provenance()}, tested.users


class Row(NamedTuple):
    """A row: what it starts from, and its settings of stage 2; None stays at the start.

    Attributes:
        name: of the tokenizer.
        behaviour: whether that is one more modality.
        settings: of stage 2.
        model: settings of the recommender that differ from the usual ones.
        kept: name of the recommender's folder.
    """

    name: str
    behaviour: bool
    settings: dict[str, Any] | None = None
    model: Mapping[str, Any] = MappingProxyType({})
    kept: str = "model"

    def place(self, room: str, cache: Path, seed: int) -> Place:
        """Where its start is kept."""
        folder = cache / f"{room} {self.name}{' behaviour' * self.behaviour} {seed}"
        return Place(room, folder, self.name, self.behaviour, self.model, self.kept, seed)


def rows(room: str) -> dict[str, Row]:
    """The rows of a table, by name; SASRec, where it is one, has a maker of its own."""
    stages = {
        "frozen": None,
        "longer": {**STAGE2[room], "tokenizer_rate": 0.0},
        "fine-tuned": dict(STAGE2[room]),
        "fine-tuned jointly": {**STAGE2[room], "mode": "joint"},
    }
    found = {}
    for name in TOKENIZERS:
        for behaviour in (False, True):
            if room == "beauty" and name == "MS-RQ-VAE" and not behaviour:
                continue  # of one modality it is the aligned one
            known = f"{name}{' with behaviour' * behaviour}"
            found |= {f"{known}, {each}": Row(name, behaviour, how) for each, how in stages.items()}
            if room == "ranking":
                continue
            for weight in WEIGHTS:
                kept = f"model, weight {weight:g}"
                row = Row(name, behaviour, None, {"unmet_weight": weight}, kept)
                found[f"{known}, frozen, weight {weight:g}"] = row
            if room == "beauty":  # as many epochs as frozen and longer together
                epochs = HETERREC_BEAUTY["epochs"] + STAGE2[room]["epochs"]
                model = {"item_token": True, "epochs": epochs}
                found[f"{known}, item tokens"] = Row(name, behaviour, None, model, "tokens")
    if room == "retrieval":
        for each, how in stages.items():
            settings = None if how is None else {**how, **AT_REST}
            for behaviour in (False, True):
                known = f"MMQ{' with behaviour' * behaviour}, 20 epochs, {each}"
                found[known] = Row("MMQ", behaviour, settings, CONVERGED, "converged")
    if room == "ranking":
        for behaviour in (False, True):
            for each, how in stages.items():
                known = f"MMQ{' with behaviour' * behaviour}, no item IDs, {each}"
                found[known] = Row("MMQ", behaviour, how, NO_ITEM_IDS, "no item IDs")
    for each, how in FROM_SCRATCH.get(room, {}).items():
        settings = {**how, "patience": how["epochs"]}
        for behaviour in (False, True):
            known = f"MMQ{' with behaviour' * behaviour}, from scratch, {each}"
            found[known] = Row("MMQ", behaviour, settings, {"epochs": 0}, "untrained")
    return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of every figure of a row."""
    found = {name: mean_sd([run["figures"][name] for run in runs]) for name in runs[0]["figures"]}
    if "held_out_fvu" in runs[0]:
        found["held_out_fvu"] = mean_sd([run["held_out_fvu"] for run in runs])
    if "validation" in runs[0]:
        for name in ("items_moved", "codes_moved", "colliding", "utilisation", "fvu"):
            found[name] = mean_sd([run["validation"][name] for run in runs])
    return found


def sweep(room: str, folder: Path, cache: Path, out: Path) -> None:
    """Validation figures of settings of stage 2, MMQ on the content, seed 0."""
    stored = read(out) or {"cells": {}}
    done = stored.setdefault("sweep", {})
    for name, changes in SWEEP[room].items():
        if name in done:
            continue
        start = ROOMS[room](folder, Row("MMQ", False).place(room, cache, 0))
        chosen = FinetuneSettings(**{**STAGE2[room], **changes})
        fit = finetune(start.tokenizer, start.student, start.data, start.catalogue, chosen)
        done[name] = {"before": fit.before, "after": fit.after, "log": fit.log}
        selected = [round(each.get("ndcg@10", each.get("auc", 0.0)), 4) for each in fit.log]
        moved = [round(each["codes_moved"], 3) for each in fit.log]
        print(name, selected, moved, flush=True)
        write(out, stored)


def bonuses(room: str, folder: Path, cache: Path, seeds: list[int], out: Path) -> None:
    """What frozen IDs find of old and new items with a bonus for new ones, for all tokenizers."""
    stored = read(out) or {"cells": {}}
    kept = stored.setdefault("bonuses", {"cells": {}})
    for name, row in rows(room).items():
        if row.settings is not None or row.model:
            continue
        for seed in seeds:
            runs = kept["cells"].setdefault(name, {})
            if str(seed) in runs:
                continue
            start = ROOMS[room](folder, row.place(room, cache, seed))
            assert start.cold is not None
            found = new_items.curve(start.student, start.data.test, start.cold, BONUSES)
            print(name, seed, found, flush=True)
            runs[str(seed)] = {"bonus": found, **provenance()}
            kept["summary"] = new_items.summary(kept["cells"])
            write(out, stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--bonuses", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("out/finetuning"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    room = arguments.room
    out = arguments.out or RESULTS / f"finetuning_{room}.json"
    if arguments.sweep:
        sweep(room, arguments.data, arguments.cache, out)
        return
    seeds = [int(each) for each in arguments.seeds.split(",")]
    if arguments.bonuses:
        bonuses(room, arguments.data, arguments.cache, seeds, out)
        return
    known = rows(room)
    order = [*(["SASRec"] if room in SASREC else []), *known]
    for seed in seeds:
        for name in order:
            chosen = not arguments.only or name in arguments.only.split("|")
            if not chosen or done(out, name, seed):
                continue
            if name == "SASRec":
                found, users = sasrec(room, arguments.data, seed)
            else:
                row = known[name]
                start = ROOMS[room](arguments.data, row.place(room, arguments.cache, seed))
                found, users = cell(start, row.settings, seed)
            print(name, seed, found["figures"], flush=True)
            store(out, (name, seed), found, users, order, summary)


if __name__ == "__main__":
    main()
