"""What ids of a catalogue, a log's items and a table of IDs have to be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.errors import DataError


def check_ids(item_ids: pa.Array) -> None:
    """Raise :class:`DataError` for no items, a null id or a duplicate id."""
    if len(item_ids) == 0:
        raise DataError("the catalogue is empty; give at least one item")
    if item_ids.null_count:
        row = int(np.flatnonzero(item_ids.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"row {row} has no item id; give every item an id")
    if len(item_ids.unique()) < len(item_ids):
        counts = item_ids.value_counts()
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))[0]
        raise DataError(
            f"item id {repeated['values'].as_py()!r} occurs {repeated['counts'].as_py()} times; "
            "every item needs an id of its own, drop the duplicates"
        )
