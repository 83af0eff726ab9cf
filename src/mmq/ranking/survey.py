"""The first reading of a log: who and what occurs in it, what was liked, how it is divided."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data.interactions import Interactions
from mmq.data.item_ids import end_to_end, joined
from mmq.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    parts_by_time,
    random_parts,
    stored_parts,
)
from mmq.data.spool import Spool
from mmq.data.texts import as_text
from mmq.data.times import Clock
from mmq.errors import DataError
from mmq.ranking.log import Pieces, hashes_of
from mmq.ranking.numbers import kinds_of
from mmq.ranking.settings import RankingSplit

MOST_NUMBERS = 100
"""Distinct numbers with fractions that may be categories."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_FRACTION = r"\.[0-9]*[1-9]|[eE]-"

PARTS = {"training": TRAIN, "validation": VALIDATION, "test": TEST}


class Survey(NamedTuple):
    """What a first reading gives.

    Attributes:
        user_ids: Arrow array of all users, by first appearance.
        item_ids: Arrow array of all items.
        values: of each further column of categories, by name, Arrow array of its values.
        numeric: names of the further columns of numbers.
        times: ``(rows,)`` int64, the smallest where unknown.
        has_time: ``(rows,)`` bool.
        labels: ``(rows,)`` uint8, 1 for what was liked.
        parts: ``(rows,)`` uint8; see :mod:`mmq.data.splits`.
        repeated: how many rows equal an earlier one in all columns that are read.
    """

    user_ids: pa.Array
    item_ids: pa.Array
    values: dict[str, pa.Array]
    numeric: tuple[str, ...]
    times: np.ndarray
    has_time: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    repeated: int


def survey(pieces: Pieces, settings: RankingSplit, spool: Spool) -> Survey:
    """Read the log once: who and what occurs in it, what was liked, and how it is divided.

    Raises:
        DataError: there are no rows, a row has neither label nor rating, or the log cannot be
            divided as asked.
    """
    if not pieces.rows:
        raise DataError("there are no interactions; give at least one row")
    how = settings.resolved_split(pieces.names)
    if how == "stored" and "split" not in pieces.names:
        raise DataError("the interactions have no split column; split them by time instead")
    times, has_time = spool.empty(pieces.rows, np.int64), spool.empty(pieces.rows, bool)
    labels, parts = (spool.empty(pieces.rows, np.uint8) for _ in range(2))
    users, items = _Distinct(), _Distinct()
    values = {name: _Distinct() for name in pieces.columns}
    kinds = kinds_of(pieces.columns, pieces.numeric, pieces.settled)
    start, clock = 0, Clock(times, has_time)
    hashes = np.empty(pieces.rows, np.uint64)
    for log, further in pieces:
        rows = slice(start, start + len(log))
        hashes[rows] = hashes_of(log, further)
        clock.add(log.times, log.has_time, log.time_unit)
        labels[rows] = _labels(log, settings.positive_above, start)
        if how == "stored":
            parts[rows] = stored_parts(log)
        elif how == "random":
            parts[rows] = random_parts(log, settings.fractions)
        users.add(log.user_ids)
        items.add(log.item_ids)
        for kind in kinds:
            kind.add(further.column(kind.name))
            if kind.is_open:
                values[kind.name].add(as_values(further.column(kind.name), kind.name))
        start = rows.stop
    clock.settle()
    numeric = tuple(kind.name for kind in kinds if kind.numeric)
    found = {name: each.values for name, each in values.items() if name not in numeric}
    who, what = users.values, items.values
    if settings.ties == "shuffled":
        who, what, *others = map(_sorted, (who, what, *found.values()))
        found = dict(zip(found, others, strict=True))
    for name, distinct in found.items():
        check_categories(distinct, name)
    if how == "chronological":
        if not has_time.any():
            raise DataError(
                "no row of the log has a timestamp, so it cannot be divided by time; give "
                "timestamps, a split column of train, validation and test, or --split random"
            )
        parts[:] = parts_by_time(times, has_time, settings.fractions)
    hashes.sort()
    again = int(np.count_nonzero(hashes[1:] == hashes[:-1]))
    return Survey(who, what, found, numeric, times, has_time, labels, parts, again)


def _sorted(values: pa.Array) -> pa.Array:
    return values.take(pc.sort_indices(values))


class _Distinct:
    """Gathers the distinct values of pieces, by first appearance."""

    def __init__(self) -> None:
        self._known: pa.Array | None = None

    def add(self, values: pa.Array) -> None:
        """Take up those that are new; text beside numbers makes all of them text."""
        new = pc.unique(values)
        if self._known is not None:
            new = pc.unique(end_to_end([self._known, new]))
        self._known = new

    @property
    def values(self) -> pa.Array:
        """All of them."""
        assert self._known is not None
        return self._known


def as_values(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array:
    """The values of a categorical column as text; a null, as NaN, is the value "".

    Raises:
        DataError: a row has several of them.
    """
    return joined(pc.fill_null(as_text(column, name), ""))


def check_categories(values: pa.Array, name: str) -> None:
    """Raise :class:`DataError` for a column of measurements: many numbers, most with fractions.

    Each of them would be a category of its own, of which nothing can be learned.

    Args:
        values: the distinct ones, as text.
        name: of the column.
    """
    told = values.filter(pc.not_equal(values, ""))
    if len(told) <= MOST_NUMBERS or not pc.all(pc.match_substring_regex(told, _NUMBER)).as_py():
        return
    fractions = pc.sum(pc.match_substring_regex(told, _FRACTION)).as_py()
    if 2 * fractions > len(told):
        raise DataError(
            f"the column '{name}' holds {len(told):,} different numbers, such as "
            f"{told[0].as_py()}, which are measurements and no categories; name it with "
            f"--numeric-column {name}, so that it is read as numbers, or leave it out"
        )


def _labels(log: Interactions, above: float, start: int) -> np.ndarray:
    """``(rows,)``: the label where there is one, else whether the rating is above."""
    names = log.table.column_names
    if "label" in names:
        labels: np.ndarray = log.table.column("label").to_numpy()
        return labels
    if "rating" not in names:
        raise DataError(
            "the interactions have neither labels nor ratings; ranking learns from what was shown "
            "and not liked as well, so give a label column of 0 and 1 (--label-column)"
        )
    rating = log.table.column("rating")
    unknown = np.flatnonzero(rating.is_null().to_numpy(zero_copy_only=False))
    if len(unknown):
        raise DataError(
            f"row {start + unknown[0]} has no rating ({len(unknown):,} such rows); drop them, or "
            "give a label column"
        )
    liked: np.ndarray = rating.to_numpy() > above
    return liked
