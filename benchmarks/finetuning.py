"""Stage 2 on real logs: frozen IDs, longer training, fine-tuned IDs; with and without behaviour.

    python benchmarks/finetuning.py toyshop [--seeds 0,1,2] [--only "NAME|.."] [--sweep]
    python benchmarks/finetuning.py retrieval|ranking --data ML1M [--cache out/finetuning] ...

For each tokenizer, on the content alone and with behaviour as one more modality (SVD of the shifted
positive mutual information of the training part; items without history borrow it by their content;
IDs have six codes all the same): a recommender on its IDs (*frozen*), the same trained on with the
tokenizer frozen (*longer*, the control), and fine-tuned for as many epochs: by turns (*fine-tuned*)
or at every step (*fine-tuned jointly*). In retrieval also a recommender that lets items that nobody
met compete a little (*weight 0.1*) or fully (*weight 1*). *From scratch* is a recommender that has
learned nothing before. `--sweep` tries settings of stage 2 for
MMQ on the content, seed 0, by the validation part alone. toyshop is retrieval in a generated shop,
another one for every seed (101, 102, ...), where the words say a toy's team, the picture shows its
badge, and only whether the two match decides what sells. Retrieval withholds 5% of the items,
another sample for every seed; ranking has the log's own split. Fitted tokenizers and recommenders
are kept in the cache folder; every cell is stored when it is done and never run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from cells import done, store
from common import RESULTS, mean_sd, provenance, read, write

from mmq import Catalogue, SemanticIDs
from mmq.data.cold import withhold_items
from mmq.data.datasets.toyshop import ToyshopSettings, toyshop
from mmq.data.interactions import Interactions, read_interactions
from mmq.data.sequences import Cases
from mmq.encoders.behaviour import embed_behaviour
from mmq.encoders.predicted import learn_prediction
from mmq.encoders.toyshop import embed_toyshop
from mmq.finetuning import FinetuneSettings, finetune
from mmq.ranking import Pieces, PPNet, RankingData, evaluate_ranking, load_ranker, save_ranker
from mmq.recommenders import HeterRec, RetrievalData, SplitSettings, evaluate, load_recommender
from mmq.recommenders.folder import save_recommender
from mmq.tokenizers import load_tokenizer, tokenizer_class
from mmq.tokenizers.evaluation import reconstruction
from mmq.tokenizers.inputs import unit_inputs
from ranking import BASE
from recommenders import COLD_SHARE, CYCLE, DATASETS, HETERREC_ML1M, tested_users

DATA = DATASETS["ml1m"]
TOKENIZERS = {"MMQ": "mmq", "MA-RQ-VAE": "rqvae", "MS-RQ-VAE": "rqvae"}
SIX_CODES = {"specific_experts": {"text": 1, "image": 1, "behaviour": 2}}
"""MMQ's experts where behaviour is a modality; RQ-VAE shares its six positions by itself."""

TOYSHOP = {"items": 1500, "shoppers": 4000}
FIRST_SHOP = 101
HETERREC_TOYSHOP = {
    **CYCLE, "hidden_dim": 64, "history": 20, "token_layers": 1, "epochs": 15, "dropout": 0.5,
}  # fmt: skip

STAGE2: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "toyshop": {"epochs": 6, "learning_rate": 5e-4},
        "retrieval": {"epochs": 3},
        "ranking": {"epochs": 4},
    }
)
"""What all rows of stage 2 share; the rest are the defaults."""

FROM_SCRATCH: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "toyshop": {
            "longer": {"epochs": 21, "tokenizer_rate": 0.0},
            "fine-tuned": {"epochs": 21, "tokenizer_rate": 0.025},
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

WEIGHTS = (0.1, 1.0)
"""Of items that nobody met among the competitors: a little, and as if they had been refused."""

SWEEP: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "longer": {"tokenizer_rate": 0.0},
        "alternating": {},
        "alternating, rate 0.03": {"tokenizer_rate": 0.03},
        "alternating, rate 0.3": {"tokenizer_rate": 0.3},
        "alternating, weight 1": {"behaviour_weight": 1.0},
        "alternating, weight 100": {"behaviour_weight": 100.0},
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
    }
)  # fmt: skip
"""What --sweep tries."""


class Start(NamedTuple):
    """What a fine-tuning starts from.

    Attributes:
        catalogue: the items of the recommender, behaviour among the modalities or not.
        tokenizer: fitted to it.
        student: the recommender of its IDs.
        data: what it was fitted to.
        cold: cases of items that were withheld.
        users: ids of those whom figures are of.
        factors: what is true of every item, where that is known.
    """

    catalogue: Catalogue
    tokenizer: Any
    student: Any
    data: Any
    cold: Cases | None
    users: np.ndarray | None
    factors: Mapping[str, np.ndarray] = MappingProxyType({})


