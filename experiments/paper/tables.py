"""The tables, from the cells: mean and sd over the seeds, and paired tests."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.cells import CELLS, USERS, folder_name
from experiments.paper.plan import QUANTISATION, RANKING, RETRIEVAL, Cell, Plan, Row, cell_of
from experiments.paper.variants import BY_GRADIENT, MMQ
from mmq.errors import DataError
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

    def of(self, row: Row, column: Column) -> dict[str, Any] | None:
        """:meth:`figure` of a column; None where it is not measured of the row."""
        return self.figure(row, column.part, column.key) if column.part in row.parts else None

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
    """A table as plain values, its rows compared with MMQ's, ablations with MMQ by gradient's.

    Rows without a cell in the plan are left out, and columns that no row has a figure of.
    """
    rows = [row for row in found.plan.rows[name] if found.planned(row)]
    ours = Row(BY_GRADIENT if name == "table2" else MMQ)
    figures = [{column.key: found.of(row, column) for column in COLUMNS} for row in rows]
    columns = [column for column in COLUMNS if any(each[column.key] for each in figures)]
    return {
        "title": title,
        "about": " ".join([about, *_eligible(found, rows)]),
        "compared_with": ours.name,
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
                    if row.name != ours.name and column.better and each[column.key]
                    if (test := found.compare(row, ours, column.part, column.key))
                },
            }
            for row, each in zip(rows, figures, strict=True)
        ],
    }


def _eligible(found: Found, rows: Sequence[Row]) -> Iterator[str]:
    """A sentence on what GAUC is of, if a ranker was measured; it is the same for all."""
    for row, seed in itertools.product(rows, found.seeds):
        cell = found.cells.get(cell_of(row, RANKING, seed).name) if RANKING in row.parts else None
        if cell is not None and "all_rows" in cell["figures"]:
            figures = cell["figures"]
            yield (
                f"GAUC and AUC of users are of the {figures['eligible_users']:,} of "
                f"{figures['all_users']:,} users who have impressions of both labels, "
                f"{figures['eligible_rows']:,} of {figures['all_rows']:,} impressions."
            )
            return


def _told(test: PairedTest) -> dict[str, float]:
    return {"difference": test.difference, "low": test.low, "high": test.high, "p": test.p_value}
