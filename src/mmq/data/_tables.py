"""One reader for the tables that users bring: Parquet, CSV, TSV, JSON Lines, RecBole atomic."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.data._delimited import Hints, delimited_names, read_csv, read_tsv
from mmq.data._embeddings import storage_of
from mmq.data._files import Part, format_of, table_parts
from mmq.data._item_ids import as_ids, as_numbers, as_string, same_type
from mmq.data._jsonl import concatenated, first_names, read_jsonl
from mmq.data._kinds import is_list, is_text
from mmq.data._recbole import atomic_names, read_atomic
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
    path: str | Path,
    columns: Collection[str] | None = None,
    ids: Collection[str] = (),
    hints: Hints | None = None,
) -> pa.Table:
    """The columns of a table, its format told by the suffix, as an Arrow table.

    Columns of CSV, TSV and RecBole tokens are text as it stands, an empty field is null.

    Args:
        path: ``.parquet``, ``.csv``, ``.tsv``, ``.jsonl``, ``.json``, ``.inter`` or ``.item``, text
            also as ``.gz``; a folder of such files, or a pattern of them (see
            :func:`~mmq.data._files.table_parts`).
        columns: names to read where the file has them; all where None.
        ids: columns that hold ids. In text files they are int64, unless one is no whole number or
            has leading zeros (``007`` is a code, not a number).
        hints: columns of text files that may be numbers of a type; else they stay as written.

    Raises:
        DataError: no such file, or a suffix that is not known.
        FormatError: the file is truncated or damaged.
    """
    parts = table_parts(path)
    untyped = format_of(parts[0].path) not in ("parquet", "jsonl")
    tables = [_with_ids(_read(part, columns, hints, ids), ids, part, untyped) for part in parts]
    if len(tables) == 1:
        return tables[0]
    if format_of(parts[0].path) != "jsonl":  # whose lines have the keys that they need
        _check_columns(parts, tables)
    tables = [table for table in tables if len(table)] or [each for each in tables if each.schema]
    return _together(tables, ids, path) if tables else pa.table({})


def _check_columns(parts: Sequence[Part], tables: Sequence[pa.Table]) -> None:
    """Raise :class:`DataError` for a part that has rows and lacks a column that others have."""
    names = {name for table in tables if len(table) for name in table.column_names}
    for part, table in zip(parts, tables, strict=True):
        lacking = names.difference(table.column_names)
        if lacking and len(table):
            raise DataError(
                f"{part.path} has no column '{min(lacking)}', which other parts have; add it, or "
                "give files that have the same columns"
            )


def column_names(path: str | Path) -> list[str]:
    """Names of all columns of a table; of JSON Lines, those of its first block."""
    part = table_parts(path)[0]
    kind = format_of(part.path)
    if kind == "parquet":
        names = list(open_parquet(part.path).schema_arrow.names)
    elif kind == "recbole":
        names = atomic_names(part.path)
    elif kind == "jsonl":
        names = first_names(part.path)
    else:
        names = delimited_names(part.path, "," if kind == "csv" else "\t")
    return [*names, *(name for name in part.values if name not in names)]


def _read(
    part: Part, columns: Collection[str] | None, hints: Hints | None, ids: Collection[str]
) -> pa.Table:
    kind = format_of(part.path)
    if kind == "jsonl":
        table = read_jsonl(part.path, columns)
    elif kind == "parquet":
        table = _read_parquet(part.path, columns)
    elif kind == "csv":
        table = read_csv(part.path, columns, hints)
    elif kind == "tsv":
        table = read_tsv(part.path, columns, hints)
    else:
        table = read_atomic(part.path, columns, hints, ids)
    for name, value in part.values.items():
        if name not in table.column_names and (columns is None or name in columns):
            table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table


def _with_ids(table: pa.Table, ids: Collection[str], part: Part, untyped: bool) -> pa.Table:
    """The table with ids of int64 or text; in a file without types, digits are a number."""
    for name in set(table.column_names).intersection(ids):
        column = table.column(name)
        if not is_list(storage_of(column.type)):
            place = table.column_names.index(name)
            found = as_ids(column, f"the {name}s")
            text = untyped or name in part.values
            table = table.set_column(place, name, as_numbers(found) if text else found)
    return table


def _together(tables: list[pa.Table], ids: Collection[str], path: str | Path) -> pa.Table:
    for name in ids:
        there = [table.column(name) for table in tables if name in table.column_names]
        if len(there) == len(tables) and not any(is_list(each.type) for each in there):
            place = [table.column_names.index(name) for table in tables]
            tables = [
                table.set_column(at, name, column)
                for table, at, column in zip(tables, place, same_type(there), strict=True)
            ]
    try:
        return concatenated(tables)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"the files of {path} do not go together ({str(error).splitlines()[0]}); give a column "
            "one type in all of them"
        ) from error


def missing_column(
    path: str | Path, column: ColumnOption, taken: Collection[str] = ()
) -> DataError:
    """The error for a column that is not in the file: names the nearest one and how to map it.

    Args:
        path: the file.
        column: that it lacks.
        taken: columns that are something else.
    """
    known = column_names(path)
    known = [name for name in known if name not in taken] or known
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
            column = table.column(index)
            same = as_string(column) if is_text(field.type) else column.cast(usual)
            table = table.set_column(index, field.name, same)
    return table


def usual_types(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Name of each column -> its type after :func:`plain`."""
    return {field.name: _usual(field.type) for field in schema}


def _usual(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _usual(kind.value_type)
    if is_text(kind):
        return pa.string()
    if is_list(kind) and not pa.types.is_fixed_size_list(kind):
        return pa.list_(_usual(kind.value_type))
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
