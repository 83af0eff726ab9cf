"""JSON Lines in bounded memory: whole-line blocks, and errors that name the damaged line."""

from __future__ import annotations

import ast
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from mmq._artifacts import require_file
from mmq._formats import parse_json
from mmq.data._texts import as_text
from mmq.errors import DataError, FormatError

BLOCK_BYTES = 1 << 24
"""Bytes of text read at a time; a longer line makes a longer block."""

_DEEPEST = 200
"""Levels of lists and objects in a line."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Whole lines of a file.

    Attributes:
        line: number of the first one, counted from 1.
        data: the lines.
    """

    line: int
    data: bytes


def blocks(
    path: str | Path, size: int = BLOCK_BYTES, advance: Callable[[int], None] | None = None
) -> Iterator[Block]:
    """Consecutive blocks of whole lines of a text file, perhaps ``.gz``, ``.bz2`` or ``.zst``.

    Args:
        path: the file.
        size: bytes read at a time.
        advance: called with the bytes of the file (compressed, if it is) that were taken in.

    Raises:
        DataError: there is no such file.
        FormatError: the compressed stream is truncated or damaged.
    """
    path = require_file(path, "file")
    line, rest = 1, b""
    with path.open("rb") as raw:
        stream = _unpacked(raw, path)
        while data := _read(stream, size, path):
            if line == 1 and not rest:
                data = data.removeprefix(_BYTE_ORDER_MARK)
            head, newline, tail = data.rpartition(b"\n")
            if newline:
                whole, rest = rest + head + newline, tail
                yield Block(line, whole)
                line += whole.count(b"\n")
            else:
                rest += tail
            if advance is not None:
                advance(raw.tell())
    if rest:
        yield Block(line, rest)


def parse_block(block: Block, path: str | Path, schema: pa.Schema | None = None) -> pa.Table:
    """The objects of a block as an Arrow table; blank lines are skipped.

    Text that looks like a date stays text.

    Args:
        block: lines of ``path``.
        path: what to name in errors.
        schema: take these columns as these types and ignore the others; without it every column
            is taken and its type found.

    Raises:
        FormatError: a line is not a JSON object.
        DataError: a column has two types, or a key comes twice.
    """
    try:
        _require_shallow(block, path)
        table = _parse(block.data, schema)
        if any(_has_time(column.type) for column in table.schema):
            fields = [pa.field(column.name, _as_text(column.type)) for column in table.schema]
            table = _parse(block.data, pa.schema(fields))
        table.validate(full=True)  # Arrow does not look whether text is UTF-8
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:  # the latter for names of columns
        for _ in objects(block, path):
            pass
        raise _types(path, str(error)) from error
    return table


def objects(
    block: Block, path: str | Path, python_literals: bool = False
) -> Iterator[dict[str, Any]]:
    """The objects of a block, one by one; slower than :func:`parse_block`, and exact in its errors.

    Args:
        block: lines of ``path``.
        path: what to name in errors.
        python_literals: also take lines that are Python dict literals instead of JSON.

    Raises:
        FormatError: a line is not an object.
    """
    for number, line in enumerate(block.data.split(b"\n"), block.line):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            value = _literal(line) if python_literals else None
            if value is None:
                raise FormatError(
                    f"{path} line {number} is not valid JSON ({_reason(error)}); the file is "
                    "truncated or damaged there, make it again"
                ) from None
        if not isinstance(value, dict):
            raise FormatError(
                f"{path} line {number} is a {type(value).__name__}, not an object; "
                'every line should read {"column": value, ...}'
            )
        yield value


def read_jsonl(path: str | Path, columns: Collection[str] | None = None) -> pa.Table:
    """A JSON Lines file (``.jsonl``, ``.json``, also ``.gz``) as an Arrow table.

    Only the columns asked for are kept, so that memory is theirs and one block's, and only they
    have to be of one type: numbers beside text are text, numbers too large for Arrow as well.

    Args:
        path: the file.
        columns: names to keep where the file has them; all where None.

    Raises:
        FormatError: a line is damaged; the message names it.
        DataError: no such file, or a column of two types.
    """
    tables = []
    for block in blocks(path):
        if block.data.strip():
            table = _wanted(block, path, columns)
            tables.append(table)
    try:
        return concatenated(tables) if tables else pa.table({})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _types(path, str(error)) from error


def first_names(path: str | Path) -> list[str]:
    """Names of the columns that the first block has."""
    first = next((block for block in blocks(path) if block.data.strip()), None)
    rows = [] if first is None else objects(first, path)
    return list(dict.fromkeys(name for row in rows for name in row))


