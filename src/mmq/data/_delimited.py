"""Delimited text (CSV, TSV): columns of text as it stands, and errors that name the damaged line.

A value is text: 001, 1.10, True and NA stay what they are, and who wants numbers makes them. An
empty field is null, and so is ``\\N``, which databases write for it.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from mmq.data import _dialect as dialect
from mmq.data._kinds import cast_or_none
from mmq.errors import DataError, FormatError

_UNQUOTED = r'^"([^"]|"")*"$'


class Text(NamedTuple):
    """A file of delimited text.

    Attributes:
        path: the file.
        data: ``(bytes,)`` uint8, mapped from disk or decompressed.
        delimiter: one character.
    """

    path: Path
    data: np.ndarray
    delimiter: str

    @classmethod
    def open(cls, path: Path, delimiter: str) -> Text:
        """A file, which may be compressed.

        Raises:
            FormatError: it is compressed and damaged.
        """
        if path.suffix in (".gz", ".bz2", ".zst"):
            try:
                with pa.input_stream(str(path), compression="detect") as stream:
                    return cls(path, np.frombuffer(stream.read(), np.uint8), delimiter)
            except (OSError, pa.ArrowInvalid) as error:
                raise FormatError(
                    f"{path} is not a whole {path.suffix[1:]} file ({str(error).splitlines()[0]}); "
                    "it is truncated or damaged, download or make it again"
                ) from error
        if not path.stat().st_size:
            return cls(path, np.empty(0, np.uint8), delimiter)
        return cls(path, np.memmap(path, np.uint8, "r"), delimiter)

    def first_line(self) -> bytes:
        """The first line without its end and without a byte order mark."""
        start = self.data[: 1 << 20].tobytes().removeprefix(b"\xef\xbb\xbf")
        ends = [place for end in (b"\n", b"\r") if (place := start.find(end)) >= 0]
        return start[: min(ends)] if ends else start


Hints = Mapping[str, pa.DataType]
"""Name of a column -> the type that it has, if all of its values are written so; text otherwise."""


def read_csv(
    path: Path, columns: Collection[str] | None = None, hints: Hints | None = None
) -> pa.Table:
    """Columns of text of a file with a header, whose values may stand in quotation marks.

    Values are parted by commas, or as :func:`open_csv` finds.

    Args:
        path: the file.
        columns: names to read where the file has them; all where None.
        hints: columns that may be numbers.

    Raises:
        FormatError: a line has another number of values than the header, the text is not UTF-8,
            or a quoted value is not closed as it should.
        DataError: two columns have the same name.
    """
    text = open_csv(path)
    return _quoted(text, _header(text), columns, hints or {})


def read_tsv(
    path: Path, columns: Collection[str] | None = None, hints: Hints | None = None
) -> pa.Table:
    """Columns of text of tab-separated values: a quotation mark is a character like any other.

    So are backslashes. Files that a CSV writer made with tabs are told by a header in quotation
    marks, by values that hold tabs or line breaks, or by doubled marks in every value that starts
    with one; they are read like CSV.

    Args:
        path: the file.
        columns: names to read where the file has them; all where None.
        hints: columns that may be numbers.

    Raises:
        FormatError: a line has another number of values than the header, or is not UTF-8.
        DataError: two columns have the same name.
    """
    text = Text.open(path, "\t")
    header = text.first_line()
    if header.startswith(b'"') and header.endswith(b'"'):
        return _quoted(text, _header(text), columns, hints or {})
    names = _unique(path, _decoded(path, header).split("\t") if header else [])
    try:
        table = read_literal(text, names, columns, hints)
    except FormatError:
        if not dialect.look(text.data, "\t").marks:
            raise
        try:
            return _quoted(text, names, columns, hints or {})
        except FormatError:
            pass
        raise
    return _unquoted(table)


def delimited_names(path: Path, delimiter: str) -> list[str]:
    """Names of the columns of a file with a header."""
    return _header(open_csv(path) if delimiter == "," else Text.open(path, delimiter))


def open_csv(path: Path) -> Text:
    """A CSV file. Where the header has no comma, the first sign of ``;``, tab and ``|`` in it parts
    values: some countries, whose decimals have a comma, write their CSV so."""
    text = Text.open(path, ",")
    header = re.sub(rb'"[^"]*"', b"", text.first_line())
    signs = [sign for sign in (",", ";", "\t", "|") if sign.encode() in header]
    return text._replace(delimiter=signs[0]) if signs else text


def read_literal(
    text: Text,
    names: Sequence[str],
    columns: Collection[str] | None,
    hints: Hints | None = None,
) -> pa.Table:
    """Columns of a file whose lines are values between delimiters, nothing else.

    Args:
        text: the file, with a header.
        names: of all its columns.
        columns: those to read where the file has them; all where None.
        hints: columns that may be numbers.

    Raises:
        FormatError: a line has another number of values than the header, or is not UTF-8.
    """
    wanted = [name for name in names if columns is None or name in columns]
    if not wanted:
        return pa.table({})
    lone = dialect.lone_returns(text.data)
    parse = pcsv.ParseOptions(delimiter=text.delimiter, quote_char=False)
    try:
        return _parsed(text, names, _kinds(text, names, wanted, hints or {}), parse, lone or None)
    except pa.ArrowInvalid as error:
        raise _line_error(text, len(names), error) from error


def _quoted(
    text: Text, names: list[str], columns: Collection[str] | None, hints: Hints
) -> pa.Table:
    wanted = [name for name in names if columns is None or name in columns]
    if not wanted:
        return pa.table({})
    signs = dialect.look(text.data, text.delimiter)
    escaped = signs.odd and dialect.is_escaped(text.data, text.delimiter, text.path, signs.told)
    parse = pcsv.ParseOptions(delimiter=text.delimiter, newlines_in_values=signs.marks > 0)
    kinds = _kinds(text, names, wanted, hints)
    try:
        table = _parsed(
            text, names, kinds, parse, True if escaped or signs.returns else None, escaped
        )
    except pa.ArrowInvalid as error:
        fault = dialect.first_fault(text.data, text.delimiter, "\\" if escaped else None)
        if fault is None:
            fault = dialect.Fault(1, f"or later cannot be read ({str(error).splitlines()[0]})")
        raise FormatError(f"{text.path} line {fault.line} {fault.what}") from error
    if signs.marks % 2 and not signs.odd:
        _check_closed_quotes(text)
    return table


def _kinds(
    text: Text, names: Sequence[str], wanted: Sequence[str], hints: Hints
) -> dict[str, pa.DataType]:
    """Type of each column to be read: a hint where the first row is written so, else text."""
    kinds = dict.fromkeys(wanted, pa.string())
    if not hints.keys() & kinds.keys():
        return kinds
    lines = dialect.lines(text.data, "surrogateescape")
    rows = csv.reader(itertools.islice(lines, 2), delimiter=text.delimiter)
    first = dict(zip(names, next(itertools.islice(rows, 1, 2), []), strict=False))
    for name, kind in hints.items():
        if name in kinds and cast_or_none(pa.array([first.get(name, "")]), kind) is not None:
            kinds[name] = kind
    return kinds


def _parsed(
    text: Text,
    names: Sequence[str],
    kinds: Mapping[str, pa.DataType],
    parse: pcsv.ParseOptions,
    hide: bool | None,
    escaped: bool = False,
) -> pa.Table:
    """The columns as Arrow reads them; all are text where one that may be a number is none."""
    if len(text.data) < 1 << 20 and not np.isin(text.data, (10, 13)).any():  # no line has ended
        return pa.table({name: pa.array([], kind) for name, kind in kinds.items()})
    read = pcsv.ReadOptions(column_names=list(names), skip_rows_after_names=1, block_size=1 << 24)
    if hide:
        source = pa.py_buffer(dialect.hidden(text.data.tobytes(), escaped))
        kinds = dict.fromkeys(kinds, pa.string())
    else:
        source = pa.py_buffer(text.data)
    try:
        table = pcsv.read_csv(pa.BufferReader(source), read, parse, _conversion(kinds))
    except pa.ArrowInvalid:
        if set(kinds.values()) == {pa.string()}:
            raise
        as_text = _conversion(dict.fromkeys(kinds, pa.string()))
        table = pcsv.read_csv(pa.BufferReader(source), read, parse, as_text)
    if not hide:
        return table
    columns = [dialect.shown(column) for column in table.columns]
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def _conversion(kinds: Mapping[str, pa.DataType]) -> pcsv.ConvertOptions:
    return pcsv.ConvertOptions(
        include_columns=list(kinds),
        column_types=dict(kinds),
        strings_can_be_null=True,
        null_values=["", "\\N"],
    )


def _unquoted(table: pa.Table) -> pa.Table:
    """The table without the quotation marks of a CSV writer, if they are one's.

    Such a writer quotes a value because there is a mark in it, which it doubles.
    """
    starting = [
        pc.starts_with(column, '"') if pa.types.is_string(column.type) else pa.scalar(False)
        for column in table.columns
    ]
    quoted = [
        column.filter(starts)
        for column, starts in zip(table.columns, starting, strict=True)
        if pc.any(starts).as_py()
    ]
    for values in quoted:
        within = pc.utf8_slice_codeunits(values, 1, -1)
        ours = pc.and_(
            pc.match_substring_regex(values, _UNQUOTED), pc.match_substring(within, '""')
        )
        if not pc.all(ours).as_py():
            return table
    if not quoted:
        return table
    columns = {}
    for name, column, starts in zip(table.column_names, table.columns, starting, strict=True):
        if not pa.types.is_string(column.type):
            columns[name] = column
            continue
        bare = pc.replace_substring(pc.utf8_slice_codeunits(column, 1, -1), '""', '"')
        columns[name] = pc.if_else(starts, bare, column)
    return pa.table(columns)


def _header(text: Text) -> list[str]:
    lines = dialect.lines(text.data, "surrogateescape")
    names = next(csv.reader(lines, delimiter=text.delimiter), [])
    for name in names:
        _decoded(text.path, name.encode("utf-8", "surrogateescape"))
    return _unique(text.path, names)


def _decoded(path: Path, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise FormatError(f"{path} line 1 is not UTF-8 text; save it as UTF-8") from None


def _unique(path: Path, names: list[str]) -> list[str]:
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path} has two columns named '{repeated[0]}'; rename one of them")
    return names


def _line_error(text: Text, width: int, error: Exception) -> FormatError:
    """The error naming the first line whose number of values, or encoding, is wrong."""
    number = 0
    for number, line in enumerate(dialect.lines(text.data, "surrogateescape"), 1):
        values = line.count(text.delimiter) + 1
        if line.strip("\r\n") and values != width:
            return FormatError(
                f"{text.path} line {number} has {values} values, the header has {width}; "
                "the file is truncated or damaged there"
            )
        if not line.isprintable() and any("\udc80" <= sign <= "\udcff" for sign in line):
            return FormatError(f"{text.path} line {number} is not UTF-8 text; save it as UTF-8")
    return FormatError(
        f"{text.path} cannot be read ({str(error).splitlines()[0]}); save it as UTF-8 text"
    )


def _check_closed_quotes(text: Text) -> None:
    """Raise if the file ends inside a quoted value, which Arrow takes for a whole one.

    It has an odd number of marks; where the last of them opens nothing, one stands within a value.
    """
    lines, opened, before = 1, 0, b"\n"
    opens = (b"\n", b"\r", text.delimiter.encode())
    for start in range(0, len(text.data), 1 << 24):
        data = text.data[start : start + (1 << 24)].tobytes()
        at = data.rfind(b'"')
        if at >= 0:
            last = data[at - 1 : at] if at else before
            opened = lines + data.count(b"\n", 0, at) if last in opens else 0
        lines += data.count(b"\n")
        before = data[-1:]
    if opened:
        raise FormatError(
            f"{text.path} ends inside a quoted value that opens on line {opened}; "
            "the file is truncated, make it again"
        )