class Measured(NamedTuple):
    """Figures of a recommender on the test part, and the selected one of each user."""

    figures: dict[str, Any]
    users: dict[str, np.ndarray]


def retrieval(folder: Path, place: Place) -> Start:
    """HeterRec on IDs of a tokenizer, on ML-1M."""
    log = read_interactions(folder / "interactions.parquet", DATA.columns).positives().k_core(5)
    return of_log(place, log, DATA.catalogue(folder), HETERREC_ML1M)


def shop(_: Path, place: Place) -> Start:
    """The same in a generated shop."""
    made = toyshop(ToyshopSettings(**TOYSHOP, seed=FIRST_SHOP + place.seed))
    log = Interactions.build(made.interactions).positives().k_core(5)
    items = embed_toyshop(made)
    start = of_log(place, log, items, HETERREC_TOYSHOP)
    rows = items.rows(start.student.semantic_ids.item_ids.to_pylist())
    assert start.users is not None
    factors = {key: levels[rows] for key, levels in made.factors.items()}
    users = start.users + place.seed * TOYSHOP["shoppers"]  # other shops have other shoppers
    return start._replace(users=users, factors=factors)


class Place(NamedTuple):
    """Which start, and where it is kept: a tokenizer, and a recommender of its IDs.

    Attributes:
        cache: folder of both.
        name: of the tokenizer.
        behaviour: whether that is one more modality.
        weight: of items that nobody met, in the recommender's training.
        trained: whether the recommender has learned yet.
        seed: of all.
    """

    cache: Path
    name: str
    behaviour: bool
    weight: float
    trained: bool
    seed: int


def of_log(place: Place, log: Interactions, items: Catalogue, settings: Mapping[str, Any]) -> Start:
    """A tokenizer of the items of a log, and HeterRec on its IDs; some items are withheld."""
    items = items.take(items.rows(log.items.ids.to_pylist()))
    withheld = withhold_items(log, COLD_SHARE, place.seed)
    rest = withheld.rest.positives().k_core(5)
    plain = RetrievalData.of(rest, items.item_ids)
    if place.behaviour:
        items = with_behaviour(items, plain)
    tokenizer = fitted(place, items)
    ids = SemanticIDs.build(items.item_ids, tokenizer.encode(items), tokenizer.codebook_sizes)
    data = plain._replace(ids=ids)
    kept = f"model, weight {place.weight:g}" if place.weight else "model"
    model = place.cache / (kept if place.trained else "untrained")
    if not model.exists():
        epochs = {} if place.trained else {"epochs": 0}
        made = HeterRec(**{**settings, **epochs}, unmet_weight=place.weight, seed=place.seed)
        fit = made.fit(data)
        save_recommender(made, model, fit=fit)
    users = tested_users(rest, data)
    cold = data.cold_cases(withheld)
    return Start(items, tokenizer, load_recommender(model), data, cold, users)


def ranking(folder: Path, place: Place) -> Start:
    """PPNet on item IDs and IDs of a tokenizer."""
    file = folder / "interactions.parquet"
    data = RankingData.of(Pieces.open(file, DATA.columns))
    items = DATA.catalogue(folder)
    items = items.take(items.rows(data.item_ids.to_pylist()))
    if place.behaviour:
        split = SplitSettings(split="stored", min_interactions=0)
        log = read_interactions(file, DATA.columns)
        items = with_behaviour(items, RetrievalData.of(log, items.item_ids, split))
    tokenizer = fitted(place, items)
    ids = SemanticIDs.build(items.item_ids, tokenizer.encode(items), tokenizer.codebook_sizes)
    model = place.cache / "model"
    if not model.exists():
        made = PPNet(**BASE, seed=place.seed)
        fit = made.fit(data, ids)
        save_ranker(made, model, fit=fit)
    return Start(items, tokenizer, load_ranker(model), data, None, None)


ROOMS: dict[str, Callable[[Path, Place], Start]] = {
    "toyshop": shop,
    "retrieval": retrieval,
    "ranking": ranking,
}


def with_behaviour(items: Catalogue, data: RetrievalData) -> Catalogue:
    """The catalogue with what users did in the training part as one more modality."""
    found = embed_behaviour(data.train, len(items))
    if not found.present.all():
        found = learn_prediction([items], found).complete(items, found)
    return Catalogue(
        items.item_ids,
        {**items.embeddings, "behaviour": found.matrix},
        {**items.present, "behaviour": found.present},
    )


