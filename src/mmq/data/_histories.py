"""Logs of a history a row: lists of items become rows of one item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids import joined
from mmq.data._kinds import is_list
from mmq.data._times import as_times
from mmq.errors import DataError

Column: TypeAlias = "pa.Array | pa.ChunkedArray"


def one_row_each(columns: Mapping[str, Column], form: str | None = None) -> dict[str, Column]:
    """The columns with a row for every item, where ``item_id`` holds lists of items.

    A column of lists has one entry an item; of any other the value holds for the whole row. A
    history is in its order: where it has one time, each item comes a microsecond after the one
    before, and where it has none, its place counts.

    Args:
        columns: equally long; see :class:`~mmq.data._interactions.Interactions`.
        form: how times are written.

    Raises:
        DataError: the lists of a row differ in length, or other columns hold lists than items.
    """
    lists = {name: _as_list(values) for name, values in columns.items() if is_list(values.type)}
    if "item_id" not in lists:
        if lists:
            name = min(lists)
            raise DataError(
                f"the column {name} holds lists, item_id does not; give one value a row, or one "
                "history a row with lists in item_id too"
            )
        return dict(columns)
    lengths = _lengths(lists["item_id"])
    for name, values in lists.items():
        wrong = np.flatnonzero(_lengths(values) != lengths)
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"row {row} has {lengths[row]} items and {_lengths(values)[row]} entries in "
                f"{name}; give one entry an item"
            )
    rows = pa.array(np.repeat(np.arange(len(lengths)), lengths))
    found: dict[str, Column] = {
        name: pc.list_flatten(lists[name]) if name in lists else values.take(rows)
        for name, values in columns.items()
    }
    if "timestamp" not in lists:
        place = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found["timestamp"] = _with_place(found.get("timestamp"), place, form)
    return found


def _as_list(values: Column) -> pa.Array:
    values = joined(values)
    if pa.types.is_list(values.type):
        return values
    return values.cast(pa.list_(values.type.value_type))


def _lengths(lists: pa.Array) -> np.ndarray:
    lengths: np.ndarray = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    return lengths


def _with_place(times: Column | None, place: np.ndarray, form: str | None) -> pa.Array:
    if times is None:
        return pa.array(place, pa.timestamp("us"))
    moments = as_times(times, form).cast(pa.timestamp("us"), safe=False)
    known = pc.fill_null(moments.cast(pa.int64()), 0)
    return pa.array(known.to_numpy() + place).cast(pa.timestamp("us"))
