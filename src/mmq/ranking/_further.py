"""Further columns of some rows, as a ranker reads them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.ranking._numbers import Scale, as_values, number_columns


class Further(NamedTuple):
    """Further columns of some rows.

    Attributes:
        values: name of each column of categories -> the values that occur.
        scales: name of each column of numbers -> the scale of numbers as they are.
        columns: ``(rows, c)`` int64 place of each row's value among those of its column.
        numbers: ``(rows, numeric columns)`` float32, NaN where there is none.
    """

    values: dict[str, pa.Array]
    scales: dict[str, Scale]
    columns: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, table: pa.Table, numeric: Collection[str], rows: int) -> Further:
        """The columns of a table of so many rows, of which ``numeric`` are of numbers.

        Raises:
            DataError: a value should be a number and is none, or a row has several values.
        """
        scales = {name: Scale() for name in table.column_names if name in numeric}
        coded = {
            name: as_values(table.column(name), name).dictionary_encode()
            for name in table.column_names
            if name not in scales
        }
        places = [each.indices.to_numpy().astype(np.int64) for each in coded.values()]
        return cls(
            {name: each.dictionary for name, each in coded.items()},
            scales,
            np.stack(places, 1) if places else np.empty((rows, 0), np.int64),
            number_columns(table, scales, rows),
        )
