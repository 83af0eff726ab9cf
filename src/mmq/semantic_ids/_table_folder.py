"""An ID table in parts: a folder of table files, and a note that says which.

Every part is a table file of its own, so that any process may write one. :data:`NOTE` is written
last: the manifest of the whole, and name and items of each part in the order of the rows. A folder
without it is unfinished. Readers of Parquet folders pass over names that start with "_".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq._artifacts import output_lock
from mmq._formats import read_json, write_json
from mmq.data._files import table_parts
from mmq.errors import DataError, FormatError
from mmq.metrics.buckets import bucket_ids_of, occurrence
from mmq.semantic_ids._manifest import Manifest, parse_manifest, require_same_tokenizer
from mmq.semantic_ids._table_file import Stored, read_table, write_table

NOTE = "_semantic_ids.json"
"""Name of the file in a folder that says what its parts are."""


class Note(NamedTuple):
    """What the note of a folder says.

    Attributes:
        manifest: of the whole table.
        parts: name -> items, in the order of the rows.
    """

    manifest: Manifest
    parts: dict[str, int]


def write_note(folder: Path, note: Note) -> None:
    """Say that the parts in a folder are a whole table."""
    parts = [{"part": name, "items": items} for name, items in note.parts.items()]
    write_json(folder / NOTE, {"manifest": note.manifest, "parts": parts})


def read_note(folder: Path) -> Note:
    """The note of a folder.

    Raises:
        FormatError: there is none, or it is damaged.
    """
    if not (folder / NOTE).is_file():
        raise FormatError(
            f"{folder} holds no finished table of semantic IDs (it has no {NOTE}); run mmq encode "
            "with the whole catalogue again, which keeps the parts that are there"
        )
    found = read_json(folder / NOTE, "note of an ID table")
    try:
        parts = {str(each["part"]): int(each["items"]) for each in found["parts"]}
        manifest = json.dumps(found["manifest"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{folder / NOTE} is damaged; encode the catalogue again") from error
    return Note(parse_manifest(manifest, str(folder / NOTE)), parts)


def read_parts(folder: Path) -> Iterator[Stored]:
    """The parts of a finished table, in the order of their rows.

    Raises:
        FormatError: a part is missing, damaged, of other items or of another tokenizer, or there
            is one too many.
    """
    note = read_note(folder)
    _check_names(folder, list(note.parts))
    for name, items in note.parts.items():
        stored = read_table(folder / name)
        require_same_tokenizer(
            note.manifest, stored.manifest, f"{folder / name} is no part of this table; remove it"
        )
        if len(stored.table) != items:
            raise FormatError(
                f"{folder / name} holds {len(stored.table):,} items, the table was finished with "
                f"{items:,}; encode the catalogue again"
            )
        yield stored


def read_folder(folder: Path) -> Stored:
    """The whole table; raises like :func:`read_parts`."""
    tables = [stored.table for stored in read_parts(folder)]
    return Stored(_end_to_end(tables), read_note(folder).manifest)


def finish(folder: Path, names: Sequence[str], manifest: Manifest) -> Note:
    """Rank the items of all parts that share an ID, and write the note.

    Memory is some 32 bytes an item. What a killed run did is done again, to the same bytes.

    Args:
        folder: of the parts.
        names: of the parts in the order of their rows.
        manifest: of the whole table.

    Raises:
        DataError: a part is missing or one too many.
        FormatError: a part is damaged.
    """
    _check_names(folder, names)
    counts = {name: len(read_table(folder / name).table) for name in names}

    def pieces() -> Iterator[np.ndarray]:
        return (codes_of(read_table(folder / name), folder / name) for name in names)

    ranks = occurrence(bucket_ids_of(pieces, sum(counts.values()), manifest["codebook_sizes"]))
    start = 0
    for name, items in counts.items():
        _rank(folder / name, ranks[start : start + items])
        start += items
    note = Note(manifest, counts)
    write_note(folder, note)
    for name in names:
        with output_lock(folder / name):
            pass  # who holds the lock has swept away what killed processes left
    return note


def codes_of(stored: Stored, path: Path) -> np.ndarray:
    """``(items, length)`` int32 of a part that mmq wrote.

    Raises:
        FormatError: its IDs are of another length.
    """
    length, column = stored.manifest["length"], stored.table.column("semantic_id")
    values = column.combine_chunks().flatten().to_numpy()
    if len(values) != length * len(column):
        raise FormatError(f"the IDs of {path} are not all of {length} codes; encode it again")
    return np.asarray(values).reshape(-1, length)


def with_rank(table: pa.Table, rank: np.ndarray) -> pa.Table:
    """A table with other ranks ``(items,)``."""
    place = table.column_names.index("rank")
    return table.set_column(place, table.schema.field(place), pa.array(rank, pa.int32()))


def _rank(path: Path, rank: np.ndarray) -> None:
    """Give the items of a part their ranks; the file is left alone where it has them already."""
    stored = read_table(path)
    if not np.array_equal(stored.table.column("rank").to_numpy(), rank):
        write_table(path, stored._replace(table=with_rank(stored.table, rank)))


def _check_names(folder: Path, names: Sequence[str]) -> None:
    there = {part.path.relative_to(folder).as_posix() for part in table_parts(folder)}
    for name in names:
        if name not in there:
            raise DataError(f"{folder} has no part {name}; encode the catalogue again")
    for name in sorted(there - set(names)):
        raise DataError(f"{folder / name} is no part of this table; move it out of the folder")


def _end_to_end(tables: Sequence[pa.Table]) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise FormatError(f"parts of the table have other columns ({error})") from error
