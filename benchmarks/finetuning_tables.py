"""Markdown tables of stage 2, from benchmarks/results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recommender_tables import LEAST_SEEDS
from tables import cell, counted, table

Row = Mapping[str, Any]

FIGURES = {
    "recall@10": "R@10",
    "ndcg@10": "N@10",
    "cold recall@10": "R@10 of cold items",
    "pairing": "codes of pairing",
    "auc": "AUC",
    "gauc": "GAUC",
    "auc tail": "AUC, tail",
    "auc cold": "AUC, cold",
    "items_moved": "new IDs",
    "colliding": "colliding",
    "utilisation": "codes used",
    "held_out_fvu": "FVU, items nobody met",
}
CONTROL = "longer"


def comparison(record: Row) -> str:
    """All rows, with the paired test against the same tokenizer trained on frozen."""
    met = {key for row in record["summary"].values() for key in row}
    columns = {key: title for key, title in FIGURES.items() if key in met}
    selected = "N@10" if "ndcg@10" in met else "users' AUC"
    rows = []
    for name, figures in record["summary"].items():
        seeds = len(record["cells"][name])
        row = [name if seeds >= LEAST_SEEDS else f"{name} ({counted(seeds)})"]
        row += [cell(figures.get(key), 4) for key in columns]
        rows.append([*row, _against_control(record["paired"], name)])
    return table(["IDs", *columns.values(), f"{selected} less that of {CONTROL} (p)"], rows)


def _against_control(tests: Row, name: str) -> str:
    control = f"{name.rpartition(', ')[0]}, {CONTROL}"
    test, sign = tests.get(f"{name} | {control}"), 1
    if test is None:
        test, sign = tests.get(f"{control} | {name}"), -1
    if test is None:
        return "-"
    p = f"{test['p_value']:.2g}" if test["p_value"] >= 1e-4 else "< 0.0001"
    return f"{sign * test['difference']:+.4f} ({p})"


def sweep(record: Row) -> str:
    """Settings of stage 2 by the validation part: before, the best epoch, and after every epoch."""
    rows = []
    for name, run in record["sweep"].items():
        selected = "ndcg@10" if "ndcg@10" in run["before"] else "auc"
        epochs = [each[selected] for each in run["log"]]
        rows.append(
            [
                name,
                f"{run['before'][selected]:.4f}",
                f"{run['after'][selected]:.4f}",
                ", ".join(f"{each:.4f}" for each in epochs),
                ", ".join(f"{each['codes_moved']:.1%}" for each in run["log"]),
            ]
        )
    return table(["settings", "before", "kept", "after every epoch", "codes moved"], rows)
