"""Markdown of what `mmq reproduce` found, from benchmarks/results/paper_*.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.paper.cost import Size, estimate
from experiments.paper.plan import (
    ARTEFACTS,
    PARTS,
    TUNING,
    make_plan,
)
from experiments.paper.scales import scale_of
from experiments.paper.variants import variants
from experiments.render.markdown import cell, counted, table

Results = Mapping[str, Any]


def page(results: Results) -> str:
    """Verdicts, tables and the points of the figures of a reproduction."""
    parts = [_about(results), verdicts(results)]
    for each in results["tables"].values():
        parts += [f"**{each['title']}.** {each['about']}\n", _table(each)]
    for each in results["figures"].values():
        parts += [f"**{each['title']}.** {each['about']}\n", _figure(each)]
    return "\n".join(parts)


def _about(results: Results) -> str:
    data, origin = results["data"], results["provenance"]
    modalities = ", ".join(f"{name} ({width})" for name, width in data["modalities"].items())
    rows = f", {data['ranking_rows']:,} impressions" if data["ranking_rows"] else ""
    failed = len(results["cells"]["failed"])
    return (
        f"{data['name']}: {data['items']:,} items ({modalities}), {data['users']:,} users, "
        f"{data['interactions']:,} training interactions{rows}; {counted(len(results['seeds']))}, "
        f"{results['cells']['done']} cells, {failed} failed, {results['cells']['left']} not made; "
        f"at most {results['cells']['peak_memory_mb']:,} MB a process; "
        f"commits {', '.join(results['cells']['commits'])}, "
        f"{origin['cores']} cores ({origin['processor']}), torch {origin['versions']['torch']}.\n"
    )


def verdicts(results: Results) -> str:
    """The paper's claims."""
    rows = [
        [each["of"], each["claim"], f"**{each['verdict']}**", each["why"], each["paper"] or "-"]
        for each in results["claims"]
    ]
    return table(["of", "claim", "verdict", "figures", "the paper"], rows)


def _table(found: Results) -> str:
    columns = found["columns"]
    rows = [
        [row["name"], *(cell(row["figures"][each["key"]], each["digits"]) for each in columns)]
        for row in found["rows"]
    ]
    return table(["row", *(each["title"] for each in columns)], rows)


def _figure(found: Results) -> str:
    rows = []
    for panel in found["panels"]:
        for series in panel["series"]:
            points = zip(panel["x"], series["values"], series["sd"], strict=True)
            shown = [f"{x}: {_point(mean, sd)}" for x, mean, sd in points if mean is not None]
            rows.append([panel["title"], series["name"] or "-", "; ".join(shown)])
    return table(["figure", "series", "points"], rows)


def _point(mean: float, sd: float | None) -> str:
    digits = 0 if mean > 100 else 4
    return f"{mean:,.{digits}f}" + (f" ± {sd:,.{digits}f}" if sd else "")


def _hours(value: float) -> str:
    if not value:
        return "-"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


SIZES = {
    "generated shop": ("small", 2, Size(1000, 16_000, 42_000)),
    "ML-1M": ("full", 2, Size(3706, 470_000, 720_000)),
    "Amazon Beauty (text alone)": ("full", 1, Size(12_101, 154_000, 0)),
    "100,000 items, 10 million likes and impressions": (
        "full",
        2,
        Size(100_000, 10_000_000, 10_000_000),
    ),
}


def cost() -> str:
    """Hours of one core for one seed of everything, as a dry run tells them."""
    rows = []
    for name, (scale_name, modality_count, size) in SIZES.items():
        scale, modalities = scale_of(scale_name, {}), ("text", "image")[:modality_count]
        known = variants(modalities)
        searched = {each: known[each].tuned_as for each in known} if scale.trials > 1 else {}
        parts = PARTS if size.impressions else PARTS[:2]
        plan = make_plan(ARTEFACTS, modalities, [0], parts, None, searched)
        hours = dict.fromkeys((TUNING, *PARTS), 0.0)
        for each in plan.cells:
            hours[each.part] += estimate(each, scale, size, {}) / 3600
        shown = [_hours(value) for value in (*hours.values(), sum(hours.values()))]
        rows.append([name, scale_name, str(len(plan.cells)), *shown[:-1], f"**{shown[-1]}**"])
    return table(["data", "scale", "cells", "tuning", *PARTS, "hours of a core, a seed"], rows)
