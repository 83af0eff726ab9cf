"""Cells of tokenizers: the search for settings, and a fit with its codes and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.cells import RESULT, Made, Places, settings_of
from experiments.data import use_of
from experiments.paper.folders import CODES
from experiments.paper.plan import Cell, tuning_cell
from experiments.paper.variants import Variant, variants
from experiments.paper.worlds import Setup, catalogue_of, items_of, own_rows, withheld_of
from mmq._artifacts import write_file
from mmq._formats import read_json
from mmq.data import Catalogue
from mmq.made_from import Checkpoint
from mmq.metrics import quantisation as metrics
from mmq.model import model_class
from mmq.tokenizers import MMQSettings, MMQTokenizer
from mmq.tokenizers._inputs import unit_inputs
from mmq.tokenizers._mmq.settings import of_learning
from mmq.tokenizers._tuning import TunePlan, tune


def tuning(cell: Cell, setup: Setup, places: Places) -> Made:
    """Search the settings of a tokenizer on items that no seed withholds."""
    chosen = variants(catalogue_of(setup).modalities)[cell.row.variant]
    seen = np.logical_not(np.any([withheld_of(setup, seed) for seed in setup.seeds], axis=0))
    items = catalogue_of(setup).take(np.flatnonzero(seen))
    fixed = {**_common(chosen, {}, setup), **chosen.settings}
    plan, folder = TunePlan(trials=setup.scale.trials), places.unfinished / "tuning"
    found = tune(items, chosen.kind, plan, fixed, folder, "resume", setup.device)
    best = found.best.figures or {}
    figures = {"fits": len(found.trials), "fvu_codes": best.get("fvu_codes")}
    return Made(dict(found.settings), figures, {}, [])


def _common(chosen: Variant, found: Mapping[str, Any], setup: Setup) -> dict[str, Any]:
    """The settings of the scale that a tokenizer has; its codes are left as they are found.

    But for MMQ by least squares, which finds its codes in sweeps.

    Args:
        chosen: the tokenizer.
        found: its settings that a search has found.
        setup: which has the scale.
    """
    known = model_class("tokenizer", chosen.kind).settings_class.model_fields
    wanted = {name: v for name, v in setup.scale.tokenizers.items() if name in known}
    if chosen.kind == MMQTokenizer.kind:
        learning = {**found, **wanted, **chosen.settings}.get("learning", MMQSettings().learning)
        wanted = of_learning(wanted, learning)
        if learning == "least-squares":
            return wanted
    return {"refinement": 0, **wanted}


def quantisation(cell: Cell, setup: Setup, places: Places) -> Made:
    """Fit a tokenizer to the items that are not withheld, and measure it on both parts."""
    items = items_of(setup, cell.world, cell.seed)
    cold = withheld_of(setup, cell.seed)
    fitted, held = (items.take(np.flatnonzero(each)) for each in (~cold, cold))
    maker = own_rows(setup.own).get(cell.row.variant)
    if maker:
        tokenizer = maker(cell.seed)
        tokenizer.fit(fitted)
    else:
        tokenizer = _unfitted(cell, setup, places)
        tokenizer.fit(fitted, checkpoint=Checkpoint(places.unfinished / "tokenizer", resume=True))
        tokenizer.save(places.new / "tokenizer")
    codes, sizes = np.asarray(tokenizer.encode(items)), list(tokenizer.codebook_sizes)
    with write_file(places.new / CODES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, codes=codes, sizes=np.array(sizes))
    network = getattr(tokenizer, "network", None)
    figures = {
        **_reconstruction(tokenizer, fitted, held),
        "length": len(sizes),
        **use_of(codes, sizes),
        "largest_bucket": metrics.sharing(codes).largest_bucket,
        "parameters": sum(each.numel() for each in network.parameters()) if network else None,
    }
    return Made(settings_of(tokenizer), figures, {}, [])


def _unfitted(cell: Cell, setup: Setup, places: Places) -> Any:
    """A tokenizer of mmq: the settings that were found for it, and what makes it the variant."""
    chosen = variants(catalogue_of(setup).modalities)[cell.row.variant]
    search = places.of(tuning_cell(chosen.tuned_as)) / RESULT
    found = setup.scale.tuned.get(chosen.tuned_as, {})
    if not found and search.exists():
        found = read_json(search, "search")["settings"]
    values = {**found, **_common(chosen, found, setup), **chosen.settings, "seed": cell.seed}
    return model_class("tokenizer", chosen.kind)(device=setup.device, **values)


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
        known[name] = metrics.Reconstruction.of(target, decoded[name], present[:, m] > 0)
        start += width
    return {
        "l_recon_codes": metrics.l_recon(known, len(items)),
        "fvu_codes": metrics.fvu(known),
    }
