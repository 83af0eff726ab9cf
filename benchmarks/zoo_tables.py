"""Tables of benchmarks/zoo.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tables import cell, table

KINDS = ("RQ-KMeans", "RQ-VAE", "OPQ")
REAL = ("ML-1M, raw", "ML-1M, reduced", "ML-1M, counted", "Beauty, raw", "Beauty, reduced")
SHORT = (*REAL, "toyshop", "clusters", "half missing")
"""Those that the README shows."""


def names_of(record: Mapping[str, Any]) -> list[str]:
    """The members with a row of MMQ, real ones first."""
    known = [name for name, own in record["summary"].items() if "MMQ" in own["rows"]]
    return sorted(known, key=lambda name: REAL.index(name) if name in REAL else len(REAL))


def best(rows: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """Held-out figure of the better fusion of a kind."""
    found = [
        rows[f"{kind}, {fusion}"]["held_out"]
        for fusion in ("aligned", "separated")
        if f"{kind}, {fusion}" in rows
    ]
    return min(found, key=lambda each: each["mean"]) if found else None


def held_out(record: Mapping[str, Any], names: Iterable[str]) -> str:
    """Fraction of variance unexplained of new items, beside the bound; the least in bold."""
    rows = []
    for name in names:
        own = record["summary"][name]["rows"]
        figures = [own["MMQ"]["held_out"], *(best(own, kind) for kind in KINDS)]
        least = min(each["mean"] for each in figures if each)
        rows.append(
            [
                name,
                f"{own['MMQ']['bound']['mean']:.3f}",
                *(_marked(each, least) for each in figures),
            ]
        )
    header = ["embeddings", "Gaussian bound", "MMQ", *(f"{kind}, better fusion" for kind in KINDS)]
    return table(header, rows)


def use(record: Mapping[str, Any], names: Iterable[str]) -> str:
    """What MMQ's codes are like, and what they cost."""
    rows = []
    for name in names:
        summary = record["summary"][name]
        own = summary["rows"]["MMQ"]
        chosen = [run["chosen"] for run in record["cells"][name]["MMQ"].values()]
        fastest = summary["rows"].get("RQ-VAE, separated", {}).get("seconds")
        rows.append(
            [
                name,
                record["about"][name],
                f"{summary['mmq_over_best']:.3f}" if summary["mmq_over_best"] else "-",
                cell(own["utilisation"]),
                cell(own["distinct_share"], 4),
                "; ".join(sorted({each["plan"] for each in chosen})),
                ", ".join(sorted({f"{each['smoothing']:g}" for each in chosen})),
                f"{own['seconds']['mean']:.0f}",
                f"{fastest['mean']:.0f}" if fastest else "-",
            ]
        )
    header = ["embeddings", "what they are", "MMQ over the best other", "utilisation"]
    more = ["distinct IDs", "start chosen", "noise chosen", "fit, s", "RQ-VAE, s"]
    return table([*header, *more], rows)


def ablation(record: Mapping[str, Any]) -> str:
    """What is left unexplained where parts of the default are left out."""
    members = list(record["summary"])
    rows = []
    for title in next(iter(record["summary"].values())):
        line = [title]
        for member in members:
            own = record["summary"][member].get(title)
            line.append(cell(own["held_out"]) if own else "-")
            if title.startswith("by gradient") and own and "least" not in title:
                line[-1] += f" (with gates {own['with gates']['mean']:.3f})"
        rows.append(line)
    return table(["MMQ", *members], rows)


def sentence(record: Mapping[str, Any]) -> str:
    """How MMQ stands over all members."""
    ratios = {
        name: own["mmq_over_best"]
        for name, own in record["summary"].items()
        if own["mmq_over_best"] is not None
    }
    worst = max(ratios, key=lambda name: ratios[name])
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    ahead = sum(ratio <= 1 for ratio in ratios.values())
    return (
        f"Of {len(ratios)} kinds of embeddings MMQ leaves less unexplained than the best of the "
        f"others on {ahead}; over all it leaves {mean:.3f} times as much (geometric mean), at "
        f"worst {ratios[worst]:.3f} times ({worst}).\n"
    )


def _marked(figure: Mapping[str, Any] | None, least: float) -> str:
    if figure is None:
        return "-"
    text = cell(figure)
    if figure["sd"] is None:
        text += " (1 seed)"
    return f"**{text}**" if figure["mean"] == least else text
