"""New items for an old table, in parts: old parts are copied as they are, new ones come after."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Container, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mmq._artifacts import write_folder
from mmq.semantic_ids._append import ranks_after
from mmq.semantic_ids._manifest import Manifest
from mmq.semantic_ids._table import SemanticIDs
from mmq.semantic_ids._table_file import read_table, write_table
from mmq.semantic_ids._table_folder import (
    NOTE,
    Note,
    codes_of,
    read_note,
    with_rank,
    write_note,
)


def append_parts(
    old: Path, table: SemanticIDs, new: Sequence[tuple[str, Path]], manifest: Manifest, out: Path
) -> None:
    """Write a folder of the parts of an old table, byte for byte, and of new ones after them.

    Ranks of new items go on from the old ones. The codes of all items are in memory.

    Args:
        old: file or folder of the old table.
        table: what is in it.
        new: name and path of table files of items that the old table does not have.
        manifest: of the whole.
        out: the folder to write; it may be that of the old table.
    """
    stored = [(name, path, read_table(path)) for name, path in new]
    codes = [codes_of(each, path) for _, path, each in stored]
    ranks = ranks_after(np.concatenate([table.codes, *codes]), table.rank)
    with write_folder(out, NOTE) as temporary:
        parts, start = _copied(old, len(table), temporary), 0
        for name, _, each in stored:
            own = ranks[start : start + len(each.table)]
            free = _free_name(name, parts)
            write_table(temporary / free, each._replace(table=with_rank(each.table, own)))
            parts[free], start = len(own), start + len(own)
        write_note(temporary, Note(manifest, parts))


def _copied(old: Path, items: int, folder: Path) -> dict[str, int]:
    """Copy the parts of a table into a folder; name -> items."""
    parts = read_note(old).parts if old.is_dir() else {old.name: items}
    for name in parts:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old / name if old.is_dir() else old, folder / name)
    return dict(parts)


def _free_name(name: str, taken: Container[str]) -> str:
    """The name, or where it is taken the first free one of ``name-2``, ``name-3``...

    >>> _free_name("day=1/part.parquet", {"day=1/part.parquet"})
    'day=1/part-2.parquet'
    """
    path = PurePosixPath(name)
    others = (str(path.with_stem(f"{path.stem}-{number}")) for number in itertools.count(2))
    return next(each for each in itertools.chain([name], others) if each not in taken)
