"""JSON of semantic IDs: an object item -> codes, a list of objects, or JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmq.data._item_ids import as_ids, as_numbers
from mmq.data._jsonl import blocks, first_names, read_jsonl
from mmq.errors import DataError, FormatError
from mmq.semantic_ids._imported.columns import IdColumns, find_columns

_VALUES = "values"


class _Repeated(list[tuple[str, Any]]):
    """The pairs of an object in which a key comes twice."""


def read_json_table(path: str | Path, columns: IdColumns) -> tuple[pa.Table, tuple[str, ...]]:
    """Item ids and codes in a JSON file as a table, and which of its columns are codes.

    Args:
        path: a document, or JSON Lines (also as ``.gz``).
        columns: those of objects; in an object item -> codes, keys are the item ids.

    Raises:
        DataError: no such file, of another form, or without a column that is needed.
        FormatError: it is truncated or damaged.
    """
    if ".jsonl" in Path(path).suffixes:
        return _of_lines(path, columns)
    text = b"".join(block.data for block in blocks(path))
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and error.lineno > 1:
            return _of_lines(path, columns)
        raise _damaged(path, f"line {error.lineno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise _damaged(path, "it is not UTF-8") from None
    except RecursionError:
        raise _damaged(path, "it is nested too deeply") from None
    return _of_document(path, value, columns)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    value = dict(pairs)
    return value if len(value) == len(pairs) else _Repeated(pairs)


def _damaged(path: str | Path, reason: str) -> FormatError:
    return FormatError(
        f"{path} is not valid JSON ({reason}); the file is truncated or damaged, make it again"
    )


def _of_lines(path: str | Path, columns: IdColumns) -> tuple[pa.Table, tuple[str, ...]]:
    codes = find_columns(path, first_names(path), columns)
    table = read_jsonl(path, (columns.item_id, *codes))
    return _with_ids(table, columns.item_id, text=False), codes


def _of_document(
    path: str | Path, value: Any, columns: IdColumns
) -> tuple[pa.Table, tuple[str, ...]]:
    if isinstance(value, dict) and columns.item_id in value:
        value = [value]  # one line of JSON Lines
    if isinstance(value, dict | _Repeated):
        pairs = list(value.items() if isinstance(value, dict) else value)
        if any(isinstance(each, dict) for _, each in pairs):
            return _of_objects(path, [_named(*pair, columns) for pair in pairs], columns, text=True)
        return _of_pairs(path, pairs, columns)
    if isinstance(value, list) and isinstance(next(iter(value), {}), dict | _Repeated):
        return _of_objects(path, value, columns, text=False)
    raise DataError(
        f"{path} is JSON that does not say which item each semantic ID is of; give an object "
        '{"item": [12, 5, 200], ...} or a list of objects with an item id and codes'
    )


def _named(item: str, value: Any, columns: IdColumns) -> Any:
    return {columns.item_id: item, **value} if isinstance(value, dict) else value


def _of_pairs(
    path: str | Path, pairs: list[tuple[str, Any]], columns: IdColumns
) -> tuple[pa.Table, tuple[str, ...]]:
    if not pairs:
        raise DataError(f"{path} is empty; give at least one item")
    if len(columns.codes) > 1:
        raise DataError(
            f"{path} is an object item -> codes and has no columns {', '.join(columns.codes)}; "
            "leave --code-columns out"
        )
    items, codes = zip(*pairs, strict=True)
    table = pa.table({columns.item_id: pa.array(items), _VALUES: _column(codes)})
    return _with_ids(table, columns.item_id, text=True), (_VALUES,)


def _of_objects(
    path: str | Path, objects: list[Any], columns: IdColumns, text: bool
) -> tuple[pa.Table, tuple[str, ...]]:
    odd = next((row for row, each in enumerate(objects) if not isinstance(each, dict)), None)
    if odd is not None:
        raise DataError(
            f"row {odd} of {path} is no object, or a key comes twice in it; give every item an "
            "object of the same columns"
        )
    names = list(dict.fromkeys(name for each in objects for name in each))
    codes = find_columns(path, names, columns)
    wanted = {name: _column([each.get(name) for each in objects]) for name in codes}
    ids = as_ids([each.get(columns.item_id) for each in objects])
    return _with_ids(pa.table({columns.item_id: ids, **wanted}), columns.item_id, text), codes


def _with_ids(table: pa.Table, item_id: str, text: bool) -> pa.Table:
    """The table with ids of int64 or text; where they are keys, digits are a number."""
    ids = as_ids(table.column(item_id))
    place = table.column_names.index(item_id)
    return table.set_column(place, item_id, as_numbers(ids) if text else ids)


def _column(values: Iterable[Any]) -> pa.Array:
    """Values as Arrow types them, or as lists of text where they are of several types."""
    values = list(values)
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        lists = [each if isinstance(each, list | None) else [each] for each in values]
        return pa.array([each and [_text(code) for code in each] for each in lists])


def _text(code: Any) -> str | None:
    if code is None:
        return None
    written = code if isinstance(code, str) else json.dumps(code)
    return written.encode("utf-8", "replace").decode()
