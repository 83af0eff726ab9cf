"""The tables and figures, from the cells: mean and sd over the seeds, and paired tests."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.errors import DataError
from mmq.experiments.paper.folders import USERS, folder_name
from mmq.experiments.paper.plan import (
    JOINTLY,
    LONGER,
    QUANTISATION,
    RANKING,
    RETRIEVAL,
    Cell,
    Plan,
    Row,
    cell_of,
)
from mmq.experiments.paper.schedule import CELLS
from mmq.experiments.paper.variants import MMQ, baselines, length_of, lengths, specific_only
from mmq.metrics.resampling import PairedTest, PerUser, paired_by_user, paired_t_test


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        part: which cell of the row it is read from.
        key: name of the figure there.
        title: of the column.
        better: "higher", "lower", or None where neither is.
        digits: after the point.
    """

    part: str
    key: str
    title: str
    better: str | None
    digits: int = 4


RECON = Column(QUANTISATION, "l_recon fit", "L_recon", "lower", 3)
ENTROPY = Column(QUANTISATION, "entropy", "Entropy (nats)", "higher", 3)
RECALL = Column(RETRIEVAL, "recall@10", "R@10", "higher")
AUC = Column(RANKING, "auc", "AUC", "higher")
COLUMNS = (
    RECON,
    Column(QUANTISATION, "l_recon_codes fit", "L_recon, codes alone", "lower", 3),
    Column(QUANTISATION, "fvu_codes held_out", "FVU, new items", "lower", 3),
    ENTROPY,
    Column(QUANTISATION, "utilisation", "Codes used", "higher", 3),
    Column(QUANTISATION, "distinct_share", "Distinct IDs", "higher", 3),
    Column(RETRIEVAL, "recall@5", "R@5", "higher"),
    RECALL,
    Column(RETRIEVAL, "ndcg@5", "N@5", "higher"),
    Column(RETRIEVAL, "ndcg@10", "N@10", "higher"),
    Column(RETRIEVAL, "cold recall@10", "R@10, cold items", "higher"),
    Column(RETRIEVAL, "items_moved", "New IDs", None, 3),
    AUC,
    Column(RANKING, "gauc", "GAUC", "higher"),
    Column(RANKING, "gauc_unweighted", "AUC of users", "higher"),
    Column(RANKING, "cold auc", "AUC, rare items", "higher"),
)
PARAMETERS = Column(QUANTISATION, "parameters", "Parameters", None, 0)

CHANCE = 0.5
"""AUC of whoever knows nothing."""

_PER_USER = {
    (RETRIEVAL, "recall@10"): "recall@10",
    (RETRIEVAL, "ndcg@10"): "ndcg@10",
    (RANKING, "gauc_unweighted"): "auc",
}
"""Part and figure -> that of single users, which rows are compared by."""


class Found(NamedTuple):
    """What is known of the cells.

    Attributes:
        plan: of the tables.
        seeds: of the cells.
        cells: name of a cell -> its result; of those that are finished.
        out: the folder of the reproduction.
        modalities: of the catalogue.
    """

    plan: Plan
    seeds: Sequence[int]
    cells: Mapping[str, Mapping[str, Any]]
    out: Path
    modalities: tuple[str, ...]

    def planned(self, row: Row) -> bool:
        """Whether any part of a row is measured."""
        names = {cell.name for cell in self.plan.cells}
        parts = ((part, seed) for part in row.parts for seed in self.seeds)
        return any(cell_of(row, part, seed).name in names for part, seed in parts)

    def values(self, row: Row, part: str, key: str) -> dict[int, float]:
        """Seed -> figure, of the seeds that have it."""
        found = {}
        for seed in self.seeds:
            cell = self.cells.get(cell_of(row, part, seed).name)
            value = cell["figures"].get(key) if cell else None
            if value is not None and math.isfinite(value):
                found[seed] = float(value)
        return found

    def figure(
        self, row: Row, part: str, key: str, seeds: Collection[int] | None = None
    ) -> dict[str, Any] | None:
        """Mean, sample sd and values of some seeds, or of all; None where there are none."""
        found = self.values(row, part, key)
        values = [value for seed, value in found.items() if seeds is None or seed in seeds]
        if not values:
            return None
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return {"mean": float(np.mean(values)), "sd": sd, "values": values}

    def compare(self, one: Row, other: Row, part: str, key: str) -> PairedTest | None:
        """A paired test of two rows, over the seeds that both have; None where nothing tells.

        Where figures of single users are known, over users as well.
        """
        with contextlib.suppress(DataError):  # there is not enough to compare
            if (part, key) in _PER_USER:
                return self._by_user(one, other, part, _PER_USER[part, key])
            first, second = (self.values(row, part, key) for row in (one, other))
            both = sorted(first.keys() & second.keys())
            own, theirs = (np.array([each[seed] for seed in both]) for each in (first, second))
            return paired_t_test(own, theirs)
        return None

    def _by_user(self, one: Row, other: Row, part: str, figure: str) -> PairedTest:
        runs = []
        for seed in self.seeds:
            own, theirs = (cell_of(row, part, seed) for row in (one, other))
            if own.name in self.cells and theirs.name in self.cells:
                runs.append((self._users(own, figure), self._users(theirs, figure)))
        return paired_by_user(runs)

    def _users(self, cell: Cell, figure: str) -> PerUser:
        path = self.out / CELLS / folder_name(cell) / USERS
        with np.load(path, allow_pickle=False) as stored:
            figures = stored[figure]
            ids = stored["user"] if "user" in stored else np.arange(len(figures)).astype(str)
            return PerUser(ids, figures)


