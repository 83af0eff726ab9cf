"""From cells to the paper's tables and figures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from experiments.cells import Work
from experiments.origin import origin
from experiments.paper.cells import make_cell
from experiments.paper.claims import verdicts
from experiments.paper.figures import FIGURES
from experiments.paper.folders import RESULTS
from experiments.paper.marker import FORMAT, remember
from experiments.paper.prepare import Prepared
from experiments.paper.tables import Found, table
from experiments.paper.worlds import catalogue_of
from experiments.runner import Progress, results, run_cells
from mmq._formats import write_json

_TITLES = {
    "table1": (
        "Table 1: tokenizers",
        "All IDs of mmq have the same length and codebooks, and the same models on them; with item "
        "tokens, the model knows an item by a token of its own as well. FVU and cold items are of "
        "items that no tokenizer was fitted to and no retrieval model met, but "
        "alternating fine-tuning reads their content. Rare items have less than 5 training "
        "impressions. With behaviour there is one more embedding to reconstruct, so those errors "
        "do not compare. Tests are paired, over seeds, and over users too for R@10, N@10 and AUC "
        "of users; they are not corrected for their number.",
    ),
    "table2": (
        "Table 2: what MMQ is made of",
        "Each row takes one thing away from MMQ by gradient, the paper's way of learning, or "
        "trains it on; the first three are the paper's. The last is MMQ as it is by default, by "
        "least squares.",
    ),
    "figure3": (
        "Figure 3: by popularity",
        "Popular: the quarter of the items with the most training interactions; unpopular: that "
        "with the fewest, withheld ones (which nobody asks for here) among them.",
    ),
    "figure4": (
        "Figure 4: fine-tuning of other tokenizers",
        "Frozen IDs; the model trained for as many epochs more; model and tokenizer together.",
    ),
    "figure5": ("Figure 5: length of the ID", "MMQ with more experts of every kind."),
    "figure6": (
        "Figure 6: shared experts",
        "MMQ as it is, and without shared experts, by the number of experts.",
    ),
}


def reproduce(
    prepared: Prepared, jobs: int, watch: Callable[[Progress], None] = lambda done: None
) -> dict[str, Any]:
    """Make the cells that are left, and give back all results; ``results.json`` has them too.

    Args:
        prepared: of :func:`prepare`.
        jobs: cells made at the same time.
        watch: called when one has ended.
    """
    out = prepared.request.out
    shown = prepared.shown
    remember(out, list(shown.artefacts), list(shown.parts), len(shown.seeds))
    plan = prepared.plan
    work = Work(plan.cells, functools.partial(make_cell, prepared.setup), plan.needs)
    failed = run_cells(work, out, jobs, watch)
    return report_on(prepared, failed)


def report_on(
    prepared: Prepared, failed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """All results of what is finished by now, as plain values; ``results.json`` has them too.

    Args:
        prepared: of :func:`prepare`.
        failed: name of each cell that failed just now -> why.
    """
    found = _collect(prepared, failed)
    write_json(prepared.request.out / RESULTS, found)
    return found


def _collect(prepared: Prepared, failed: Mapping[str, str]) -> dict[str, Any]:
    request, (*_, seeds, plan) = prepared.request, prepared.shown
    cells = results(plan.cells, request.out)
    modalities = catalogue_of(prepared.setup).modalities
    found = Found(plan, seeds, cells, request.out, modalities)
    made: dict[str, dict[str, Any]] = {"table": {}, "figure": {}}
    for name in plan.rows:
        title, about = _TITLES[name]
        if name in FIGURES:
            panels = [each for each in FIGURES[name](found) if each]
            made["figure"][name] = {"title": title, "about": about, "panels": panels}
        else:
            made["table"][name] = table(found, name, title, about)
    return {
        "format": FORMAT,
        "data": prepared.about,
        "scale": request.scale_name,
        "seeds": list(seeds),
        "settings": request.scale.to_dict(),
        "provenance": origin(),
        "cells": {
            "done": len(cells),
            "failed": [{"cell": name, "error": why} for name, why in failed.items()],
            "left": len(plan.cells) - len(cells) - len(failed),
            "seconds": sum(cell["seconds"] for cell in cells.values()),
            "commits": sorted({cell["commit"] or "unknown" for cell in cells.values()}),
            "peak_memory_mb": max(
                (cell["peak_memory_mb"] or 0 for cell in cells.values()), default=0
            ),
        },
        "tables": made["table"],
        "figures": made["figure"],
        "claims": verdicts(found),
    }
