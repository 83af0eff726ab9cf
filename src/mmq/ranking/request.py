"""A user who is shown some items, as impressions of a log of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mmq.data.item_ids import as_item_ids
from mmq.errors import DataError
from mmq.ranking.data import Met
from mmq.ranking.impressions import Impressions, Positives
from mmq.ranking.numbers import number_columns
from mmq.ranking.survey import as_values


def request(
    user_id: Any,
    history: Sequence[Any],
    item_ids: Sequence[Any],
    columns: Mapping[str, Any],
    numeric: Collection[str] = (),
) -> tuple[Met, Impressions]:
    """What occurs, and an impression of each item.

    Args:
        user_id: of the user.
        history: ids of what the user liked, oldest first; may be empty.
        item_ids: of the items.
        columns: name of each further column -> its value, or a list of one for each item.
        numeric: names of those that are of numbers.

    Raises:
        DataError: there are no items, a column has not a value for each, or not a number where it
            should.
    """
    if not len(item_ids):
        raise DataError("no items were given to be scored; give at least one")
    rows, before = len(item_ids), len(history)
    given = {name: _for_each(each, rows, name) for name, each in columns.items()}
    names = tuple(name for name in given if name in numeric)
    values = {name: as_values(each, name) for name, each in given.items() if name not in names}
    places = np.arange(rows)
    positives = Positives(np.arange(before), np.array([0, before]), np.zeros(before, np.int64), 1)
    impressions = Impressions(
        users=np.zeros(rows, np.int64),
        items=places + before,
        labels=np.zeros(rows, np.uint8),
        columns=np.repeat(places[:, None], len(values), 1),
        positives=positives,
        ends=np.full(rows, before),
        numbers=number_columns(pa.table({name: given[name] for name in names}), names)
        if names
        else np.empty((rows, 0), np.float32),
    )
    met = Met(as_item_ids([user_id]), as_item_ids([*history, *item_ids]), values, names)
    return met, impressions


def _for_each(value: Any, rows: int, name: str) -> pa.Array:
    """``(rows,)`` of one value, or of one for each row."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        value = [value] * rows
    if len(value) != rows:
        raise DataError(
            f"the column '{name}' has {len(value)} values for {rows} items; give one value, or one "
            "for each item"
        )
    return value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value)
