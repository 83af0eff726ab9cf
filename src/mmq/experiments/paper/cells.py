"""Making one cell: a search, a tokenizer, a retrieval model or a ranker, fitted and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from mmq.artifacts import write_file
from mmq.experiments.origin import origin, peak_memory, restart_peak
from mmq.experiments.paper.folders import RESULT, USERS, Made, Places
from mmq.experiments.paper.models import ranking, retrieval
from mmq.experiments.paper.plan import QUANTISATION, RANKING, RETRIEVAL, TUNING, Cell
from mmq.experiments.paper.quantised import quantisation, tuning
from mmq.experiments.paper.worlds import Setup
from mmq.formats import write_json

_MAKERS: Mapping[str, Callable[[Cell, Setup, Places], Made]] = {
    TUNING: tuning,
    QUANTISATION: quantisation,
    RETRIEVAL: retrieval,
    RANKING: ranking,
}


def make(cell: Cell, setup: Setup, places: Places) -> None:
    """Fit and measure a cell, and write its folder.

    Args:
        cell: what to make; the cells that it needs are finished.
        setup: from what.
        places: ``new`` is an empty folder.
    """
    started = time.monotonic()
    restart_peak()
    made = _MAKERS[cell.part](cell, setup, places)
    if made.users:
        with write_file(places.new / USERS) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **made.users)  # type: ignore[arg-type]
    result = {
        "cell": cell.name,
        "settings": made.settings,
        "figures": made.figures,
        "log": made.log,
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_mb": peak_memory(),
        **origin(),
    }
    write_json(places.new / RESULT, result)
