"""The first reading of a log: who and what occurs in it, what was positive, how it is divided."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._cleaning import row_hashes
from mmq.data._interactions import Interactions
from mmq.data._item_ids import end_to_end
from mmq.data._log import LogReader
from mmq.data._splits import (
    TEST,
    TRAIN,
    VALIDATION,
    parts_by_time,
    random_parts,
    stored_parts,
)
from mmq.data._spool import Spool
from mmq.data._times import Clock
from mmq.errors import DataError
from mmq.ranking._numbers import Kind, Scale, as_values, check_categories, kinds_of
from mmq.ranking._settings import FRACTIONS, RankingSplit
from mmq.ranking._vocabulary import Vocabulary

PARTS = {"training": TRAIN, "validation": VALIDATION, "test": TEST}


class Survey(NamedTuple):
    """What a first reading gives.

    Attributes:
        vocabulary: users, items and values by first appearance.
        times: ``(rows,)`` int64, the smallest where unknown.
        has_time: ``(rows,)`` bool.
        labels: ``(rows,)`` uint8, 1 for a positive.
        parts: ``(rows,)`` uint8; see :mod:`mmq.data._splits`.
        repeated: how many rows equal an earlier one in all columns that are read.
    """

    vocabulary: Vocabulary
    times: np.ndarray
    has_time: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    repeated: int


def survey(reader: LogReader, split: RankingSplit, spool: Spool) -> Survey:
    """Read the log once: who and what occurs in it, what was positive, and how it is divided.

    Raises:
        DataError: there are no rows, a row has neither label nor rating, or the log cannot be
            divided as asked.
    """
    if not reader.rows:
        raise DataError("there are no interactions; give at least one row")
    if split.split == "stored" and "split" not in reader.names:
        raise DataError("the interactions have no split column; split them by time instead")
    times, has_time = spool.empty(reader.rows, np.int64), spool.empty(reader.rows, bool)
    labels, parts = (spool.empty(reader.rows, np.uint8) for _ in range(2))
    kinds = kinds_of(reader.columns, reader.numeric, reader.settled)
    seen: dict[str, pa.Array] = {}
    start, clock, hashes = 0, Clock(times, has_time), np.empty(reader.rows, np.uint64)
    for log, further in reader:
        rows = slice(start, start + len(log))
        hashes[rows] = row_hashes(log, further)
        clock.add(log.times, log.has_time, log.time_unit)
        labels[rows] = log.labels(split.positive_above, start)
        parts[rows] = _parts(log, split)
        for name, values in _values(log, further, kinds).items():
            seen[name] = _distinct(seen.get(name), values)
        start = rows.stop
    clock.settle()
    if split.split == "chronological":
        parts[:] = _by_time(times, has_time)
    hashes.sort()
    again = int(np.count_nonzero(hashes[1:] == hashes[:-1]))
    vocabulary = _vocabulary(seen, kinds, split.ties == "shuffled")
    return Survey(vocabulary, times, has_time, labels, parts, again)


def _parts(log: Interactions, split: RankingSplit) -> np.ndarray | int:
    """The part of each row of a piece, where that takes no look at the whole log."""
    if split.split == "stored":
        return stored_parts(log)
    return random_parts(log, FRACTIONS) if split.split == "random" else TRAIN


def _by_time(times: np.ndarray, has_time: np.ndarray) -> np.ndarray:
    """``(rows,)`` the part of each row, by its time."""
    if not has_time.any():
        raise DataError(
            "no row of the log has a timestamp, so it cannot be divided by time; give timestamps, "
            "a split column of train, validation and test, or --split random"
        )
    return parts_by_time(times, has_time, FRACTIONS)


def _values(log: Interactions, further: pa.Table, kinds: list[Kind]) -> dict[str, pa.Array]:
    """Users, items and categories of a piece, from which ``kinds`` learn what the columns are."""
    found = {"user": log.user_ids, "item": log.item_ids}
    for kind in kinds:
        kind.add(further.column(kind.name))
        if kind.is_open:
            found[f"column:{kind.name}"] = as_values(further.column(kind.name), kind.name)
    return found


def _distinct(known: pa.Array | None, values: pa.Array) -> pa.Array:
    """What is known and what is new, by first appearance; text beside numbers makes all text."""
    new = pc.unique(values)
    return new if known is None else pc.unique(end_to_end([known, new]))


def _vocabulary(seen: dict[str, pa.Array], kinds: list[Kind], in_order: bool) -> Vocabulary:
    """What was seen, sorted if that is asked for."""
    if in_order:
        seen = {name: each.take(pc.sort_indices(each)) for name, each in seen.items()}
    columns = {kind.name: seen[f"column:{kind.name}"] for kind in kinds if not kind.numeric}
    for name, values in columns.items():
        check_categories(values, name)
    numbers = {kind.name: Scale() for kind in kinds if kind.numeric}
    return Vocabulary(seen["user"], seen["item"], columns, numbers)
