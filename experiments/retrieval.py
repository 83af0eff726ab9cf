"""Retrieval models on real histories: the leaderboard, and HeterRec on every tokenizer's IDs.

Histories are 5-core, of ML-1M those rated above 3, split by leave-one-out. On ML-1M a random 5% of
the items, another for every seed, is withheld from the log altogether; their interactions are the
cold cases. All items compete in every ranking. No tokenizer sees an interaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from experiments.cells import Made
from experiments.data import CATALOGUES, LOGS, World, items_of, world
from experiments.experiment import Context, Experiment
from experiments.origin import peak_memory, restart_peak
from experiments.quantisers import settings_found
from mmq import Catalogue, MMQTokenizer, SemanticIDs
from mmq.data._sequences import Cases
from mmq.made_from import Checkpoint
from mmq.model import kinds, model_class
from mmq.recommenders import Evaluation, Recommender, evaluate
from mmq.tokenizers import Tokenizer

Settings = Mapping[str, Any]
NOTHING: Settings = MappingProxyType({})
DEFAULT = "MMQ at its defaults"
"""One tokenizer for all seeds."""
BEAMS = (10, 20, 50, 200, 1000)
BEAM_CASES = 2000
"""Cases on which beam search is compared with exact search."""


class Row(NamedTuple):
    """A recommender, and the tokenizer whose IDs it reads.

    Attributes:
        data: a key of :data:`~experiments.data.LOGS`.
        kind: of recommender.
        settings: that are not its defaults.
        tokenizer: :data:`DEFAULT`, or a row of the quantisers, whose tuned settings it has.
        codes: settings of the tokenizer that differ.
        searched: whether beams are compared with exact search.
    """

    data: str
    kind: str
    settings: Settings = NOTHING
    tokenizer: str = ""
    codes: Settings = NOTHING
    searched: bool = False


# --- the IDs ---


def default_ids(data: str, context: Context) -> SemanticIDs:
    """Of all items, by MMQ at its defaults, seed 0."""
    items = CATALOGUES[data](context.data)

    def fit() -> Tokenizer[Any]:
        tokenizer = MMQTokenizer(seed=0)
        tokenizer.fit(items)
        return tokenizer

    return ids_of(Tokenizer.load(context.kept(f"{data} {DEFAULT}", fit)), items)


def tuned_ids(row: Row, context: Context) -> SemanticIDs:
    """Of all items, by a tuned tokenizer, without refinement: ordered codes stay ordered."""
    items, seed = CATALOGUES[row.data](context.data), context.seed

    def fit() -> Tokenizer[Any]:
        kind = KIND[row.tokenizer.removeprefix("MA-").removeprefix("MS-")]
        way = {"learning": "gradient"} if kind == "mmq" else {}
        found = settings_found(row.data, row.tokenizer)
        settings = {**way, **found, **row.codes, "seed": seed}
        plain = {} if kind == "opq" else {"refinement": 0}
        tokenizer: Tokenizer[Any] = model_class("tokenizer", kind)(**{**settings, **plain})
        tokenizer.fit(items)
        return tokenizer

    name = " ".join([row.data, row.tokenizer, *(f"{k} {v}" for k, v in row.codes.items())])
    return ids_of(Tokenizer.load(context.kept(f"{name} {seed}", fit)), items)


def ids_of(tokenizer: Any, items: Catalogue) -> SemanticIDs:
    """Those that a tokenizer gives."""
    return SemanticIDs.build(items.item_ids, tokenizer.encode(items), tokenizer.codebook_sizes)


KIND = {made.label: kind for kind, made in kinds("tokenizer").items()}


def known_items(row: Row, met: set[Any], context: Context) -> Any:
    """The items of the log, in the catalogue's order, with their IDs where the row reads them."""
    if not row.tokenizer:
        every = (each["item"] for each in items_of(context.data / LOGS[row.data].folder))
        return [item for item in every if item in met]
    default = row.tokenizer == DEFAULT
    ids = default_ids(row.data, context) if default else tuned_ids(row, context)
    every = ids.item_ids.to_pylist()
    rows = [place for place, item in enumerate(every) if item in met]
    names = [every[place] for place in rows]
    return SemanticIDs.build(names, ids.codes[rows], ids.codebook_sizes)


# --- a cell ---


def trained(row: Row, context: Context) -> Made:
    """Train a recommender and measure it: figures, cost, and NDCG@10 of single users."""
    log = LOGS[row.data].liked(context.data)
    items = known_items(row, set(log.items.ids.to_pylist()), context)
    split = world(log, items, context.seed if LOGS[row.data].cold else None)
    settings = dict(row.settings)
    recommender: Recommender[Any] = model_class("recommender", row.kind)(
        device="cpu", **settings, **({} if row.kind in SEEDLESS else {"seed": context.seed})
    )
    cost = fitted(recommender, split, context)
    made = measured(recommender, split)
    more = {"beams": beams_against_exact(recommender, split.data.test)} if row.searched else {}
    figures = {**made.figures, **cost, **more}
    return Made(recommender.settings.to_dict(), figures, made.users, recommender.log)


