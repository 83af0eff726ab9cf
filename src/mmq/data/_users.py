"""A file of users who are to be served: their ids, and perhaps their histories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mmq._artifacts import require_file
from mmq.data._files import format_of, is_pattern
from mmq.data._item_ids import as_ids, as_item_ids, as_numbers, joined
from mmq.data._kinds import is_list
from mmq.data._tables import ColumnOption, missing_column, plain, read_table
from mmq.errors import DataError, FormatError, shortened

HISTORY = "history"
"""Column of lists of item ids, oldest first."""


class Users(NamedTuple):
    """Users in the order of their file.

    Attributes:
        ids: ``(users,)`` int64 or string, unique.
        histories: ``(users,)`` lists of item ids, oldest first; None where the file has none.
    """

    ids: pa.Array
    histories: pa.ListArray | None = None


def read_users(path: str | Path, column_names: Mapping[str, str] | None = None) -> Users:
    """The users of a text file of one id a line, or of a table.

    Args:
        path: text, or a table (see :func:`~mmq.data._tables.read_table`) with ``user_id`` and
            perhaps ``history``, or ``item_id``, of lists.
        column_names: ``user_id`` and ``item_id`` -> the name in the table, where it differs.

    Raises:
        DataError: no such file, no user, an id that is missing or comes twice, or a history that is
            no list.
        FormatError: it is damaged or no text.
    """
    lines = Path(path).is_file() and format_of(Path(path)) is None
    users = _of_lines(path) if lines else _of_table(path, dict(column_names or {}))
    if not len(users.ids):
        raise DataError(f"{path} names no user; give one user id a line, or a table with user_id")
    _check_ids(path, users.ids)
    return users


def _of_lines(path: str | Path) -> Users:
    try:
        lines = require_file(path, "file of users").read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not UTF-8 text ({error.reason}); give a text file of one user id a line, "
            "or a table such as .parquet or .csv"
        ) from None
    ids = [line.strip() for line in lines if line.strip()]
    return Users(joined(as_numbers(as_ids(pa.array(ids, pa.string()), "user ids"))))


def _of_table(path: str | Path, names: Mapping[str, str]) -> Users:
    if not Path(path).exists() and not is_pattern(path):
        require_file(path, "file of users")
    user, item = names.get("user_id", "user_id"), names.get("item_id", "item_id")
    table = plain(read_table(path, (user, HISTORY, item), (user,)))
    if user not in table.column_names:
        raise missing_column(path, ColumnOption(user, "--user-column"))
    past = next((name for name in (HISTORY, item) if name in table.column_names), None)
    ids = as_item_ids(table.column(user), "user ids")
    return Users(ids, None if past is None else _lists(path, past, table.column(past)))


def _lists(path: str | Path, name: str, column: pa.ChunkedArray) -> pa.ListArray:
    """The histories; one that is null is empty."""
    if not is_list(column.type):
        raise DataError(
            f"the column {name} of {path} holds no lists; give histories as lists of item ids in "
            "Parquet or JSON Lines, or a log (--interactions) and a file of user ids alone"
        )
    lists = joined(column)
    lists = lists if pa.types.is_list(lists.type) else lists.cast(pa.list_(lists.type.value_type))
    empty = pc.any(pc.is_null(pc.list_flatten(lists))).as_py()
    if empty:
        raise DataError(f"a list in the column {name} of {path} has an empty item id; drop it")
    return lists


def _check_ids(path: str | Path, ids: pa.Array) -> None:
    if ids.null_count:
        row = pc.index(ids.is_null(), True).as_py()
        raise DataError(f"user {row + 1} of {path} has no id; drop the rows without one")
    if pc.count_distinct(ids).as_py() < len(ids):
        counts = pc.value_counts(ids)
        most = pc.index(pc.greater(counts.field("counts"), 1), True).as_py()
        raise DataError(
            f"user '{shortened(str(counts[most]['values']))}' comes "
            f"{counts[most]['counts']} times in {path}; give every user once"
        )
