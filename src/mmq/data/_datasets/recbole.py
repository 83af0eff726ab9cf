"""A RecBole data set: a folder of atomic files, its float sequences being embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mmq.data._importers import Imported
from mmq.data._interactions import Interactions
from mmq.data._items import read_items
from mmq.data._log import read_interactions
from mmq.errors import DataError
from mmq.made_from import file_input

_PARTS = {".train": "train", ".valid": "validation", ".test": "test"}
"""Ending of the name of a file that holds a part of a log."""


class RecBoleFiles(NamedTuple):
    """The files of a data set.

    Attributes:
        logs: one, or one a part.
        items: what is known of the items; None where there is no such file.
    """

    logs: list[Path]
    items: Path | None

    def inputs(self) -> dict[str, Any]:
        """What they hold; see :mod:`mmq.made_from`."""
        found = {"log" if len(self.logs) == 1 else log.stem: file_input(log) for log in self.logs}
        return {**found, "items": self.items and file_input(self.items)}


def find_files(path: str | Path) -> RecBoleFiles:
    """The files of a folder, or those that belong to a ``.inter`` file.

    Raises:
        DataError: there is not exactly one log.
    """
    path = Path(path)
    logs = sorted(path.glob("*.inter")) if path.is_dir() else [path]
    names = {log.with_suffix("").with_suffix("").name for log in logs}
    divided = len(logs) > 1 and len(names) == 1 and all(_part(log) for log in logs)
    if not divided and (len(logs) != 1 or logs[0].suffix != ".inter"):
        found = ", ".join(log.name for log in logs[:5]) or "none"
        raise DataError(f"{path} should hold one NAME.inter file (found: {found}); give its path")
    items = logs[0].with_suffix(".item")
    if not items.is_file() and _part(logs[0]):
        items = logs[0].with_suffix("").with_suffix(".item")
    return RecBoleFiles(logs, items if items.is_file() else None)


def read_recbole(
    path: str | Path,
    column_names: Mapping[str, str] | None = None,
) -> Imported:
    """The interactions ``NAME.inter`` of a folder, and its items ``NAME.item`` where it has them.

    A log that is divided into ``NAME.train.inter``, ``NAME.valid.inter`` and ``NAME.test.inter``
    comes out as one with a ``split`` column.

    Args:
        path: the folder, or the ``.inter`` file where the folder has several.
        column_names: name of a column of interactions -> its name in the files; that of
            ``item_id`` is the one of the items too. See
            :func:`~mmq.data._log.read_interactions`.

    Raises:
        DataError: there is not exactly one log, or it lacks the column of users or items.
        FormatError: a file is truncated or damaged; the message names the line.
    """
    logs, file = find_files(path)
    parts = [read_interactions(log, column_names) for log in logs]
    log = _together(logs, parts) if len(logs) > 1 else parts[0]
    if file is None:
        return Imported("recbole", pa.table({"item_id": log.items.ids}), log)
    source = (column_names or {}).get("item_id", "item_id")
    items = read_items(file, source)
    named = ["item_id" if name == source else name for name in items.column_names]
    return Imported("recbole", items.rename_columns(named), log)


def _part(log: Path) -> str | None:
    """The part that a file's name says it holds."""
    return _PARTS.get(Path(log.stem).suffix)


def _together(files: list[Path], logs: list[Interactions]) -> Interactions:
    """One log of several, each being a part."""
    tables = []
    for file, log in zip(files, logs, strict=True):
        table = log.table
        if "split" in table.column_names:
            table = table.drop_columns("split")
        tables.append(table.append_column("split", pa.array([_part(file)] * len(log))))
    order = list(_PARTS.values())
    tables.sort(key=lambda table: order.index(table["split"][0].as_py()))
    return Interactions.together(tables)
