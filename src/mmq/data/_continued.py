"""Logs whose every row repeats what came before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from mmq.data._item_ids import as_numbers
from mmq.data._texts import as_text
from mmq.errors import DataError, warn


class _Event(NamedTuple):
    item: str | None
    time: str | None
    part: str | None


def continued(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """A history a user, of a table whose rows hold what came before, as RecBole's benchmarks do.

    A row is a user, the items before (``item_id_list``: a list, or text with spaces) and the item.
    The rows of a user go on from each other, and may hold the last of a long history alone. Items
    before the first row have no time, unless ``timestamp_list`` has it, and are trained on.

    Args:
        table: such rows.
        names: name of a column of interactions -> its name in the table.

    Raises:
        DataError: a row does not go on from the one before.
    """
    user, item = names["user_id"], names["item_id"]
    time, split = names.get("timestamp", ""), names.get("split", "")
    users = table.column(user).to_pylist()
    before = [_words(each) for each in table.column(f"{item}_list").to_pylist()]
    items, times = _texts(table, item), _texts(table, time)
    moments = _lists(table, f"{time}_list", before)
    parts = table.column(split).to_pylist() if split in table.column_names else [None] * len(users)
    events: dict[Any, list[_Event]] = {each: [] for each in users}
    for row in sorted(range(len(users)), key=lambda row: len(before[row])):
        known = events[users[row]]
        if not known:
            earlier = zip(before[row], moments[row], strict=True)
            known.extend(_Event(name, moment, "train") for name, moment in earlier)
        elif [each.item for each in known[len(known) - len(before[row]) :]] != before[row]:
            raise DataError(
                f"the {item}_list of user {users[row]!r} in row {row} does not go on from the "
                "user's row before; give a log of one event a row"
            )
        known.append(_Event(items[row], times[row], parts[row]))
    for name in ("rating", "label"):
        if names.get(name) in table.column_names:
            warn(f"the items in {item}_list have no {name}, so that the column is left alone")
    return _columns(events, table.column_names, (user, item, time, split))


def _columns(
    events: Mapping[Any, list[_Event]], known: Sequence[str], names: tuple[str, str, str, str]
) -> pa.Table:
    """A row a user: lists of what happened."""
    user, item, time, split = names
    flat = pa.chunked_array([[each.item for of in events.values() for each in of]], pa.string())
    ids = iter(as_numbers(flat).to_pylist())
    columns: dict[str, Any] = {
        user: list(events),
        item: [[next(ids) for _ in of] for of in events.values()],
    }
    if time in known or f"{time}_list" in known:
        columns[time] = [[each.time for each in of] for of in events.values()]
    if split in known:
        columns[split] = [[each.part for each in of] for of in events.values()]
    return pa.table(columns)


def _texts(table: pa.Table, name: str) -> list[str | None]:
    if name not in table.column_names:
        return [None] * len(table)
    found: list[str | None] = as_text(table.column(name)).to_pylist()
    return found


def _lists(table: pa.Table, name: str, like: list[list[str]]) -> list[list[str | None]]:
    """The entries of a column of lists; unknown where there is none."""
    unknown: list[list[str | None]] = [[None] * len(each) for each in like]
    if name not in table.column_names:
        return unknown
    found = [_words(each) for each in table.column(name).to_pylist()]
    for row, (one, other) in enumerate(zip(found, like, strict=True)):
        if len(one) != len(other):
            raise DataError(
                f"row {row} has {len(other)} items before and {len(one)} entries in {name}; give "
                "one entry an item"
            )
    return [list(each) for each in found]


def _words(value: object) -> list[str]:
    """The entries of a list, or of text with spaces."""
    if isinstance(value, str):
        return value.split()
    return [str(each) for each in value] if isinstance(value, list) else []
