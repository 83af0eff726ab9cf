"""A RecBole data set: a folder of atomic files, its float sequences being embeddings."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from mmq.data.importers import Imported
from mmq.data.interactions import COLUMNS, Interactions
from mmq.data.items import read_items
from mmq.data.recbole import read_atomic
from mmq.errors import DataError


def read_recbole(path: str | Path) -> Imported:
    """The interactions ``NAME.inter`` of a folder, and its items ``NAME.item`` where it has them.

    Args:
        path: the folder, or the ``.inter`` file where the folder has several.

    Raises:
        DataError: there is not exactly one ``.inter`` file, or it lacks ``user_id`` or ``item_id``.
        FormatError: a file is truncated or damaged; the message names the line.
    """
    path = Path(path)
    logs = sorted(path.glob("*.inter")) if path.is_dir() else [path]
    if len(logs) != 1 or logs[0].suffix != ".inter":
        found = ", ".join(log.name for log in logs) or "none"
        raise DataError(f"{path} should hold one NAME.inter file (found: {found}); give its path")
    table = read_atomic(logs[0])
    try:
        log = Interactions.build(
            table.select([name for name in table.column_names if name in COLUMNS])
        )
    except DataError as error:
        raise DataError(f"{logs[0]}: {error}") from error
    file = logs[0].with_suffix(".item")
    items = read_items(file) if file.is_file() else pa.table({"item_id": log.items.ids})
    return Imported("recbole", items, log)
