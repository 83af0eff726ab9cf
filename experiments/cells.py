"""A cell: a row and a seed, fitted and measured once; its folder, and what is stored in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from experiments.origin import origin, peak_memory, restart_peak
from mmq._artifacts import write_file
from mmq._formats import write_json

CELLS, UNFINISHED = "cells", "unfinished"
"""Folders of finished cells, and of what a killed run can go on from."""

RESULT, USERS = "cell.json", "users.npz"
"""Files of a finished cell; the first marks it as finished."""


class Cell(Protocol):
    """What is measured once; it can be sent to another process."""

    @property
    def name(self) -> str:
        """Tells it from all others."""
        ...


class Places(NamedTuple):
    """Folders of a run.

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
    users: Mapping[str, np.ndarray] = MappingProxyType({})
    log: Sequence[Mapping[str, Any]] = ()


Maker = Callable[[Any, Places], Made]
"""Makes a cell; it can be sent to another process."""


class Work(NamedTuple):
    """What is to be made.

    Attributes:
        cells: all of them, every cell after those that it needs.
        make: what makes one.
        needs: name of a cell -> names of the cells that it goes on from.
        alone: whether each cell has a process of its own, so that its peak memory is its own.
    """

    cells: Sequence[Cell]
    make: Maker
    needs: Mapping[str, Sequence[str]] = MappingProxyType({})
    alone: bool = False


def folder_name(cell: Cell) -> str:
    """Name of the folder of a cell."""
    return cell.name.replace("/", "")


def settings_of(made: Any) -> dict[str, Any]:
    """All settings of a tokenizer or model; none of a user's own that has none."""
    return made.settings.to_dict() if hasattr(made, "settings") else {}


def make(cell: Cell, maker: Maker, places: Places) -> None:
    """Fit and measure a cell, and write its folder.

    Args:
        cell: what to make; the cells that it needs are finished.
        maker: what makes it.
        places: ``new`` is an empty folder.
    """
    started, work = time.monotonic(), time.process_time()
    restart_peak()
    made = maker(cell, places)
    if made.users:
        with write_file(places.new / USERS) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **made.users)  # type: ignore[arg-type]
    result = {
        "cell": cell.name,
        "settings": made.settings,
        "figures": made.figures,
        "log": made.log,
        "seconds": round(time.monotonic() - started, 3),
        "processor_seconds": round(time.process_time() - work, 3),
        "peak_memory_mb": peak_memory(),
        **origin(),
    }
    write_json(places.new / RESULT, result)