def table(found: Found, name: str, title: str, about: str) -> dict[str, Any]:
    """A table as plain values, its rows compared with MMQ's.

    Rows without a cell in the plan are left out, and columns that no row has a figure of.
    """
    rows, ours = [row for row in found.plan.rows[name] if found.planned(row)], Row(MMQ)
    figures = [{column.key: _figure(found, row, column) for column in COLUMNS} for row in rows]
    columns = [column for column in COLUMNS if any(each[column.key] for each in figures)]
    return {
        "title": title,
        "about": about,
        "compared_with": MMQ,
        "columns": [
            {
                "key": column.key,
                "title": column.title,
                "group": column.part.capitalize(),
                "better": column.better,
                "digits": column.digits,
            }
            for column in columns
        ],
        "rows": [
            {
                "name": row.name,
                "figures": {column.key: each[column.key] for column in columns},
                "against": {
                    column.key: _told(test)
                    for column in columns
                    if row.name != MMQ and column.better and each[column.key]
                    if (test := found.compare(row, ours, column.part, column.key))
                },
            }
            for row, each in zip(rows, figures, strict=True)
        ],
    }


def _told(test: PairedTest) -> dict[str, float]:
    return {"difference": test.difference, "low": test.low, "high": test.high, "p": test.p_value}


def _figure(found: Found, row: Row, column: Column) -> dict[str, Any] | None:
    return found.figure(row, column.part, column.key) if column.part in row.parts else None


class Line(NamedTuple):
    """A series of a panel: its name, and the row of each point."""

    name: str
    rows: Sequence[Row]


def panel(
    found: Found, column: Column, lines: Sequence[Line], x: Sequence[Any], **looks: Any
) -> dict[str, Any] | None:
    """A panel as plain values; None where no point has a figure.

    Args:
        found: the cells.
        column: what is plotted.
        lines: the series.
        x: of the points.
        looks: ``kind`` ("bars" or "lines"), ``x_label``, and ``floor``, where bars start.
    """
    series = []
    for line in lines:
        points = [_figure(found, row, column) for row in line.rows]
        if any(points):
            values = [point["mean"] if point else None for point in points]
            sd = [point["sd"] if point else None for point in points]
            series.append({"name": line.name, "values": values, "sd": sd})
    if not series:
        return None
    return {"title": column.title, "y_label": column.title, "x": list(x), "series": series, **looks}


_HELD = Column(QUANTISATION, "fvu_codes held_out", "FVU of new items, codes alone", "lower")


def figure3(found: Found) -> list[Any]:
    """What models find of the quarter of the items that is met most, and that is met least."""
    rows, panels = found.plan.rows["figure3"], []
    for part, key, short, floor in (
        (RETRIEVAL, "recall@10", "R@10", 0.0),
        (RANKING, "auc", "AUC", CHANCE),
    ):
        names = [row for row in rows if part in row.parts]
        for stratum, word in (("head", "popular"), ("tail", "unpopular")):
            column = Column(part, f"{stratum} {key}", f"{short}, {word} items", "higher")
            x = [row.name for row in names]
            looks = {"kind": "bars", "x_label": "", "floor": floor}
            panels.append(panel(found, column, [Line("", names)], x, **looks))
    return panels


def figure4(found: Found) -> list[Any]:
    """Before and after stage 2."""
    variants = [
        *(name for name in baselines(found.modalities) if name.endswith("RQ-VAE")), MMQ,
    ]  # fmt: skip
    stages = {"frozen": "", "trained longer": LONGER, "fine-tuned": JOINTLY}
    lines = [
        Line(name, [Row(variant, stage) for variant in variants]) for name, stage in stages.items()
    ]
    floors = {RECALL: 0.0, AUC: CHANCE}
    return [
        panel(found, each, lines, variants, kind="bars", x_label="", floor=floor)
        for each, floor in floors.items()
    ]


def figure5(found: Found) -> list[Any]:
    """By the length of the ID."""
    m = len(found.modalities)
    counts = list(lengths(m))
    rows = [Row(MMQ if n == length_of(m) else f"{MMQ}, {n} codes") for n in counts]
    return [
        panel(found, each, [Line(MMQ, rows)], counts, kind="lines", x_label="codes of an ID")
        for each in (RECON, _HELD, RECALL, AUC)
    ]


def figure6(found: Found) -> list[Any]:
    """With and without shared experts."""
    m = len(found.modalities)
    alone = specific_only(m)
    counts = [each * m for each in alone.values()]
    six = length_of(m)
    with_shared = [Row(MMQ) if n == six else Row("") for n in counts]
    lines = [
        Line("specific experts alone", [Row(name) for name in alone]),
        Line("with shared experts", with_shared),
    ]
    columns = (PARAMETERS, RECON, _HELD, RECALL, AUC)
    return [panel(found, each, lines, counts, kind="lines", x_label="experts") for each in columns]


FIGURES: Mapping[str, Callable[[Found], list[Any]]] = {
    "figure3": figure3,
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
}
