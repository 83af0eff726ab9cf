"""Look-up of an item id: its row."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids.reading import as_item_ids
from mmq.errors import DataError

_FEW = 1024
"""Up to this many strings are searched one by one; more are worth a hash table of all ids."""


class ItemIndex:
    """Row of an item id, among unique ids.

    Args:
        item_ids: Arrow array of int64 or string, unique.
    """

    def __init__(self, item_ids: pa.Array) -> None:
        self._ids = item_ids
        self._integer = pa.types.is_integer(item_ids.type)
        self._values = item_ids.to_numpy() if self._integer else None
        if self._values is not None:
            self._order = np.argsort(self._values)
            self._sorted = self._values[self._order]
        else:
            self._order = pc.sort_indices(item_ids).to_numpy()

    def find(self, item_ids: Any) -> np.ndarray:
        """Row of each id, -1 where there is none: ``(m,)`` int64.

        Strings are read as numbers where the table's ids are integers, and the reverse, since
        a command line only knows strings.
        """
        queries = self._cast(as_item_ids(item_ids))
        if queries.null_count:
            raise DataError("an item id that was asked for is null; give every item an id")
        if self._integer:
            values = queries.to_numpy(zero_copy_only=False)
            place = np.minimum(np.searchsorted(self._sorted, values), len(self._sorted) - 1)
            return np.where(self._sorted[place] == values, self._order[place], -1)
        if len(queries) > _FEW:
            ids = self._ids.cast(queries.type)
            rows = pc.index_in(queries, value_set=ids).fill_null(-1).cast(pa.int64())
            return np.array(rows)  # a copy: Arrow's own memory is not to be written to
        return np.array([self._row(query) for query in queries.to_pylist()], np.int64)

    def beside(self, item_id: Any, count: int = 2) -> list[Any]:
        """Ids that sort just before and after ``item_id``, at most ``count`` on each side."""
        place = self._place(self._cast(as_item_ids([item_id]))[0].as_py())
        around = self._order[max(place - count, 0) : place + count]
        return [self._ids[int(row)].as_py() for row in around]

    def _cast(self, queries: pa.Array) -> pa.Array:
        if pa.types.is_large_string(queries.type) and not self._integer:
            return queries  # more than 2 GiB, which fit in no other type
        try:
            return queries.cast(self._ids.type)
        except pa.ArrowInvalid as error:
            raise DataError(f"item ids of this table are whole numbers ({error})") from None

    def _place(self, item_id: Any) -> int:
        def at(place: int) -> Any:
            return self._ids[int(self._order[place])].as_py()

        # UTF-8 bytes, by which Arrow sorts, order like Python's code points
        return bisect.bisect_left(range(len(self._order)), item_id, key=at)

    def _row(self, item_id: Any) -> int:
        place = self._place(item_id)
        if place < len(self._order):
            row = int(self._order[place])
            if self._ids[row].as_py() == item_id:
                return row
        return -1
