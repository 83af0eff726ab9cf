"""Making one cell: a search, a tokenizer, a retrieval model or a ranker, fitted and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.cells import Made, Places
from experiments.paper.models import ranking, retrieval
from experiments.paper.plan import QUANTISATION, RANKING, RETRIEVAL, TUNING, Cell
from experiments.paper.quantised import quantisation, tuning
from experiments.paper.worlds import Setup

_MAKERS: Mapping[str, Callable[[Cell, Setup, Places], Made]] = {
    TUNING: tuning,
    QUANTISATION: quantisation,
    RETRIEVAL: retrieval,
    RANKING: ranking,
}


def make_cell(setup: Setup, cell: Cell, places: Places) -> Made:
    """Fit and measure a cell of a reproduction."""
    return _MAKERS[cell.part](cell, setup, places)
