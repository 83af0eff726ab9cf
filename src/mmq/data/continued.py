"""Logs whose every row repeats what came before it."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from mmq.data.texts import as_text
from mmq.errors import DataError


def continued(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """A history a user, of a table whose rows hold what came before, as RecBole's benchmarks do.

    A row is a user, the items before (``item_id_list``: a list, or text with spaces) and the item.
    The rows of a user go on from each other, and may hold the last of a long history alone. Items
    before the first row have no time, unless ``timestamp_list`` has it.

    Args:
        table: of one event a row.
        names: ``user_id``, ``item_id``, and perhaps ``timestamp`` and ``split`` -> their columns.

    Raises:
        DataError: a row does not go on from the one before.
    """
    user, item, time = names["user_id"], names["item_id"], names.get("timestamp", "timestamp")
    before = [_words(each) for each in table.column(f"{item}_list").to_pylist()]
    users, items = table.column(user).to_pylist(), as_text(table.column(item)).to_pylist()
    when = f"{time}_list" in table.column_names
    times = [_words(each) for each in table.column(f"{time}_list").to_pylist()] if when else None
    own = as_text(table.column(time)).to_pylist() if time in table.column_names else None
    events: dict[object, list[tuple[str | None, str | None, int]]] = {}
    for row in sorted(range(len(users)), key=lambda row: len(before[row])):
        known = events.setdefault(users[row], [])
        moments = times[row] if times else [None] * len(before[row])
        if not known:
            known.extend(zip(before[row], moments, [-1] * len(before[row]), strict=True))
        elif [each[0] for each in known[len(known) - len(before[row]) :]] != before[row]:
            raise DataError(
                f"the {item}_list of user {users[row]!r} in row {row} does not go on from the "
                "user's row before; give a log of one event a row"
            )
        known.append((items[row], own[row] if own else None, row))
    columns = {
        user: list(events),
        item: [[each[0] for each in known] for known in events.values()],
    }
    if own or times:
        columns[time] = [[each[1] for each in known] for known in events.values()]
    split = names.get("split", "split")
    if split in table.column_names:
        parts = table.column(split).to_pylist()
        columns[split] = [
            ["train" if each[2] < 0 else parts[each[2]] for each in known]
            for known in events.values()
        ]
    return pa.table(columns)


def _words(value: object) -> list[str]:
    """The entries of a list, or of text with spaces."""
    if isinstance(value, str):
        return value.split()
    return [str(each) for each in value] if isinstance(value, list) else []
