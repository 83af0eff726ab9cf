"""Markdown tables of ranking, from benchmarks/results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recommender_tables import paired, with_seeds
from tables import cell, p_value, table

Row = Mapping[str, Any]

FIGURES = {
    "auc": "AUC",
    "gauc": "GAUC",
    "gauc_unweighted": "GAUC, unweighted",
    "log_loss": "log-loss",
    "calibration_ratio": "calibration",
}
STRATA = ("head", "tail", "cold", "new")


def beside_means(record: Row) -> str:
    """All rows, and by how much they are ahead of means."""
    one = next(iter(record["cells"]["means"].values()))
    eligible = f"{one['eligible_users']:,} users, {one['eligible_impressions']:,} rows"
    titles = {**FIGURES, "gauc": f"GAUC ({eligible})"}
    rows = []
    for name, figures in record["summary"].items():
        row = [with_seeds(record, name), *(cell(figures[key], 4) for key in FIGURES)]
        for part in ("auc", "gauc"):
            found = figures.get(f"{part} less means")
            largest = max(figures[f"{part} p"]["values"]) if found else 1.0
            row.append(f"{found['mean']:+.4f} ({p_value(largest)})" if found else "-")
        rows.append(row)
    less = [f"{part} less that of means (largest p of the seeds)" for part in ("AUC", "GAUC")]
    return table(["ranker", *titles.values(), *less], rows)


def comparison(record: Row, against: str = "item IDs") -> str:
    """All rows, with the paired test of users' AUC against one of them."""
    one = next(iter(record["cells"][against].values()))
    eligible = f"{one['eligible_users']:,} users, {one['eligible_impressions']:,} rows"
    titles = {**FIGURES, "gauc": f"GAUC ({eligible})"}
    rows = []
    for name, figures in record["summary"].items():
        row = [with_seeds(record, name), *(cell(figures[key], 4) for key in FIGURES)]
        rows.append([*row, paired(record["paired"], name, against)])
    return table(["PPNet with", *titles.values(), f"users' AUC less that of {against} (p)"], rows)


def strata(record: Row) -> str:
    """AUC by popularity of the item in training."""
    one = next(iter(next(iter(record["cells"].values())).values()))["strata"]
    header = [f"{name} ({one[name]['rows']:,} rows of {one[name]['items']:,})" for name in STRATA]
    rows = [
        [name, *(cell(figures[f"auc {stratum}"], 4) for stratum in STRATA)]
        for name, figures in record["summary"].items()
    ]
    return table(["ranker", *header], rows)


def peer(record: Row) -> str:
    """Beside FuxiCTR's PPNet."""
    rates = {
        f"ours, {name}": (found["test_auc"], found["rows_per_cpu_second"])
        for name, found in record["ours"].items()
    }
    theirs = record.get("fuxictr", {})
    rates |= {
        f"FuxiCTR, {name}": (found["test_auc"], found["rows_per_cpu_second"])
        for name, found in theirs.items()
    }
    rows = [
        [
            name,
            f"{auc:.4f}",
            f"{rate:,.0f}",
            *(f"{rate / found['rows_per_cpu_second']:.1f}" for found in theirs.values()),
        ]
        for name, (auc, rate) in rates.items()
    ]
    header = ["PPNet", "test AUC", "rows a processor second"]
    return table([*header, *(f"to FuxiCTR, {name}" for name in theirs)], rows)
