"""Data frames of any library as Arrow tables, without importing any of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mmq.errors import DataError


def is_frame(data: Any) -> bool:
    """Whether this is a table, or a data frame of pandas, polars or whatever gives Arrow."""
    return isinstance(data, pa.Table | pa.RecordBatch) or hasattr(data, "__arrow_c_stream__")


def as_table(data: Any, what: str) -> pa.Table:
    """The columns of a data frame, as Arrow; the index of a pandas frame is left out.

    Args:
        data: a frame with ``__arrow_c_stream__`` (the Arrow PyCapsule interface: pandas from 2.2
            on, polars, DuckDB, Arrow itself).
        what: it should be, for the message.

    Raises:
        DataError: it is no data frame, or a column cannot be Arrow.

    >>> as_table(pa.record_batch({"item_id": [1, 2]}), "catalogue").column_names
    ['item_id']
    """
    if not is_frame(data):
        raise DataError(
            f"{type(data).__name__} is no data frame; give the {what} as one of pandas, polars or "
            "Arrow"
        )
    try:
        table = pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the {what} cannot be read ({str(error).splitlines()[0]}); give each column one type"
        ) from None
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return table.drop_columns([name for name in index if isinstance(name, str)])
