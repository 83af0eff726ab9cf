"""A log of impressions, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.data.cleaning import row_hashes, with_items
from mmq.data.files import format_of, table_parts
from mmq.data.hashing import mixed, repeated, text_hashes
from mmq.data.interactions import (
    COLUMNS,
    FORMAT,
    Interactions,
    column_mapping,
    number_hints,
    require_columns,
)
from mmq.data.item_ids import joined
from mmq.data.tables import column_names, damaged_parquet, open_parquet, plain, read_table
from mmq.data.texts import as_text
from mmq.errors import DataError, nearest

PIECE = 1 << 20
"""Rows that are read at a time."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A log that can be read several times over.

    Attributes:
        rows: how many there are.
        source: Parquet files, or the table itself.
        names: name of each column of :data:`~mmq.data.interactions.COLUMNS` -> its own.
        columns: further columns.
        timestamp_format: how times are written, where they are text of another form.
        kept: ``(rows of the source,)`` bool, those that count; None for all.
        numeric: the further columns that are of numbers.
        settled: whether no others are; else that is found out.
    """

    rows: int
    source: tuple[Path, ...] | pa.Table
    names: Mapping[str, str]
    columns: tuple[str, ...] = ()
    timestamp_format: str | None = None
    kept: np.ndarray | None = None
    numeric: frozenset[str] = frozenset()
    settled: bool = False

    @classmethod
    def of(cls, log: Interactions | pa.Table, columns: Sequence[str] = ()) -> Pieces:
        """Of a log in memory, under the names of :data:`~mmq.data.interactions.COLUMNS`."""
        table = log.table if isinstance(log, Interactions) else log
        names = {name: name for name in COLUMNS if name in table.column_names}
        _check_further(columns, names, table.column_names, "the log")
        return cls(table.num_rows, table, names, tuple(dict.fromkeys(columns)))

    @classmethod
    def open(
        cls,
        path: str | Path,
        column_names_: Mapping[str, str] | None = None,
        columns: Sequence[str] = (),
    ) -> Pieces:
        """Of a file, a folder of parts or a pattern; Parquet is read a piece at a time.

        Args:
            path: see :func:`~mmq.data.tables.read_table`.
            column_names_: name in :data:`~mmq.data.interactions.COLUMNS` -> its name in the file,
                where they differ; see :func:`~mmq.data.interactions.read_interactions`.
            columns: further columns.

        Raises:
            DataError: no such file, or a column is missing.
            FormatError: it is truncated or damaged.
        """
        wanted, parts = column_mapping(column_names_), table_parts(path)
        within = {name for part in parts for name in part.values}
        asked = {*wanted.values(), *columns}
        streamed = format_of(parts[0].path) == "parquet" and not within & asked
        table = None
        if not streamed:
            ids = (wanted["user_id"], wanted["item_id"])
            table = read_table(path, list(asked), ids, number_hints(wanted))
        known = column_names(path) if table is None else table.column_names
        require_columns(path, known, wanted, column_names_ or {})
        names = {name: source for name, source in wanted.items() if source in known}
        if "label" in names and "rating" not in (column_names_ or {}):
            names.pop("rating", None)  # it has nothing to say
        _check_further(columns, names, known, path)
        further, timestamp_format = tuple(dict.fromkeys(columns)), (column_names_ or {}).get(FORMAT)
        if table is not None:
            return cls(table.num_rows, table, names, further, timestamp_format)
        files = tuple(part.path for part in parts)
        for file in files:
            lacking = {*names.values(), *further} - set(open_parquet(file).schema_arrow.names)
            if lacking:
                raise DataError(f"{file} has no column '{min(lacking)}', which other parts have")
        rows = sum(open_parquet(file).metadata.num_rows for file in files)
        return cls(rows, files, names, further, timestamp_format)

    def with_numeric(self, names: Iterable[str], settled: bool = False) -> Pieces:
        """The same log, of whose further columns these are of numbers.

        Args:
            names: of the columns.
            settled: whether no others are; else that is found out, as :mod:`mmq.ranking.numbers`
                says.
        """
        return replace(self, numeric=frozenset(names), settled=settled)

    def __iter__(self) -> Iterator[tuple[Interactions, pa.Table]]:
        """Checked rows, and their further columns."""
        start = 0
        for piece in map(plain, self._tables()):
            known = {name: piece.column(source) for name, source in self.names.items()}
            try:
                log = Interactions.build(known, self.timestamp_format)
            except DataError as error:
                raise DataError(f"{self._place(start)}: {error}") from error
            if len(log) != len(piece):
                raise DataError(
                    f"{self._place(start)} holds several items a row; a ranker learns from one "
                    "impression a row"
                )
            further = piece.select(list(self.columns))
            if self.kept is not None:
                mask = self.kept[start : start + len(piece)]
                log, further = log.filter(mask), further.filter(pa.array(mask))
            start += len(piece)
            if len(log):
                yield log, further

    def without(self, name: str) -> Pieces:
        """The log without one of its columns."""
        return replace(self, names={key: value for key, value in self.names.items() if key != name})

    def only(self, kept: np.ndarray) -> Pieces:
        """The rows where ``kept`` ``(rows,)`` is True.

        Raises:
            DataError: it is True nowhere.
        """
        if self.kept is not None:
            whole = self.kept.copy()
            whole[whole] = kept
            kept = whole
        if not kept.any():
            raise DataError("no row of the log is left; give a longer log, or drop less")
        return replace(self, rows=int(kept.sum()), kept=kept)

    def with_items(self, item_ids: pa.Array) -> Pieces:
        """The rows whose item is among some ids."""
        found = [with_items(log, item_ids, strict=False) for log, _ in self]
        return self.only(np.concatenate(found))

    def deduped(self) -> Pieces:
        """The rows that no earlier one equals in all columns that are read."""
        return self.only(~repeated(np.concatenate([hashes_of(*piece) for piece in self])))

    def _tables(self) -> Iterator[pa.Table]:
        if isinstance(self.source, pa.Table):
            for start in range(0, len(self.source), PIECE):
                yield self.source.slice(start, PIECE)
            return
        wanted = [*dict.fromkeys([*self.names.values(), *self.columns])]
        for path in self.source:
            try:
                file = pq.ParquetFile(path, pre_buffer=False)
                for batch in file.iter_batches(PIECE, columns=wanted):
                    yield pa.Table.from_batches([batch])
            except (pa.ArrowInvalid, OSError) as error:
                raise damaged_parquet(path, error) from error

    def _place(self, start: int) -> str:
        name = "the log"
        if isinstance(self.source, tuple):
            name = str(self.source[0] if len(self.source) == 1 else self.source[0].parent)
        return f"{name}, rows from {start:,} on" if start else name


def hashes_of(log: Interactions, further: pa.Table) -> np.ndarray:
    """``(rows,)`` uint64 of all columns that are read, whatever their types and the rows around."""
    others = [
        text_hashes(pc.fill_null(joined(as_text(column, name)), ""))
        for name, column in zip(further.column_names, further.columns, strict=True)
    ]
    return mixed([row_hashes(log), *others])


def _check_further(
    columns: Sequence[str], names: Mapping[str, str], known: Sequence[str], where: str | Path
) -> None:
    """Refuse further columns that are not there, or that hold what is to be predicted."""
    for name in columns:
        if name not in known:
            raise DataError(f"{where} has no column '{name}'; {nearest(name, known)}")
        if name in (names.get("label"), names.get("rating")):
            raise DataError(
                f"the column '{name}' of {where} tells what was liked, so a model that reads it "
                "has nothing to predict; leave it out of the further columns"
            )
