"""A file of semantic IDs that were made elsewhere, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data._files import format_of, table_parts
from mmq.data._item_ids import as_ids, joined, without_empty
from mmq.data._kinds import is_list, is_text
from mmq.data._tables import column_names, read_table
from mmq.errors import DataError, shortened
from mmq.semantic_ids._imported.checks import Rows, as_matrix, check_item_ids, distinct, from_zero
from mmq.semantic_ids._imported.columns import USUAL, IdColumns, find_columns
from mmq.semantic_ids._imported.json_forms import read_json_table
from mmq.semantic_ids._imported.tokens import (
    TokenReader,
    Tokens,
    find_separator,
    split_texts,
)

_PIECE = 1 << 18
"""Rows read at a time, so that what is made on the way is small."""


class ImportedIds(NamedTuple):
    """What a file says.

    Attributes:
        item_ids: ``(items,)`` Arrow array of int64 or string, unique.
        codes: ``(items, length)`` int32, from 0 on.
        places: ``(items,)`` row of each item in the file.
        repeated: rows that were left out, as they repeat an earlier one.
        columns: those that the codes were read from.
    """

    item_ids: pa.Array
    codes: np.ndarray
    places: np.ndarray
    repeated: int
    columns: tuple[str, ...]

    @property
    def rows(self) -> Rows:
        """The items, for messages."""
        return Rows(self.item_ids, lambda row: str(self.codes[row].tolist()), self.places)


def read_ids(
    path: str | Path, columns: IdColumns = USUAL, first_codes: Sequence[int] = (0,)
) -> ImportedIds:
    """Item ids and codes of a file in any of the forms that are known.

    Args:
        path: JSON, JSON Lines, CSV, TSV or Parquet, or a folder or pattern of the last four.
        columns: which columns hold what.
        first_codes: the number of the first code of each position, or one for all.

    Raises:
        DataError: no such file or column, an item that comes twice with different codes, or codes
            that cannot be: the message names the first such row.
        FormatError: the file is truncated or damaged.
    """
    table, names = _read(path, columns)
    try:
        item_ids = joined(without_empty(as_ids(table.column(columns.item_id))))
        check_item_ids(item_ids)
        written = table.select(names)
        rows = Rows(item_ids, lambda row: _shown(written, row), np.arange(len(item_ids)))
        codes = from_zero(as_matrix(*_tokens(written), rows), first_codes, rows)
        kept = distinct(item_ids, codes, rows)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    repeated = len(item_ids) - len(kept)
    if repeated:
        item_ids, codes = item_ids.take(pa.array(kept)), codes[kept]
    return ImportedIds(item_ids, codes, kept, repeated, names)


def _read(path: str | Path, columns: IdColumns) -> tuple[pa.Table, tuple[str, ...]]:
    parts = table_parts(path)
    if len(parts) == 1 and format_of(parts[0].path) == "jsonl":
        return read_json_table(parts[0].path, columns)
    names = find_columns(path, column_names(path), columns)
    return read_table(path, (columns.item_id, *names), (columns.item_id,)), names


def _tokens(table: pa.Table) -> tuple[Tokens, list[str]]:
    """Tokens of all rows, and the words that stand before their numbers."""
    reader, read = TokenReader(), _reader_of(table)
    pieces = [
        read(reader, [joined(column) for column in table.slice(start, _PIECE).columns])
        for start in range(0, len(table), _PIECE)
    ]
    return Tokens(*map(np.concatenate, zip(*pieces, strict=True))), reader.words


def _reader_of(table: pa.Table) -> Callable[[TokenReader, list[pa.Array]], Tokens]:
    """How rows of such columns are read."""
    kinds = table.schema.types
    if len(kinds) == 1 and is_list(kinds[0]):
        return lambda reader, columns: reader.lists(columns[0])
    if len(kinds) == 1 and is_text(kinds[0]):
        separator = find_separator(table.column(0))
        return lambda reader, columns: reader.lists(split_texts(columns[0], separator))
    return TokenReader.positions


def _shown(codes: pa.Table, row: int) -> str:
    """The codes of a row as they are written."""
    values = [column[row].as_py() for column in codes.columns]
    return shortened(str(values[0] if len(values) == 1 else values))
