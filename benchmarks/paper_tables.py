"""Markdown of what `mmq reproduce` found, from benchmarks/results/paper_*.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tables import table

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
        f"{data['interactions']:,} training interactions{rows}; {len(results['seeds'])} seeds, "
        f"{results['cells']['done']} cells, {failed} failed; commit {origin['commit']}, "
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
        [row["name"], *(_cell(row["figures"][each["key"]], each["digits"]) for each in columns)]
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


def _cell(figure: Mapping[str, Any] | None, digits: int) -> str:
    if figure is None:
        return "-"
    sd = "" if figure["sd"] is None else f" ± {figure['sd']:.{digits}f}"
    return f"{figure['mean']:.{digits}f}{sd}"


def _point(mean: float, sd: float | None) -> str:
    digits = 0 if mean > 100 else 4
    return f"{mean:,.{digits}f}" + (f" ± {sd:,.{digits}f}" if sd else "")
