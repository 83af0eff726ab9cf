"""A log in few bytes a row: ids become places among the distinct ones, a piece at a time.

A row takes 16 bytes: 4 each for user and item, 8 for the time; and 8 for a rating, 1 for a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import DTypeLike

from mmq.data._files import format_of, table_parts
from mmq.data._interactions import Coded, Interactions
from mmq.data._item_ids import end_to_end, joined, same_type
from mmq.data._kinds import is_list, is_text
from mmq.data._log import LogReader, read_interactions
from mmq.data._splits import PARTS
from mmq.data._spool import Spool
from mmq.data._tables import column_names, open_parquet
from mmq.data._times import UNKNOWN, Clock
from mmq.errors import DataError

_KINDS: Mapping[str, DTypeLike] = {
    "user_id": np.int32,
    "item_id": np.int32,
    "timestamp": np.int64,
    "rating": np.float64,
    "label": np.int8,
    "split": np.int8,
}


def read_compact(
    path: str | Path, names: Mapping[str, str] | None = None, spool: Spool | None = None
) -> Interactions:
    """The same log as :func:`~mmq.data._log.read_interactions` gives, with ids as a dictionary.

    Parquet of an event a row is read a piece at a time. Text and histories a row are read whole,
    since what a column of text means is told from all of it.

    Args:
        path: see :func:`~mmq.data._log.read_interactions`, also for what is raised.
        names: of columns, likewise.
        spool: makes the columns; None for the memory.
    """
    item = (names or {}).get("item_id", "item_id")
    if f"{item}_list" in column_names(path):
        return read_interactions(path, names)
    reader = LogReader.open(path, names)
    if isinstance(reader.source, pa.Table):
        return reader.whole()
    if not reader.rows:
        raise DataError("there are no interactions; give at least one row")
    if any(_needs_whole(file, reader.names) for file in reader.source):
        return read_interactions(path, names)
    return _Columns.of(reader, spool or Spool()).log()


def parquet_rows(path: str | Path) -> int:
    """Rows of a log in Parquet; 0 of any other, which is read whole."""
    parts = [part.path for part in table_parts(path)]
    if format_of(parts[0]) != "parquet":
        return 0
    return sum(open_parquet(part).metadata.num_rows for part in parts)


def _needs_whole(file: Path, names: Mapping[str, str]) -> bool:
    """Whether a piece of a file does not tell what its rows are."""
    schema = pq.read_schema(file)
    kinds = {name: schema.field(source).type for name, source in names.items()}
    return any(map(is_list, kinds.values())) or is_text(kinds.get("timestamp", pa.null()))


class _Ids:
    """The distinct ids of the pieces so far, by first appearance."""

    def __init__(self) -> None:
        self.known: pa.Array | None = None

    def places(self, piece: Coded) -> np.ndarray:
        """``(rows,)`` int32 of the rows of the next piece."""
        if self.known is None:
            self.known = piece.ids
            codes: np.ndarray = piece.codes
            return codes
        known, ids = same_type([self.known, piece.ids])
        place = pc.index_in(ids, value_set=known)
        new = ids.filter(place.is_null())
        numbers = place.fill_null(-1).to_numpy().astype(np.int32)
        numbers[numbers < 0] = np.arange(len(known), len(known) + len(new))
        self.known = end_to_end([known, new])
        places: np.ndarray = numbers[piece.codes]
        return places


class _Columns:
    """The columns of a log, filled piece by piece.

    Args:
        rows: of the log.
        names: of its columns.
        spool: makes arrays.
    """

    def __init__(self, rows: int, names: Mapping[str, str], spool: Spool) -> None:
        self.users, self.items = _Ids(), _Ids()
        wanted = {*names, "timestamp"}
        self._arrays = {
            name: spool.empty(rows, kind) for name, kind in _KINDS.items() if name in wanted
        }
        self._clock = Clock(self._arrays["timestamp"], np.empty(rows, bool))
        self._filled = 0

    @classmethod
    def of(cls, reader: LogReader, spool: Spool) -> _Columns:
        """Those of a whole log."""
        columns = cls(reader.rows, reader.names, spool)
        for piece, _ in reader:
            columns.add(piece)
        return columns

    def add(self, piece: Interactions) -> None:
        """The next rows."""
        rows = slice(self._filled, self._filled + len(piece))
        self._arrays["user_id"][rows] = self.users.places(piece.users)
        self._arrays["item_id"][rows] = self.items.places(piece.items)
        self._clock.add(piece.times, piece.has_time, piece.time_unit)
        for name in piece.table.column_names[3:]:
            self._arrays[name][rows] = _numbers(name, joined(piece.table.column(name)))
        self._filled = rows.stop

    def log(self) -> Interactions:
        """All rows; the columns are not copied, unless values are missing."""
        times = self._arrays["timestamp"]
        missing = {"timestamp": times == UNKNOWN}
        if "rating" in self._arrays:
            missing["rating"] = np.isnan(self._arrays["rating"])
        table = {
            name: pa.array(values, mask=missing[name] if _any(missing, name) else None)
            for name, values in self._arrays.items()
        }
        table["timestamp"] = table["timestamp"].cast(pa.timestamp(self._clock.unit))
        ids = {"user_id": self.users.known, "item_id": self.items.known, "split": pa.array(PARTS)}
        for name in ids.keys() & table.keys():
            table[name] = pa.DictionaryArray.from_arrays(table[name], ids[name])
        return Interactions(pa.table(table))


def _any(missing: Mapping[str, np.ndarray], name: str) -> bool:
    return name in missing and bool(missing[name].any())


def _numbers(name: str, values: pa.Array) -> np.ndarray:
    """A further column as numbers; a rating that is unknown is NaN, a part its place."""
    if name == "split":
        values = pc.index_in(values, pa.array(PARTS))
    elif name == "rating":
        values = values.fill_null(np.nan)
    numbers: np.ndarray = values.to_numpy()
    return numbers
