"""The page on a training, which most trainings do without: what draws it is imported late."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mmq.model import Model

_WHAT = {"retrieval": "recommender", "ranking": "ranker"}


def check_page(path: str | Path) -> None:
    """Raise :class:`~mmq.errors.DataError` unless a page may be written there; before long work."""
    from mmq.reports._page import check_report

    check_report(Path(path))


def write_page_of(
    family: Literal["retrieval", "ranking"],
    path: str | Path,
    model: Model[Any],
    result: Mapping[str, Any],
) -> None:
    """Write the page on what a training gave.

    Args:
        family: what the model is for.
        path: the HTML file.
        model: with the log of its training.
        result: of the verb.
    """
    from mmq.reports._training import ranking_rows, retrieval_rows, write_training_report

    rows = {"retrieval": retrieval_rows, "ranking": ranking_rows}[family](result)
    title = f"A {model.label} {_WHAT[family]}, trained"
    write_training_report(Path(path), title, model.log, rows, result)
