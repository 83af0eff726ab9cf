"""The page on a training: how it went, and where the model stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmq.reports._plots import curves_plot
from mmq.reports._template import write_page


class Row(NamedTuple):
    """A line of the table: a part, or another model on it.

    Attributes:
        name: what it is of.
        figures: name -> value.
        own: whether they are of the model itself.
    """

    name: str
    figures: Mapping[str, float | None]
    own: bool


def write_training_report(
    path: Path, title: str, log: Sequence[Mapping[str, float]], rows: Sequence[Row],
    result: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write the page as one HTML file, whole or not at all.

    Args:
        path: the file.
        title: of the page.
        log: figures of every epoch; empty for what is not trained over epochs.
        rows: of the table; the first has all of its columns.
        result: of the training, with ``verdict``, ``warnings``, ``epochs`` and ``best_epoch``.
    """
    best, curves = int(result["best_epoch"]), []
    for name in log[0] if log else ():
        if name != "epoch":
            values = [each[name] for each in log if name in each]
            curves.append({"name": name, "plot": curves_plot(values, name, best)})
    write_page(
        path,
        "training.html",
        {
            "title": title,
            "verdict": result["verdict"],
            "warnings": result["warnings"],
            "epochs": result["epochs"],
            "best": best,
            "curves": curves,
            "columns": list(rows[0].figures),
            "rows": rows,
        },
    )


def retrieval_rows(result: Mapping[str, Any]) -> list[Row]:
    """Of :func:`~mmq.workflows.train_retrieval`: both parts and protocols, then the baselines."""
    rows = []
    protocols = {"history competes": "history_competes", "history left out": "history_left_out"}
    models = {result["model"]: result, **result["baselines"]}
    for part in ("validation", "test"):
        for words, key in protocols.items():
            for name, found in models.items():
                label = f"{part}, {words}: {name}"
                rows.append(Row(label, found[part][key], found is result))
    return rows


def ranking_rows(result: Mapping[str, Any]) -> list[Row]:
    """Of :func:`~mmq.workflows.train_ranking`: both parts, and means beside them."""
    names = ("auc", "gauc", "log_loss")
    rows = []
    for part in ("validation", "test"):
        rows.append(Row(f"{part}: {result['model']}", _of(result[part], names), True))
        if result["means"]:
            rows.append(Row(f"{part}: means", _of(result["means"][part], names), False))
    return rows


def _of(figures: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    """Those that there are; GAUC is undefined where no user has rows of both labels."""
    found = {name: figures.get(name) for name in names}
    return {name: None if v is None or v != v else v for name, v in found.items()}
