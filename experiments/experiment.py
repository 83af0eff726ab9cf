"""An experiment: rows over seeds, each cell made once, and a results file of the rows."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import results
from experiments.cells import CELLS, RESULT, USERS, Made, Places, Work
from experiments.runner import Progress, run_cells
from mmq._formats import read_json
from mmq.errors import SettingsError, nearest

KEPT = "kept"
"""Folder, beside those of the experiments, of fitted models that several cells start from."""


class Context(NamedTuple):
    """What a cell is made from, beside its row.

    Attributes:
        data: the folder that holds ``ml1m`` and ``beauty``.
        seed: of everything random.
        places: folders of the run.
    """

    data: Path
    seed: int
    places: Places

    @property
    def out(self) -> Path:
        """The folder of all experiments."""
        return self.places.cells.parents[1]

    def kept(self, name: str, fit: Callable[[], Any]) -> Path:
        """Folder of a fitted model; the first cell that needs it fits it.

        Cells made at once may both do so: leave ``--jobs`` at 1 where rows share a model.
        """
        folder = self.out / KEPT / name
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            fit().save(folder)
        return folder


class Experiment(NamedTuple):
    """A results file.

    Attributes:
        data: what it is measured on.
        rows: name -> what the row is made from.
        make: makes a cell.
        files: whether it reads the data folder.
        seeds: of the cells.
        once: rows that are the same for all seeds.
        alone: whether each cell has a process of its own, so that its peak memory is its own.
    """

    data: str
    rows: Mapping[str, Any]
    make: Callable[[Any, Context], Made]
    files: bool = True
    seeds: Sequence[int] = (0, 1, 2)
    once: Collection[str] = ()
    alone: bool = False


class RowCell(NamedTuple):
    """A row of an experiment and a seed."""

    experiment: str
    row: str
    seed: int

    @property
    def name(self) -> str:
        """Tells it from the other cells of the experiment."""
        return f"{self.row}, seed {self.seed}"


class Order(NamedTuple):
    """What is to be run of an experiment.

    Attributes:
        name: of the experiment.
        data: the folder that holds ``ml1m`` and ``beauty``.
        out: the folder of all experiments.
        seeds: those wanted; None for the experiment's own.
        only: names of rows; empty for all.
        jobs: cells made at once.
    """

    name: str
    data: Path
    out: Path
    seeds: Sequence[int] | None = None
    only: Collection[str] = ()
    jobs: int = 1


def run(order: Order, experiment: Experiment) -> dict[str, str]:
    """Make the cells that are not there yet, and the results file anew.

    Returns:
        Name of each cell that failed -> why.

    Raises:
        SettingsError: a row that there is not.
    """
    for row in order.only:
        if row not in experiment.rows:
            raise SettingsError(f"{order.name} has no row '{row}'; {nearest(row, experiment.rows)}")
    folder = order.out / order.name
    folder.mkdir(parents=True, exist_ok=True)
    make = functools.partial(make_cell, order.data)
    work = Work(list(cells_of(order, experiment)), make, alone=experiment.alone)
    failed = run_cells(work, folder, order.jobs, tell)
    if rows := rows_of(experiment, folder / CELLS):
        results.renew(order.name, rows, experiment.rows)
    return failed


def cells_of(order: Order, experiment: Experiment) -> Iterable[RowCell]:
    """The cells, seed by seed, so that what is broken off has whole seeds."""
    seeds = experiment.seeds if order.seeds is None else order.seeds
    for place, seed in enumerate(seeds):
        for row in experiment.rows:
            if (not order.only or row in order.only) and (not place or row not in experiment.once):
                yield RowCell(order.name, row, seed)


def make_cell(data: Path, cell: RowCell, places: Places) -> Made:
    """Fit and measure a cell, in the process of a worker."""
    from experiments.registry import experiment

    found = experiment(cell.experiment)
    return found.make(found.rows[cell.row], Context(data, cell.seed, places))


def tell(ended: Progress) -> None:
    """Say how a cell ended."""
    how = f"failed: {ended.error}" if ended.error else f"{ended.seconds:.1f} s"
    print(f"{ended.cell.name}: {how}", file=sys.stderr, flush=True)


def rows_of(experiment: Experiment, cells: Path) -> list[results.Row]:
    """The rows of all finished cells, with the paired tests of those that have figures of users."""
    found: dict[str, dict[int, Any]] = {}
    users: dict[str, dict[int, Any]] = {}
    for file in sorted(cells.glob(f"*/{RESULT}")):
        cell = read_json(file, "cell")
        row, _, seed = cell["cell"].rpartition(", seed ")
        found.setdefault(row, {})[int(seed)] = cell
        if (side := file.with_name(USERS)).exists():
            with np.load(side, allow_pickle=False) as stored:
                users.setdefault(row, {})[int(seed)] = dict(stored)
    rows = [
        results.as_row(experiment.data, row, dict(sorted(found[row].items())))
        for row in experiment.rows
        if row in found
    ]
    results.compare(rows, users)
    return rows