def fitted(place: Place, items: Catalogue) -> Any:
    """The tokenizer, fitted once, without refinement so that its codes have a gradient."""
    folder = place.cache / "tokenizer"
    if not folder.exists():
        data_set = "toyshop" if place.cache.name.startswith("toyshop") else "ml1m"
        tuned = read(RESULTS / f"quantisers_{data_set}.json")["tuning"][place.name]["settings"]
        six = SIX_CODES if place.name == "MMQ" and place.behaviour else {}
        settings = {**tuned, **six, "refinement": 0, "seed": place.seed}
        tokenizer = tokenizer_class(TOKENIZERS[place.name])(**settings)
        tokenizer.fit(items)
        tokenizer.save(folder)
    return load_tokenizer(folder)


def measure(start: Start) -> Measured:
    """On the test part, and on cold items."""
    student, data = start.student, start.data
    if isinstance(student, PPNet):
        found = evaluate_ranking(student, data)
        strata = {f"auc {name}": each.auc for name, each in found.strata.items()}
        return Measured({**found.figures, **strata}, {"figure": found.by_user.auc})
    assert start.cold is not None
    assert start.users is not None
    tested = evaluate(student, data.test)
    cold = evaluate(student, start.cold).figures
    figures = {**tested.figures, **{f"cold {name}": value for name, value in cold.items()}}
    if start.factors:
        figures["pairing"] = pairing(student.semantic_ids.codes, start.factors)
    return Measured(figures, {"figure": tested.users["ndcg@10"], "user": start.users})


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
    """A row: what it starts from, and its settings of stage 2; None stays at the start."""

    name: str
    behaviour: bool
    settings: dict[str, Any] | None = None
    weight: float = 0.0
    trained: bool = True

    def place(self, room: str, cache: Path, seed: int) -> Place:
        """Where its start is kept."""
        kept = cache / f"{room} {self.name}{' behaviour' * self.behaviour} {seed}"
        return Place(kept, self.name, self.behaviour, self.weight, self.trained, seed)


def rows(room: str) -> dict[str, Row]:
    """The rows of a table, by name."""
    stages = {
        "frozen": None,
        "longer": {**STAGE2[room], "tokenizer_rate": 0.0},
        "fine-tuned": dict(STAGE2[room]),
        "fine-tuned jointly": {**STAGE2[room], "mode": "joint"},
    }
    found = {}
    for name in TOKENIZERS:
        for behaviour in (False, True):
            known = f"{name}{' with behaviour' * behaviour}"
            found |= {f"{known}, {each}": Row(name, behaviour, how) for each, how in stages.items()}
            if room != "ranking":
                for weight in WEIGHTS:
                    row = Row(name, behaviour, weight=weight)
                    found[f"{known}, frozen, weight {weight:g}"] = row
    for each, how in FROM_SCRATCH.get(room, {}).items():
        settings = {**how, "patience": how["epochs"]}
        for behaviour in (False, True):
            known = f"MMQ{' with behaviour' * behaviour}, from scratch, {each}"
            found[known] = Row("MMQ", behaviour, settings, trained=False)
    return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sd over the seeds of every figure of a row."""
    found = {name: mean_sd([run["figures"][name] for run in runs]) for name in runs[0]["figures"]}
    found["held_out_fvu"] = mean_sd([run["held_out_fvu"] for run in runs])
    if "validation" in runs[0]:
        for name in ("items_moved", "codes_moved", "colliding", "utilisation", "fvu"):
            found[name] = mean_sd([run["validation"][name] for run in runs])
    return found


def sweep(room: str, folder: Path, cache: Path, out: Path) -> None:
    """Validation figures of settings of stage 2, MMQ on the content, seed 0."""
    stored = read(out) or {"cells": {}}
    done = stored.setdefault("sweep", {})
    for name, changes in SWEEP.items():
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("out/finetuning"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    room = arguments.room
    out = arguments.out or RESULTS / f"finetuning_{room}.json"
    if arguments.sweep:
        sweep(room, arguments.data, arguments.cache, out)
        return
    known = rows(room)
    for seed in map(int, arguments.seeds.split(",")):
        for name, row in known.items():
            chosen = not arguments.only or name in arguments.only.split("|")
            if not chosen or done(out, name, seed):
                continue
            start = ROOMS[room](arguments.data, row.place(room, arguments.cache, seed))
            found, users = cell(start, row.settings, seed)
            print(name, seed, found["figures"], flush=True)
            store(out, (name, seed), found, users, list(known), summary)


if __name__ == "__main__":
    main()
