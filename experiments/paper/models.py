"""Cells of models: retrieval and ranking on the codes of a tokenizer, frozen or in stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.cells import Made, Places, settings_of
from experiments.paper.folders import CODES
from experiments.paper.plan import (
    ALTERNATING,
    ITEM_IDS,
    JOINTLY,
    LONGER,
    POPULARITY,
    RETRIEVAL,
    SASREC,
    SHUFFLED,
    Cell,
    goes_on,
    has_tokens,
    start_cell,
    tokenizer_cell,
)
from experiments.paper.worlds import (
    Setup,
    catalogue_of,
    items_of,
    own_rows,
    ranking_world,
    retrieval_world,
)
from mmq.data import Catalogue
from mmq.finetuning import FinetuneSettings, finetune
from mmq.made_from import Checkpoint
from mmq.metrics.ranking import popularity_strata
from mmq.ranking import PPNet, Ranker, evaluate_ranking
from mmq.recommenders import HeterRec, Popularity, Recommender, SASRec, evaluate
from mmq.semantic_ids import SemanticIDs
from mmq.tokenizers import Tokenizer

STAGES: Mapping[str, Mapping[str, Any]] = {
    LONGER: {"mode": "joint", "tokenizer_rate": 0.0},
    JOINTLY: {"mode": "joint"},
    ALTERNATING: {"mode": "alternating"},
}
MEASURED = ("eligible_users", "all_users", "eligible_rows", "all_rows")
"""How many users and impressions a GAUC is of, of how many."""


def _ids_of(cell: Cell, setup: Setup, places: Places, items: Catalogue) -> SemanticIDs:
    """The IDs that a model reads, of the items of its world."""
    with np.load(places.of(tokenizer_cell(cell)) / CODES) as stored:
        codes, sizes = stored["codes"], stored["sizes"].tolist()
    rows = catalogue_of(setup).rows(items.item_ids.to_pylist())
    if cell.row.stage == SHUFFLED:
        rows = np.random.default_rng(cell.seed).permutation(rows)
    return SemanticIDs.build(items.item_ids, codes[rows], sizes)


def retrieval(cell: Cell, setup: Setup, places: Places) -> Made:
    """Train a retrieval model, or take it through stage 2, and measure it."""
    world = retrieval_world(setup, cell.seed)
    variant, scale = cell.row.variant, setup.scale
    checkpoint = Checkpoint(places.unfinished / "recommender", {"cell": cell.name}, resume=True)
    moved: dict[str, Any] = {}
    data = world.data
    if goes_on(cell):
        start = places.of(start_cell(cell))
        model: Any = Recommender.load(start / "model", setup.device)
        data = data._replace(ids=model.semantic_ids)
        moved, log, settings = _stage(cell, setup, places, model, data)
    else:
        if variant == POPULARITY:
            model = Popularity()
        elif variant == SASREC:
            model = SASRec(device=setup.device, **scale.sasrec, seed=cell.seed)
        elif variant in own_rows(setup.own) and not places.of(tokenizer_cell(cell)).exists():
            model = own_rows(setup.own)[variant](cell.seed)
        else:
            own = scale.item_tokens if has_tokens(cell) else {}
            settings = {"item_token": False, **scale.heterrec, **own}  # the paper has codes alone
            model = HeterRec(device=setup.device, **settings, seed=cell.seed)
        if model.needs_ids:
            data = data._replace(ids=_ids_of(cell, setup, places, world.items))
        fit = model.fit(data, checkpoint)
        log, settings = model.log, settings_of(model)
        moved = {"validation": fit.validation, "best_epoch": fit.best_epoch}
    if model.kind == HeterRec.kind and not goes_on(cell):
        model.save(places.new / "model")
    tested = evaluate(model, data.test)
    figures = {**tested.figures, "coverage": tested.coverage, **moved}
    figures |= _by_popularity(model, data)
    if len(world.cold.targets):
        cold = evaluate(model, world.cold)
        figures |= {f"cold {name}": value for name, value in cold.figures.items()}
    users = {name: tested.users[name] for name in ("ndcg@10", "recall@10")}
    return Made(settings, figures, {"user": world.users, **users}, log)


def _by_popularity(model: Any, data: Any) -> dict[str, float]:
    """Figures of targets among the most popular quarter of the items, and the least popular."""
    strata = popularity_strata(data.popularity())
    found: dict[str, float] = {}
    for name, stratum in (("head", 1), ("tail", -1)):
        cases = data.test.take(strata[data.test.targets] == stratum)
        if len(cases.targets):
            figures = evaluate(model, cases).figures
            found |= {f"{name} {each}": value for each, value in figures.items()}
    return found


def _stage(
    cell: Cell, setup: Setup, places: Places, model: Any, data: Any
) -> tuple[dict[str, Any], list[dict[str, float]], dict[str, Any]]:
    """Take a model through its second stage; what that did to the IDs."""
    scale = setup.scale
    own = scale.retrieval_stage2 if cell.part == RETRIEVAL else scale.ranking_stage2
    chosen = FinetuneSettings.parse(
        {**scale.finetuning, **own, **STAGES[cell.row.stage], "seed": cell.seed}
    )
    tokenizer: Any = Tokenizer.load(places.of(tokenizer_cell(cell)) / "tokenizer", setup.device)
    items = items_of(setup, tokenizer_cell(cell).world, cell.seed)
    checkpoint = Checkpoint(places.unfinished / "finetuning", {"cell": cell.name}, resume=True)
    fit = finetune(tokenizer, model, data, items, chosen, checkpoint)
    figures = {
        "validation": fit.after,
        "best_epoch": fit.best_epoch,
        "items_moved": float((fit.codes_before != fit.codes_after).any(1).mean()),
        "codes_moved": float((fit.codes_before != fit.codes_after).mean()),
    }
    return figures, fit.log, chosen.to_dict()


def ranking(cell: Cell, setup: Setup, places: Places) -> Made:
    """Train a ranker, or take it through stage 2, and measure it."""
    world = ranking_world(setup)
    if goes_on(cell):
        model: Any = Ranker.load(places.of(start_cell(cell)) / "model", setup.device)
        moved, log, settings = _stage(cell, setup, places, model, world.data)
    else:
        alone = cell.row.variant == ITEM_IDS
        ids = None if alone else _ids_of(cell, setup, places, world.items)
        model = PPNet(device=setup.device, **setup.scale.ppnet, seed=cell.seed)
        checkpoint = Checkpoint(places.unfinished / "ranker", {"cell": cell.name}, resume=True)
        fit = model.fit(world.data, ids, checkpoint)
        log, settings = model.log, settings_of(model)
        moved = {"validation": fit.validation, "best_epoch": fit.best_epoch}
        if not alone:
            model.save(places.new / "model")
    found = evaluate_ranking(model, world.data)
    figures = {
        **found.figures,
        **{f"{name} auc": each.auc for name, each in found.strata.items()},
        **{key: getattr(found.by_user, key) for key in MEASURED},
        **moved,
    }
    return Made(settings, figures, {"auc": found.by_user.auc}, log)