def concatenated(tables: list[pa.Table]) -> pa.Table:
    """Tables end to end; a column that is text in one of them is text throughout."""
    names = dict.fromkeys(name for table in tables for name in table.column_names)
    for name in names:
        kinds = {table.schema.field(name).type for table in tables if name in table.column_names}
        kinds = {kind for kind in kinds if not pa.types.is_null(kind)}
        if pa.string() in kinds and len(kinds) > 1:
            tables = [_with_text(table, name) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive")


def _with_text(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names:
        return table
    column = table.column(name)
    if pa.types.is_nested(column.type):
        return table
    return table.set_column(table.column_names.index(name), name, as_text(column))


def _wanted(block: Block, path: str | Path, columns: Collection[str] | None) -> pa.Table:
    try:
        table = parse_block(block, path)
    except DataError:
        if columns is None:
            raise
        return _one_by_one(block, path, columns)
    if columns is not None:
        table = table.select([name for name in table.column_names if name in columns])
    if any(_inexact(column) for column in table.columns):
        return _one_by_one(block, path, table.column_names)
    return table


def _one_by_one(block: Block, path: str | Path, columns: Collection[str]) -> pa.Table:
    """Columns of a block that Arrow cannot type as a whole."""
    rows = list(objects(block, path))
    found = [name for name in columns if any(name in row for row in rows)]
    return pa.table({name: _column([row.get(name) for row in rows], name, path) for name in found})


def _column(values: list[Any], name: str, path: str | Path) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        if any(isinstance(value, list | dict) for value in values):
            raise DataError(
                f"{path}: column '{name}' holds lists or objects beside other values "
                f"({str(error).splitlines()[0]}); give it one type throughout"
            ) from error
        return pa.array([None if value is None else _spelt(value) for value in values])


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _inexact(column: pa.ChunkedArray) -> bool:
    """Whether Arrow took whole numbers beyond its integers for doubles."""
    if not pa.types.is_floating(column.type):
        return False
    largest = pc.max(pc.abs(column)).as_py()
    return largest is not None and largest >= 2.0**53


def _unpacked(raw: BinaryIO, path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    codec = {".bz2": "bz2", ".zst": "zstd"}.get(path.suffix)
    return raw if codec is None else cast(BinaryIO, pa.CompressedInputStream(raw, codec))


def _read(stream: BinaryIO, size: int, path: Path) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowInvalid, OSError) as error:
        if path.suffix not in (".gz", ".bz2", ".zst"):
            raise
        kind = "gzip" if path.suffix == ".gz" else path.suffix[1:]
        raise FormatError(
            f"{path} is not a whole {kind} file ({error}); it is truncated or damaged, "
            "download or make it again"
        ) from error


def _parse(data: bytes, schema: pa.Schema | None) -> pa.Table:
    options = pj.ReadOptions(block_size=max(len(data), 1 << 16), use_threads=False)
    if schema is None:
        return pj.read_json(io.BytesIO(data), read_options=options)
    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return pj.read_json(io.BytesIO(data), read_options=options, parse_options=parse)


def _require_shallow(block: Block, path: str | Path) -> None:
    """Raise :class:`FormatError` for a line that nests so deeply that Arrow would crash."""
    data = np.frombuffer(block.data, np.uint8)
    opening = np.flatnonzero(_opens(data))
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    before = np.searchsorted(opening, ends)
    for number in np.flatnonzero(np.diff(before, prepend=0) > _DEEPEST):
        line = block.data[int(ends[number - 1]) + 1 if number else 0 : int(ends[number])]
        if _depth(line) > _DEEPEST:
            raise FormatError(
                f"{path} line {block.line + number} nests more than {_DEEPEST} levels deep; "
                "flatten it"
            )


def _opens(data: np.ndarray) -> np.ndarray:
    """Where a list or an object begins: the codes of their brackets differ in one bit alone."""
    opens: np.ndarray = (data | ord(" ")) == ord("{")
    return opens


def _depth(line: bytes) -> int:
    """How deeply a line nests at most."""
    brackets = re.sub(rb'"(?:[^"\\]|\\.)*"|[^][{}"]+', b"", line)
    steps = np.where(_opens(np.frombuffer(brackets, np.uint8)), 1, -1)
    return int(steps.cumsum().max(initial=0))


def _has_time(type_: pa.DataType) -> bool:
    return bool(type_ != _as_text(type_))


def _as_text(type_: pa.DataType) -> pa.DataType:
    """``type_`` with every date in it, however deep, turned back into text."""
    if pa.types.is_temporal(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(_as_text(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, _as_text(field.type)) for field in type_])
    return type_


def _literal(line: bytes) -> Any:
    try:
        return ast.literal_eval(line.decode("utf-8").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    return str(error).split(":")[0]


def _types(path: str | Path, message: str) -> DataError:
    found = re.search(r"Column\(/?(.*?)\) (.*?)(?: in row \d+)?$", message)
    what = f"column '{found[1]}' {found[2]}" if found else message.splitlines()[0]
    return DataError(f"{path}: {what}; give each column one value a line and one type throughout")
