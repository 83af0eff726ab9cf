"""The items file: one row an item, with an id and columns to show people or to embed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids import as_ids, check_ids, joined, without_empty
from mmq.data._kinds import is_bytes, is_list, is_text
from mmq.data._tables import ColumnOption, missing_column, read_table
from mmq.data._texts import as_text, as_texts
from mmq.errors import DataError


@dataclass(frozen=True)
class ItemColumns:
    """Which columns of an items file are used, and as what.

    Attributes:
        item_id: the id.
        title: the name to show; None takes ``title`` where the file has it.
        image: path or address of a picture; None takes ``image`` where the file has it.
        attributes: further columns of text, lists of text or numbers, kept under their names as
            text or lists of it.
    """

    item_id: str = "item_id"
    title: str | None = None
    image: str | None = None
    attributes: tuple[str, ...] = ()


def read_items(
    path: str | Path, id_column: str = "item_id", columns: Collection[str] | None = None
) -> pa.Table:
    """The items of a JSON Lines, CSV, TSV, Parquet or RecBole ``.item`` file, as an Arrow table.

    Args:
        path: the file.
        id_column: the column of ids; it comes out as int64 or string.
        columns: the other columns to read where the file has them; all where None.

    Raises:
        DataError: no such file or id column, no rows, an id is null or comes twice.
        FormatError: the file is truncated or damaged; for text the message names the line.
    """
    wanted = None if columns is None else [id_column, *columns]
    table = read_table(path, wanted, (id_column,))
    if id_column not in table.column_names:
        raise missing_column(path, ColumnOption(id_column, "--id"))
    try:
        ids = joined(without_empty(as_ids(table.column(id_column))))
        check_ids(ids)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return table.set_column(table.column_names.index(id_column), id_column, ids)


def read_display(path: str | Path, columns: ItemColumns) -> tuple[pa.Array, pa.Table]:
    """Item ids, and the columns to show: ``title``, ``image_path`` and the attributes.

    Image paths are made absolute, starting from the folder of the items file; web addresses stay
    as they are. Empty text is null, as an empty field of CSV is.

    Raises:
        DataError: a column that was asked for is missing or is neither text, lists of text nor
            numbers, or the
            file does not pass :func:`read_items`.
        FormatError: the file is truncated or damaged.
    """
    title, image = columns.title or "title", columns.image or "image"
    table = read_items(path, columns.item_id, [title, image, *columns.attributes])
    asked = [
        ("--title-column", columns.title),
        ("--image-column", columns.image),
        *(("--attribute", name) for name in columns.attributes),
    ]
    for option, name in asked:
        if name is not None and name not in table.column_names:
            raise missing_column(path, ColumnOption(name, option))
    shown: dict[str, pa.Array | pa.ChunkedArray] = {}
    if title in table.column_names:
        titles = _texts(table, title, path)
        if is_list(titles.type):
            titles = pa.chunked_array([pc.binary_join(part, ", ") for part in titles.chunks])
        shown["title"] = _empty_as_null(titles)
    if image in table.column_names:
        shown["image_path"] = _absolute(table.column(image), Path(path).parent, image)
    for name in columns.attributes:
        values = _texts(table, name, path)
        shown[name] = values if is_list(values.type) else _empty_as_null(values)
    return joined(table.column(columns.item_id)), pa.table(shown)


def _texts(table: pa.Table, name: str, path: str | Path) -> pa.ChunkedArray:
    values = table.column(name)
    kind = values.type
    words = kind.value_type if is_list(kind) else kind
    if (is_list(kind) and not (is_text(words) or pa.types.is_null(words))) or (
        pa.types.is_nested(words) or is_bytes(words)
    ):
        raise DataError(
            f"column '{name}' of {path} holds {kind}; only text, lists of text and numbers can be "
            "kept, leave it out"
        )
    return as_texts(values, name)


def _empty_as_null(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _absolute(paths: pa.ChunkedArray, folder: Path, column: str) -> pa.ChunkedArray:
    if not (pa.types.is_null(paths.type) or pa.types.is_string(paths.type)):
        try:
            paths = as_text(paths, column)
        except DataError:
            raise DataError(
                f"the image column '{column}' holds {paths.type}; it should hold file paths"
            ) from None
    paths = _empty_as_null(paths.cast(pa.string()))
    complete = pc.match_substring_regex(paths, r"^(/|[A-Za-z]:[\\/]|[A-Za-z]+://)")
    joined = pc.binary_join_element_wise(str(folder.absolute()), paths, "/")
    return pc.if_else(complete, paths, joined)
