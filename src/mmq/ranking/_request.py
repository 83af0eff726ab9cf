"""A user who is shown some items, as impressions of a log of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mmq.data._item_ids import as_item_ids
from mmq.data._sequences import Packed, Sequences
from mmq.errors import DataError
from mmq.ranking._further import Further
from mmq.ranking._impressions import Impressions
from mmq.ranking._vocabulary import Vocabulary


def request(
    user_id: Any,
    history: Sequence[Any],
    item_ids: Sequence[Any],
    columns: Mapping[str, Any],
    numeric: Collection[str] = (),
) -> tuple[Vocabulary, Impressions]:
    """Who and what occurs, and an impression of each item.

    Args:
        user_id: of the user.
        history: ids of the user's positives, oldest first; may be empty.
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
    given = pa.table({name: _for_each(each, rows, name) for name, each in columns.items()})
    further = Further.of(given, numeric, rows)
    impressions = Impressions(
        users=np.zeros(rows, np.int64),
        items=np.arange(rows) + before,
        labels=np.zeros(rows, np.uint8),
        columns=further.columns,
        numbers=further.numbers,
        positives=Sequences.of(Packed(np.arange(before), np.array([before]))),
        ends=np.full(rows, before),
    )
    who, what = as_item_ids([user_id]), as_item_ids([*history, *item_ids])
    return Vocabulary(who, what, further.values, further.scales), impressions


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
