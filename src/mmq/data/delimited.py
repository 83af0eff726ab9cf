"""Delimited text (CSV, TSV): typed columns, and errors that name the damaged line."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from mmq.errors import DataError, FormatError

_INTEGERS = r"^(0|-?[1-9][0-9]{0,17})$"


def as_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """``texts`` as int64 if every one is a whole number without leading zeros, else as it is.

    >>> as_numbers(pa.chunked_array([["7", None, "12"]])).type
    DataType(int64)
    >>> as_numbers(pa.chunked_array([["007", "12"]])).type
    DataType(string)
    """
    if texts.null_count == len(texts):
        return texts
    whole = pc.all(pc.match_substring_regex(texts, _INTEGERS)).as_py()
    return texts.cast(pa.int64()) if whole else texts


def read_csv(
    path: Path, delimiter: str, columns: Collection[str] | None, ids: Collection[str] = ()
) -> pa.Table:
    """The columns of a delimited file with a header, their types found; see ``read_table``.

    Raises:
        FormatError: a line has another number of values than the header, the text is not UTF-8,
            or the file ends inside a quoted value.
        DataError: two columns have the same name.
    """
    header = _header(path, delimiter)
    names = [name for name in header if columns is None or name in columns]
    if not names:
        return pa.table({})
    try:
        table = _parse(path, delimiter, names, [name for name in names if name in ids])
        # Arrow takes text such as 2012-01-01 for a date, and bytes that are not UTF-8 for binary
        odd = [
            f.name
            for f in table.schema
            if pa.types.is_temporal(f.type) or pa.types.is_binary(f.type)
        ]
        if odd:
            texts = _parse(path, delimiter, odd, odd)
            for name in odd:
                table = table.set_column(names.index(name), name, texts.column(name))
    except pa.ArrowInvalid as error:
        raise _csv_error(path, delimiter, len(header), error) from error
    _check_closed_quotes(path, delimiter)
    for name in set(names).intersection(ids):
        table = table.set_column(names.index(name), name, as_numbers(table.column(name)))
    return table


def _parse(path: Path, delimiter: str, names: list[str], texts: list[str]) -> pa.Table:
    convert = pcsv.ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(texts, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
    )
    return pcsv.read_csv(
        path,
        pcsv.ReadOptions(block_size=1 << 24),
        pcsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert,
    )


def _header(path: Path, delimiter: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=delimiter), [])
    except UnicodeDecodeError:
        raise FormatError(f"{path} line 1 is not UTF-8 text; save it as UTF-8") from None
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise DataError(f"{path} has two columns named '{repeated[0]}'; rename one of them")
    return header


def _csv_error(path: Path, delimiter: str, width: int, error: Exception) -> FormatError:
    """The error naming the first line whose number of values, or encoding, is wrong."""
    reader, line = None, 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if row and len(row) != width:
                    return FormatError(
                        f"{path} line {line} has {len(row)} values, the header has {width}; "
                        "the file is truncated or damaged there"
                    )
                line = reader.line_num + 1
    except (UnicodeDecodeError, csv.Error) as problem:
        what = "text that is not UTF-8" if isinstance(problem, UnicodeError) else str(problem)
        return FormatError(f"{path} line {line} or soon after holds {what}; save it as UTF-8 CSV")
    return FormatError(f"{path} cannot be read ({str(error).splitlines()[0]}); make it again")


def _check_closed_quotes(path: Path, delimiter: str) -> None:
    """Raise if the file ends inside a quoted value, which Arrow takes for a whole one."""
    quotes, lines, opened, before = 0, 1, 0, b"\n"
    opens = (b"\n", b"\r", delimiter.encode())
    with path.open("rb") as file:
        while data := file.read(1 << 24):
            quotes += data.count(b'"')
            at = data.rfind(b'"')
            if at >= 0:
                last = data[at - 1 : at] if at else before
                opened = lines + data.count(b"\n", 0, at) if last in opens else 0
            lines += data.count(b"\n")
            before = data[-1:]
    if quotes % 2 and opened:
        raise FormatError(
            f"{path} ends inside a quoted value that opens on line {opened}; "
            "the file is truncated, make it again"
        )
