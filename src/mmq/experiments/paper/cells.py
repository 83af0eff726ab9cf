"""Making one cell: a tokenizer, a retrieval model or a ranker, fitted and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.artifacts import read_json, write_file, write_json
from mmq.data import Catalogue
from mmq.experiments.origin import origin, peak_memory, restart_peak
from mmq.experiments.paper.plan import (
    BY_TURNS,
    ITEM_IDS,
    JOINTLY,
    LONGER,
    POPULARITY,
    QUANTISATION,
    RANKING,
    RETRIEVAL,
    SASREC,
    TUNING,
    Cell,
    start_cell,
    tokenizer_cell,
    tuning_cell,
)
from mmq.experiments.paper.variants import variants
from mmq.experiments.paper.worlds import (
    Setup,
    catalogue_of,
    items_of,
    own_rows,
    ranking_world,
    retrieval_world,
    withheld_of,
)
from mmq.experiments.tuning import TunePlan, tune
from mmq.finetuning import FinetuneSettings, finetune
from mmq.metrics import quantisation
from mmq.metrics.ranking import popularity_strata
from mmq.ranking import PPNet, evaluate_ranking, load_ranker, save_ranker
from mmq.recommenders import HeterRec, Popularity, SASRec, evaluate, load_recommender
from mmq.recommenders.folder import save_recommender
from mmq.semantic_ids import SemanticIDs
from mmq.tokenizers import load_tokenizer, tokenizer_class
from mmq.tokenizers.inputs import unit_inputs

RESULT, USERS, CODES = "cell.json", "users.npz", "codes.npz"
"""Files of a finished cell; the first marks it as finished."""

STAGES: Mapping[str, Mapping[str, Any]] = {
    LONGER: {"mode": "joint", "tokenizer_rate": 0.0},
    JOINTLY: {"mode": "joint"},
    BY_TURNS: {"mode": "alternating"},
}

Users = dict[str, np.ndarray]


class Places(NamedTuple):
    """Folders of a reproduction.

    Attributes:
        cells: of finished cells, each in a folder of its name.
        new: the folder that this cell is being written to.
        unfinished: where it keeps what a killed run can go on from.
    """

    cells: Path
    new: Path
    unfinished: Path

    def of(self, cell: Cell) -> Path:
        """The folder of a finished cell."""
        return self.cells / folder_name(cell)


class Made(NamedTuple):
    """What came out of a cell: all settings, figures of the test, and those of single users."""

    settings: dict[str, Any]
    figures: dict[str, Any]
    users: Users
    log: list[dict[str, float]]


def folder_name(cell: Cell) -> str:
    """Name of the folder of a cell."""
    return cell.name.replace("/", "")


def make(cell: Cell, setup: Setup, places: Places) -> None:
    """Fit and measure a cell, and write its folder.

    Args:
        cell: what to make; the cells that it needs are finished.
        setup: from what.
        places: ``new`` is an empty folder.
    """
    started = time.monotonic()
    restart_peak()
    made = _MAKERS[cell.part](cell, setup, places)
    if made.users:
        with write_file(places.new / USERS) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **made.users)  # type: ignore[arg-type]
    result = {
        "cell": cell.name,
        "settings": made.settings,
        "figures": made.figures,
        "log": made.log,
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_mb": peak_memory(),
        **origin(),
    }
    write_json(places.new / RESULT, result)


def _tuning(cell: Cell, setup: Setup, places: Places) -> Made:
    """Search the settings of a tokenizer on items that no seed withholds."""
    chosen = variants(catalogue_of(setup).modalities)[cell.row.variant]
    seen = np.logical_not(np.any([withheld_of(setup, seed) for seed in setup.seeds], axis=0))
    items = catalogue_of(setup).take(np.flatnonzero(seen))
    fixed = {**_common(chosen.kind, setup), **chosen.settings}
    plan, folder = TunePlan(trials=setup.scale.trials), places.unfinished / "tuning"
    found = tune(items, chosen.kind, plan, fixed, folder, True, setup.device)
    best = found.best.figures or {}
    figures = {"fits": len(found.trials), "fvu_codes": best.get("fvu_codes")}
    return Made(dict(found.settings), figures, {}, [])


def _common(kind: str, setup: Setup) -> dict[str, Any]:
    """The settings of the scale that a kind of tokenizer has; codes are left as they are found."""
    known = tokenizer_class(kind).settings_class.model_fields
    wanted = {"refinement": 0, **setup.scale.tokenizers}
    return {name: value for name, value in wanted.items() if name in known}


def _tokenizer(cell: Cell, setup: Setup, places: Places) -> Made:
    items = items_of(setup, cell.world, cell.seed)
    cold = withheld_of(setup, cell.seed)
    fitted, held = (items.take(np.flatnonzero(each)) for each in (~cold, cold))
    maker = own_rows(setup.own).get(cell.row.variant)
    if maker:
        tokenizer = maker(cell.seed)
        tokenizer.fit(fitted)
    else:
        tokenizer = _unfitted(cell, setup, places)
        tokenizer.fit(fitted, checkpoint=places.unfinished / "tokenizer", resume=True)
        tokenizer.save(places.new / "tokenizer")
    codes, sizes = np.asarray(tokenizer.encode(items)), list(tokenizer.codebook_sizes)
    counts = quantisation.code_counts(codes, sizes)
    shared = quantisation.sharing(codes)
    with write_file(places.new / CODES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, codes=codes, sizes=np.array(sizes))
    network = getattr(tokenizer, "network", None)
    figures = {
        **_reconstruction(tokenizer, fitted, held),
        "length": len(sizes),
        "entropy": float(quantisation.entropy(counts).mean()),
        "utilisation": float(quantisation.utilisation(counts).mean()),
        "distinct_share": shared.distinct_share,
        "largest_bucket": shared.largest_bucket,
        "parameters": sum(each.numel() for each in network.parameters()) if network else None,
    }
    return Made(_settings(tokenizer), figures, {}, [])


def _unfitted(cell: Cell, setup: Setup, places: Places) -> Any:
    """A tokenizer of mmq: the settings that were found for it, and what makes it the variant."""
    chosen = variants(catalogue_of(setup).modalities)[cell.row.variant]
    search = places.of(tuning_cell(chosen.tuned_as)) / RESULT
    found = setup.scale.tuned.get(chosen.tuned_as, {})
    if not found and search.exists():
        found = read_json(search, "search")["settings"]
    values = {**found, **_common(chosen.kind, setup), **chosen.settings, "seed": cell.seed}
    return tokenizer_class(chosen.kind)(device=setup.device, **values)


def _reconstruction(tokenizer: Any, fitted: Catalogue, held: Catalogue) -> dict[str, Any]:
    """Errors of what it was fitted to, and of the withheld items; nothing if it cannot decode."""
    found: dict[str, Any] = {}
    for part, items in (("fit", fitted), ("held_out", held)):
        if hasattr(tokenizer, "measure"):
            figures = tokenizer.measure(items)._asdict()
            for name in ("l_recon", "l_recon_codes", "fvu_codes"):
                found[f"{name} {part}"] = figures[name]
        elif hasattr(tokenizer, "decode"):
            found |= {f"{name} {part}": value for name, value in _errors(tokenizer, items).items()}
    return found


def _errors(tokenizer: Any, items: Catalogue) -> dict[str, float]:
    """The same of a tokenizer that is not one of mmq, from what it decodes."""
    decoded = tokenizer.decode(tokenizer.encode(items))
    x, present = (each.numpy() for each in unit_inputs(items, items.dimensions))
    known, start = {}, 0
    for m, (name, width) in enumerate(items.dimensions.items()):
        target = x[:, start : start + width]
        known[name] = quantisation.Reconstruction.of(target, decoded[name], present[:, m] > 0)
        start += width
    return {
        "l_recon_codes": quantisation.l_recon(known, len(items)),
        "fvu_codes": quantisation.fvu(known),
    }


def _settings(made: Any) -> dict[str, Any]:
    return made.settings.to_dict() if hasattr(made, "settings") else {}


def ids_of(cell: Cell, setup: Setup, places: Places, items: Catalogue) -> SemanticIDs:
    """The IDs that a model speaks, of the items of its world."""
    with np.load(places.of(tokenizer_cell(cell)) / CODES) as stored:
        codes, sizes = stored["codes"], stored["sizes"].tolist()
    rows = catalogue_of(setup).rows(items.item_ids.to_pylist())
    return SemanticIDs.build(items.item_ids, codes[rows], sizes)


def _retrieval(cell: Cell, setup: Setup, places: Places) -> Made:
    world = retrieval_world(setup, cell.seed)
    variant, scale = cell.row.variant, setup.scale
    checkpoint, mark = places.unfinished / "recommender", cell.name
    moved: dict[str, Any] = {}
    data = world.data
    if cell.row.stage:
        start = places.of(start_cell(cell))
        model: Any = load_recommender(start / "model", setup.device)
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
            model = HeterRec(device=setup.device, **scale.heterrec, seed=cell.seed)
        if model.needs_ids:
            data = data._replace(ids=ids_of(cell, setup, places, world.items))
        fit = model.fit(data, checkpoint, True, mark)
        log, settings = model.log, _settings(model)
        moved = {"validation": fit.validation, "best_epoch": fit.best_epoch}
    if model.kind == HeterRec.kind and not cell.row.stage:
        save_recommender(model, places.new / "model", fit=fit)
    tested = evaluate(model, data.test)
    figures = {**tested.figures, "coverage": tested.coverage, **moved}
    figures |= _by_popularity(model, data)
    if len(world.cold.targets):
        cold = evaluate(model, world.cold)
        figures |= {f"cold {name}": value for name, value in cold.figures.items()}
    users = {name: tested.users[name] for name in ("ndcg@10", "recall@10")}
    return Made(settings, figures, {"user": world.users, **users}, log)


def _by_popularity(model: Any, data: Any) -> dict[str, float]:
    """Figures of targets among the quarter of the items that is met most, and that is met least."""
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
    tokenizer: Any = load_tokenizer(places.of(tokenizer_cell(cell)) / "tokenizer", setup.device)
    items = items_of(setup, tokenizer_cell(cell).world, cell.seed)
    checkpoint = places.unfinished / "finetuning"
    fit = finetune(tokenizer, model, data, items, chosen, checkpoint, True, cell.name)
    figures = {
        "validation": fit.after,
        "best_epoch": fit.best_epoch,
        "items_moved": float((fit.codes_before != fit.codes_after).any(1).mean()),
        "codes_moved": float((fit.codes_before != fit.codes_after).mean()),
    }
    return figures, fit.log, chosen.to_dict()


def _ranking(cell: Cell, setup: Setup, places: Places) -> Made:
    world = ranking_world(setup)
    if cell.row.stage:
        model: Any = load_ranker(places.of(start_cell(cell)) / "model", setup.device)
        moved, log, settings = _stage(cell, setup, places, model, world.data)
    else:
        alone = cell.row.variant == ITEM_IDS
        ids = None if alone else ids_of(cell, setup, places, world.items)
        model = PPNet(device=setup.device, **setup.scale.ppnet, seed=cell.seed)
        fit = model.fit(world.data, ids, places.unfinished / "ranker", True, cell.name)
        log, settings = model.log, _settings(model)
        moved = {"validation": fit.validation, "best_epoch": fit.best_epoch}
        if not alone:
            save_ranker(model, places.new / "model", fit=fit)
    found = evaluate_ranking(model, world.data)
    figures = {
        **found.figures,
        **{f"{name} auc": each.auc for name, each in found.strata.items()},
        **moved,
    }
    return Made(settings, figures, {"auc": found.by_user.auc}, log)


_MAKERS: Mapping[str, Callable[[Cell, Setup, Places], Made]] = {
    TUNING: _tuning,
    QUANTISATION: _tokenizer,
    RETRIEVAL: _retrieval,
    RANKING: _ranking,
}