def fitted(model: Recommender[Any], split: World, context: Context) -> dict[str, Any]:
    """Train a model; what that gave, and what it cost where it was not killed on the way."""
    file = context.places.unfinished / "recommender"
    whole = not file.exists()
    restart_peak()
    started, work = time.monotonic(), time.process_time()
    fit = model.fit(split.data, Checkpoint(file, resume=True))
    cost = {
        "seconds": time.monotonic() - started,
        "processor_seconds": time.process_time() - work,
        "peak_mb": peak_memory(),
    }
    return {
        "parameters": sum(each.size for each in model.tensors().values()),
        "validation": fit.validation,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        **(cost if whole else {}),
    }


def measured(model: Any, split: World) -> Made:
    """Figures under both protocols, of the test and of cold items; NDCG@10 of single users."""
    tested = evaluate(model, split.data.test)
    figures: dict[str, Any] = {**both(tested), "id_level": tested.id_level}
    if split.cold is not None:
        figures["cold"] = {
            "cases": len(split.cold.targets), **both(evaluate(model, split.cold)),
        }  # fmt: skip
    return Made({}, figures, {"figure": tested.users["ndcg@10"], "user": split.users})


def both(found: Evaluation) -> dict[str, Any]:
    """Figures under both protocols."""
    return {
        "history_competes": {**found.figures, "coverage": found.coverage},
        "history_left_out": {**found.left_out.figures, "coverage": found.left_out.coverage},
    }


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


# --- rows ---

SEEDLESS = ("popularity", "item-knn", "ease")
REDUCED: Settings = {"hidden_dim": 64, "token_layers": 1, "epochs": 8}
"""HeterRec's rows are dear: its default is twice as wide and trained longer."""


def leaderboard(data: str) -> Experiment:
    """All recommenders with the settings of the command line, but for HeterRec."""
    rows = {
        "Popularity": Row(data, "popularity"),
        "Item-kNN": Row(data, "item-knn"),
        "EASE": Row(data, "ease"),
        "SASRec": Row(data, "sasrec"),
        "HeterRec, codes alone": Row(data, "heterrec", {**REDUCED, "item_token": False}, DEFAULT),
        "HeterRec, item tokens": Row(data, "heterrec", {**REDUCED, "item_token": True}, DEFAULT),
    }
    same = [] if LOGS[data].cold else [name for name, row in rows.items() if row.kind in SEEDLESS]
    return Experiment(data, rows, trained, once=same, alone=True)


CYCLE = {"schedule": "one-cycle", "warmup": 0.05, "learning_rate": 0.002, "patience": 100}
CODES_ALONE = {**CYCLE, "token_layers": 1, "item_token": False}
SASREC_BEAUTY: Settings = {**CYCLE, "hidden_dim": 128, "history": 50, "epochs": 20}
HETERREC_BEAUTY: Settings = {**CODES_ALONE, "hidden_dim": 128, "history": 20, "epochs": 15}
SASREC_ML1M: Settings = {**CYCLE, "hidden_dim": 64, "history": 50, "dropout": 0.2, "epochs": 8}
HETERREC_ML1M: Settings = {**CODES_ALONE, "hidden_dim": 64, "history": 50, "epochs": 5}
"""Reduced settings: widths, layers and epochs that two cores can afford."""

LONG = {"shared_experts": 4, "specific_experts": 12, "codebook_size": 256, "epochs": 40}
FUSED = [f"{fusion}-{name}" for name in ("RQ-VAE", "RQ-KMeans", "OPQ") for fusion in ("MA", "MS")]


def _on(data: str, settings: Settings, tokenizer: str = "MMQ", codes: Settings = NOTHING) -> Row:
    """HeterRec on IDs of a tuned tokenizer."""
    return Row(data, "heterrec", settings, tokenizer, codes, searched=True)


BY_TOKENIZER = {
    "beauty": {
        "Popularity": Row("beauty", "popularity"),
        "SASRec": Row("beauty", "sasrec", SASREC_BEAUTY),
        "HeterRec, MMQ 6 x 100": _on("beauty", HETERREC_BEAUTY),
        "HeterRec, MMQ 16 x 256": _on("beauty", HETERREC_BEAUTY, codes=LONG),
    },
    "ml1m": {
        "Popularity": Row("ml1m", "popularity"),
        "SASRec": Row("ml1m", "sasrec", SASREC_ML1M),
        **{f"HeterRec, {name}": _on("ml1m", HETERREC_ML1M, name) for name in ("MMQ", *FUSED)},
        "HeterRec, MMQ, loss over codes": _on("ml1m", {**HETERREC_ML1M, "objective": "codes"}),
    },
}

EXPERIMENTS = {
    **{f"leaderboard_{data}": leaderboard(data) for data in LOGS},
    **{f"recommenders_{data}": Experiment(data, BY_TOKENIZER[data], trained) for data in LOGS},
}
