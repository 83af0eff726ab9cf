"""What people are shown of items: ``shown.arrow``, mapped into memory, a row for each of the table.

Columns: ``title`` (text), ``picture`` (a small JPEG, null where there is none), and every attribute
of the catalogue that reads as text, as a list of its values. This module alone reads and writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq._artifacts import write_file
from mmq.data._texts import SEPARATOR, as_text, as_texts
from mmq.errors import DataError, FormatError, nearest
from mmq.reports._survey import PICTURES
from mmq.reports._thumbnails import jpegs

FILE = "shown.arrow"
TITLE, PICTURE = "title", "picture"
_ROWS = 4096


def write_shown(folder: Path, attributes: pa.Table, rows: np.ndarray) -> None:
    """Write what is shown of items.

    Args:
        folder: of the release.
        attributes: of a catalogue; may have no columns.
        rows: ``(items,)`` row in them of each item of the table, -1 for one that they lack.
    """
    taken = pa.array(rows, mask=rows < 0)
    columns = {name: each.take(taken) for name, each in _columns(attributes)}
    columns.setdefault(TITLE, pa.chunked_array([pa.nulls(len(rows), pa.string())]))
    table = pa.table(columns)
    paths = _paths(attributes, taken)
    schema = table.schema.append(pa.field(PICTURE, pa.binary()))
    with (
        write_file(folder / FILE) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for start in range(0, max(len(rows), 1), _ROWS):
            piece = table.slice(start, _ROWS)
            pictures = pa.array(_pictures(paths[start : start + _ROWS]), pa.binary())
            writer.write_table(piece.append_column(PICTURE, pictures).combine_chunks())


def _columns(attributes: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    for name in attributes.column_names:
        if name == TITLE:
            yield name, as_text(attributes.column(name), name)
        elif name not in (*PICTURES, PICTURE):
            try:
                yield name, _lists(as_texts(attributes.column(name), name))
            except DataError:  # objects, or lists of lists: nothing to read
                continue


def _lists(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of values; in a text they are parted by "|"."""
    return texts if pa.types.is_list(texts.type) else pc.split_pattern(texts, SEPARATOR)


def _paths(attributes: pa.Table, taken: pa.Array) -> list[str | None]:
    """Path of every item's picture; a release keeps the picture, and no path."""
    for name in (each for each in PICTURES if each in attributes.column_names):
        paths: list[str | None] = as_text(attributes.column(name), name).take(taken).to_pylist()
        return paths
    return [None] * len(taken)


def _pictures(paths: list[str | None]) -> list[bytes | None]:
    made = jpegs({place: path for place, path in enumerate(paths) if path})
    return [made.get(place) for place in range(len(paths))]


class Shown:
    """What people are shown of the items of a release.

    Args:
        folder: of the release.
        items: of its table.

    Raises:
        FormatError: the file is damaged, or of another table.
    """

    def __init__(self, folder: Path, items: int) -> None:
        try:
            self.table = pa.ipc.open_file(pa.memory_map(str(folder / FILE))).read_all()
        except (pa.ArrowException, OSError) as error:
            raise FormatError(
                f"{folder / FILE} is damaged ({str(error).splitlines()[0]}); make the release anew"
            ) from error
        if self.table.num_rows != items:
            raise FormatError(
                f"{folder / FILE} describes {self.table.num_rows:,} items of {items:,}; make the "
                "release anew"
            )

    @property
    def columns(self) -> list[str]:
        """Attributes that items can be told apart by."""
        return [name for name in self.table.column_names if name not in (TITLE, PICTURE)]

    def titles(self, rows: np.ndarray) -> list[str | None]:
        """Title of each row, None where there is none."""
        titles: list[str | None] = self.table.column(TITLE).take(pa.array(rows)).to_pylist()
        return titles

    def attributes(self, row: int) -> Mapping[str, list[str]]:
        """Name of an attribute -> the values that an item has."""
        return {name: self.table.column(name)[row].as_py() or [] for name in self.columns}

    def picture(self, row: int) -> bytes | None:
        """A small JPEG of an item, None where there is none."""
        picture: bytes | None = self.table.column(PICTURE)[row].as_py()
        return picture

    def have(self, column: str, value: str) -> np.ndarray:
        """``(items,)`` bool: which items have a value of an attribute, to the letter.

        Raises:
            DataError: there is no such attribute.
        """
        if column not in self.columns:
            hint = nearest(column, self.columns) if self.columns else "it has none"
            raise DataError(f"the release has no attribute '{column[:60]}'; {hint}")
        lists = self.table.column(column).combine_chunks()
        hits = pc.fill_null(pc.equal(lists.flatten(), value), False).to_numpy(False)
        mask = np.zeros(len(lists), bool)
        mask[pc.list_parent_indices(lists).to_numpy()[hits]] = True
        return mask

    def values(self, column: str, most: int) -> list[tuple[str, int]]:
        """The most frequent values of an attribute and how many items have each."""
        flat = self.table.column(column).combine_chunks().flatten()
        counts = pc.value_counts(flat).to_pylist()
        ranked = sorted(counts, key=lambda each: (-each["counts"], str(each["values"])))
        return [(each["values"], each["counts"]) for each in ranked[:most]]

    def find(self, words: str, most: int) -> np.ndarray:
        """Rows of the first items whose title holds all words, whatever their case."""
        titles = self.table.column(TITLE)
        mask = pc.is_valid(titles)
        for word in words.split():
            mask = pc.and_(mask, pc.match_substring(titles, word, ignore_case=True))
        hits: np.ndarray = np.flatnonzero(pc.fill_null(mask, False).to_numpy())
        return hits[:most]


def as_attributes(shown: Shown) -> pa.Table:
    """Titles and attributes alone, without pictures."""
    return shown.table.drop_columns([PICTURE])
