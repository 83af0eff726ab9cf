"""Where cells lie, and what one is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.experiments.paper.plan import Cell

CELLS, UNFINISHED, DATA = "cells", "unfinished", "data"
RESULTS, REPORT = "results.json", "report.html"
"""What the folder of a reproduction holds, beside its mark."""

RESULT, USERS, CODES = "cell.json", "users.npz", "codes.npz"
"""Files of a finished cell; the first marks it as finished."""


class Places(NamedTuple):
    """Folders of a reproduction.

    Attributes:
        cells: of finished cells, each in a folder of its name.
        new: the folder that this cell is being written to.
        unfinished: where it keeps what a killed run can go on from.
    """

    cells: Path
    new: Path
    unfinished: Path

    def of(self, cell: Cell) -> Path:
        """The folder of a finished cell."""
        return self.cells / folder_name(cell)


class Made(NamedTuple):
    """What came out of a cell: all settings, figures of the test, and those of single users."""

    settings: dict[str, Any]
    figures: dict[str, Any]
    users: dict[str, np.ndarray]
    log: list[dict[str, float]]


def folder_name(cell: Cell) -> str:
    """Name of the folder of a cell."""
    return cell.name.replace("/", "")


def settings_of(made: Any) -> dict[str, Any]:
    """All settings of a tokenizer or model; none of a user's own that has none."""
    return made.settings.to_dict() if hasattr(made, "settings") else {}
