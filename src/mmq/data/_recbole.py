"""RecBole's atomic files: tab-separated text whose header gives each column its type."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq._artifacts import require_file
from mmq.data._delimited import Hints, Text, read_literal
from mmq.data._item_ids import as_numbers, joined
from mmq.data._outcomes import as_ratings
from mmq.errors import DataError, warn

TYPES = ("token", "token_seq", "float", "float_seq")


def read_atomic(
    path: str | Path,
    columns: Collection[str] | None = None,
    hints: Hints | None = None,
    ids: Collection[str] = (),
) -> pa.Table:
    """The columns of an atomic file (``.inter``, ``.item``, ...), without their type suffixes.

    ``token`` and ``token_seq`` are text as it stands (a sequence keeps its spaces); ``float`` is
    float64, and what is no number counts as missing with a warning; ``float_seq`` is a list of
    float32, of fixed size where all rows have as many. An empty field is null.

    Source: https://recbole.io/docs/user_guide/data/atomic_files.html

    Args:
        path: the file.
        columns: names to read where the file has them; all where None.
        hints: columns that may be numbers, and are text otherwise, whatever their type.
        ids: columns of ids; a sequence of them, as of a column of ``hints``, is a list of text.

    Raises:
        DataError: no such file, a header that is not typed, or a sequence that holds no numbers.
        FormatError: a line has another number of values than the header.
    """
    text = Text.open(require_file(path, "RecBole atomic file"), "\t")
    kinds = _header(text)
    single = {
        name: kind for name, kind in (hints or {}).items() if "_seq" not in kinds.get(name, "")
    }
    table = read_literal(text, list(kinds), columns, single)
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if kinds[name].endswith("_seq") and (name in ids or name in (hints or {})):
            found[name] = _sequences(column, name in ids)
        elif name in single:
            found[name] = column
        else:
            found[name] = _typed(column, kinds[name], name, text.path)
    return pa.table(found)


def _sequences(texts: pa.ChunkedArray, ids: bool) -> pa.Array:
    """The words of each text; ids are numbers if all of them are."""
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)).combine_chunks()
    flat = pa.chunked_array([words.flatten()])
    lengths = pc.fill_null(pc.list_value_length(words), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), joined(as_numbers(flat) if ids else flat))


def atomic_names(path: Path) -> list[str]:
    """Names of the columns of an atomic file, without reading it."""
    return list(_header(Text.open(path, "\t")))


def _header(text: Text) -> dict[str, str]:
    """Name -> type of each column."""
    fields = text.first_line().decode("utf-8", "replace").split("\t")
    parts = [field.rpartition(":") for field in fields]
    if not all(name and kind in TYPES for name, _, kind in parts):
        start = " ".join(fields)[:200]
        raise DataError(
            f"{text.path} has the header {start!r}; a RecBole atomic file starts with "
            f"tab-separated NAME:TYPE, where TYPE is one of {', '.join(TYPES)}"
        )
    names = [name for name, _, _ in parts]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError(
            f"{text.path} names a column twice; rename one of those named {repeated[0]}"
        )
    return {name: kind for name, _, kind in parts}


def _typed(texts: pa.ChunkedArray, kind: str, name: str, path: Path) -> pa.ChunkedArray | pa.Array:
    if kind in ("token", "token_seq"):
        return texts
    if kind == "float_seq":
        try:
            return _floats(texts)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{path} column '{name}' is of type float_seq but: {str(error).splitlines()[0]}"
            ) from error
    try:
        return as_ratings(texts.combine_chunks(), name)
    except DataError:
        warn(f"{path} column '{name}' is of type float, but none of it is a number; it is missing")
        return pa.nulls(len(texts), pa.float64())


def _floats(texts: pa.ChunkedArray) -> pa.Array:
    """Space-separated numbers as lists of float32, of fixed size where all rows have as many."""
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)).combine_chunks()
    numbers = words.flatten().cast(pa.float32())
    lengths = pc.fill_null(pc.list_value_length(words), 0).to_numpy().astype(np.int64)
    present = words.is_valid().to_numpy(zero_copy_only=False)
    sizes = np.unique(lengths[present])
    if len(sizes) == 1 and sizes[0]:
        matrix = np.zeros((len(words), sizes[0]), np.float32)
        matrix[present] = numbers.to_numpy().reshape(-1, sizes[0])
        flat = pa.array(matrix.reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, sizes[0], mask=pa.array(~present))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), numbers, mask=pa.array(~present))
