"""RecBole's atomic files: tab-separated text whose header gives each column its type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from mmq.artifacts import require_file
from mmq.data.delimited import as_numbers
from mmq.errors import DataError, FormatError

TYPES = ("token", "token_seq", "float", "float_seq")


def read_atomic(path: str | Path) -> pa.Table:
    """The columns of an atomic file (``.inter``, ``.item``, ...), without their type suffixes.

    ``token`` and ``token_seq`` are text as it stands (a sequence keeps its spaces), except that
    a ``token`` column of whole numbers only is int64; ``float`` is float64; ``float_seq`` is a
    list of float32, of fixed size where all rows have the same number of values. An empty field
    is null.

    Source: https://recbole.io/docs/user_guide/data/atomic_files.html

    Raises:
        DataError: no such file, or a header that is not typed.
        FormatError: a line has another number of values than the header, or a value is no number.
    """
    path = require_file(path, "RecBole atomic file")
    names, types = _header(path)
    read = pcsv.ReadOptions(column_names=names, skip_rows=1, block_size=1 << 24)
    parse = pcsv.ParseOptions(delimiter="\t", quote_char=False)
    convert = pcsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    try:
        table = pcsv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid as error:
        raise _line_error(path, len(names), error) from error
    columns = {
        name: _typed(table.column(name), kind, f"{path} column '{name}'")
        for name, kind in zip(names, types, strict=True)
    }
    return pa.table(columns)


def _header(path: Path) -> tuple[list[str], list[str]]:
    with path.open("rb") as file:
        fields = file.readline().decode("utf-8-sig", "replace").rstrip("\r\n").split("\t")
    parts = [field.rpartition(":") for field in fields]
    if not all(name and kind in TYPES for name, _, kind in parts):
        raise DataError(
            f"{path} has the header {' '.join(fields)!r}; a RecBole atomic file starts with "
            f"tab-separated NAME:TYPE, where TYPE is one of {', '.join(TYPES)}"
        )
    names = [name for name, _, _ in parts]
    if len(set(names)) < len(names):
        raise DataError(f"{path} names a column twice; rename one of {', '.join(names)}")
    return names, [kind for _, _, kind in parts]


def _line_error(path: Path, width: int, error: Exception) -> FormatError:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            values = line.count(b"\t") + 1
            if line.strip() and values != width:
                return FormatError(
                    f"{path} line {number} has {values} values, the header has {width}; "
                    "the file is truncated or damaged there"
                )
    reason = str(error).splitlines()[0]
    return FormatError(f"{path} cannot be read ({reason}); save it as UTF-8 text")


def _typed(texts: pa.ChunkedArray, kind: str, where: str) -> pa.ChunkedArray | pa.Array:
    if kind == "token":
        return as_numbers(texts)
    if kind == "token_seq":
        return texts
    try:
        return _floats(texts) if kind == "float_seq" else texts.cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise FormatError(f"{where} is of type {kind} but: {error}") from error


def _floats(texts: pa.ChunkedArray) -> pa.Array:
    """Space-separated numbers as lists of float32, of fixed size where the rows allow it."""
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)).combine_chunks()
    numbers = words.flatten().cast(pa.float32())
    widths = pc.list_value_length(words)
    sizes = pc.unique(widths.drop_null()).to_pylist()
    present = words.is_valid().to_numpy(zero_copy_only=False)
    if len(sizes) != 1:
        ends = np.cumsum(np.nan_to_num(widths.to_numpy(zero_copy_only=False))).astype(np.int32)
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), numbers, mask=pa.array(~present))
    matrix = np.zeros((len(words), sizes[0]), np.float32)
    matrix[present] = numbers.to_numpy().reshape(-1, sizes[0])
    return pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.reshape(-1)), sizes[0], mask=pa.array(~present)
    )
