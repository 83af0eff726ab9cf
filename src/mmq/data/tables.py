"""One reader for the tables that users bring: Parquet, CSV, TSV, JSON Lines, RecBole atomic."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.artifacts import require_file
from mmq.data.delimited import read_csv
from mmq.data.jsonl import read_jsonl
from mmq.data.recbole import read_atomic
from mmq.errors import DataError, FormatError, nearest


class ColumnOption(NamedTuple):
    """A column that the user may map.

    Attributes:
        name: its name in the file.
        option: the command-line option that maps it.
    """

    name: str
    option: str


def read_table(
    path: str | Path, columns: Collection[str] | None = None, ids: Collection[str] = ()
) -> pa.Table:
    """The columns of a table file, told apart by its suffix, as an Arrow table.

    In text files an empty field is null and dates stay text.

    Args:
        path: ``.parquet``, ``.csv``, ``.tsv``, ``.jsonl``, ``.json``, ``.jsonl.gz``,
            ``.inter`` or ``.item``.
        columns: names to read where the file has them; all where None.
        ids: columns of a CSV or TSV that hold ids: text, unless all are whole numbers without
            leading zeros (``007`` is a code, not a number).

    Raises:
        DataError: no such file, or a suffix that is not known.
        FormatError: the file is truncated or damaged.
    """
    path = require_file(path, "table")
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix in (".jsonl", ".json"):
        table = read_jsonl(path, columns)
    elif path.suffix in (".parquet", ".pq"):
        table = _read_parquet(path, columns)
    elif path.suffix in (".csv", ".tsv"):
        table = read_csv(path, "," if path.suffix == ".csv" else "\t", columns, ids)
    elif path.suffix in (".inter", ".item", ".user"):
        table = read_atomic(path)
        table = table.select([n for n in table.column_names if columns is None or n in columns])
    else:
        raise DataError(
            f"{path} has a suffix that is not known; give .parquet, .csv, .tsv, .jsonl or .inter"
        )
    return table


def column_names(path: str | Path) -> list[str]:
    """Names of all columns of a table file."""
    if Path(path).suffix in (".parquet", ".pq"):
        return list(open_parquet(Path(path)).schema_arrow.names)
    return list(read_table(path).column_names)


def missing_column(path: str | Path, column: ColumnOption) -> DataError:
    """The error for a column that is not in the file: names the nearest one and how to map it."""
    known = column_names(path)
    if not known:
        return DataError(f"{path} is empty; give at least one row")
    return DataError(
        f"{path} has no column '{column.name}'; {nearest(column.name, known)} "
        f"(map it with {column.option} NAME)"
    )


def plain(table: pa.Table) -> pa.Table:
    """The table with text, and lists of it, of the usual types.

    Others write categories (pandas) and large or view types (polars).
    """
    for index, field in enumerate(table.schema):
        usual = _usual(field.type)
        if usual != field.type:
            table = table.set_column(index, field.name, table.column(index).cast(usual))
    return table


def _usual(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _usual(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _usual(kind.value_type)
        if inner != kind.value_type or (pa.types.is_large_list(kind) and inner == pa.string()):
            return pa.list_(inner)
    return kind


def without_nan(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column of numbers with null where it holds NaN; any other as it is."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file, opened but not read.

    Raises:
        FormatError: it is truncated or not Parquet.
        DataError: two columns have the same name.
    """
    try:
        file = pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged_parquet(path, error) from error
    names = file.schema_arrow.names
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path} has {names.count(name)} columns '{name}'; rename all but one")
    return file


def _read_parquet(path: Path, columns: Collection[str] | None) -> pa.Table:
    file = open_parquet(path)
    names = [n for n in file.schema_arrow.names if columns is None or n in columns]
    try:
        table = file.read(columns=names)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged_parquet(path, error) from error
    return plain(table).replace_schema_metadata(None)


def damaged_parquet(path: Path, error: Exception) -> FormatError:
    """What to say of a file that cannot be read to its end."""
    reason = str(error).splitlines()[0]
    return FormatError(
        f"{path} is not a whole Parquet file ({reason}); it is truncated or damaged, make it again"
    )
