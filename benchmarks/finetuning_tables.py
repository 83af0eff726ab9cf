"""Markdown tables of stage 2, from benchmarks/results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recommender_tables import paired, with_seeds
from tables import cell, table

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
    "held_out_fvu": "FVU, unseen items",
}
CONTROL = "longer"


def comparison(record: Row) -> str:
    """All rows, with the paired test against the same tokenizer trained on frozen."""
    met = {key for row in record["summary"].values() for key in row}
    columns = {key: title for key, title in FIGURES.items() if key in met}
    selected = "N@10" if "ndcg@10" in met else "users' AUC"
    rows = []
    for name, figures in record["summary"].items():
        row = [with_seeds(record, name)]
        row += [cell(figures.get(key), 4) for key in columns]
        control = f"{name.rpartition(', ')[0]}, {CONTROL}"
        rows.append([*row, paired(record["paired"], name, control)])
    return table(["IDs", *columns.values(), f"{selected} less that of {CONTROL} (p)"], rows)


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


def costs(record: Row) -> str:
    """Time and memory of stage 2 against the same training with the tokenizer frozen."""
    rows = []
    for task in ("retrieval", "ranking"):
        turns = record[task]["by turns"]
        steps = {name: found for name, found in record[task].items() if found is not turns}
        rows += [
            [task, name, f"{found['ratio']:.2f}", f"{found['bytes'] / 1e6:.0f}"]
            for name, found in steps.items()
        ]
        rows.append([task, "alternating, an epoch that moves codes", f"{turns['ratio']:.2f}", "-"])
        rows.append([task, "alternating, all epochs", f"{turns['ratio_of_all_epochs']:.2f}", "-"])
    return table(["task", "way", "time, frozen = 1", "most memory of a step (MB)"], rows)
