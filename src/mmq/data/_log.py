"""The one reader of interaction logs: columns mapped, rows checked, whole or a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmq.data._cleaning import row_hashes, with_items
from mmq.data._continued import continued
from mmq.data._files import format_of, table_parts, warn_of_gaps
from mmq.data._hashing import repeated
from mmq.data._interactions import COLUMNS, REQUIRED, Interactions
from mmq.data._item_ids import joined
from mmq.data._outcomes import means_another
from mmq.data._tables import (
    ColumnOption,
    column_names,
    damaged_parquet,
    missing_column,
    open_parquet,
    plain,
    read_table,
)
from mmq.errors import DataError, nearest, warn

FORMAT = "timestamp_format"
"""Among names of columns: how times are written, as ``strptime`` reads it."""

LEFT_ALONE = "none"
"""In place of a column's name in the file: the column is not read, whatever the file has."""

PIECE = 1 << 20
"""Rows that are read at a time."""

_MEANINGS = {"rating": "numbers", "label": "0 and 1", "split": "parts"}
"""Columns that are known by their name alone -> what they hold."""


def read_interactions(
    path: str | Path, column_names: Mapping[str, str] | None = None
) -> Interactions:
    """The interaction log in a Parquet, CSV, TSV, JSON Lines or RecBole ``.inter`` file.

    Args:
        path: the file, a folder of its parts, or a pattern such as ``"day=*/*.parquet"``.
        column_names: name in :data:`~mmq.data._interactions.COLUMNS` -> its name in the file, where
            they differ, or :data:`LEFT_ALONE`. Columns that are neither known nor mapped are not
            read, and those that are known by name alone and hold something else are left alone with
            a warning. :data:`FORMAT` -> how times are written, where they are text of another form.

    Raises:
        DataError: a column is missing (the message names the nearest and the option that maps
            it), or the rows do not pass :meth:`Interactions.build`.
        FormatError: the file is truncated or damaged.
    """
    given = column_names or {}
    mapping = _mapping(given)
    before, moments = (f"{mapping.get(name)}_list" for name in ("item_id", "timestamp"))
    table = _table(path, mapping, [before, moments])
    if before in table.column_names and mapping["item_id"] in table.column_names:
        _require_columns(path, table.column_names, mapping, given)
        table = continued(table, mapping)
    return LogReader.of_file(path, table, given).whole()


@dataclass(frozen=True, eq=False)
class LogReader:
    """Reads a log, several times over if need be. Made by :meth:`open` or :meth:`of`.

    Attributes:
        rows: how many there are.
        source: Parquet files, or the table itself.
        names: name of each column of :data:`~mmq.data._interactions.COLUMNS` -> its own.
        columns: further columns.
        place: what messages call the log.
        timestamp_format: how times are written, where they are text of another form.
        kept: ``(rows of the source,)`` bool, those that count; None for all.
        numeric: the further columns that are of numbers.
        settled: whether no others are; else that is found out.
    """

    rows: int
    source: tuple[Path, ...] | pa.Table
    names: Mapping[str, str]
    columns: tuple[str, ...] = ()
    place: str = "the log"
    timestamp_format: str | None = None
    kept: np.ndarray | None = None
    numeric: frozenset[str] = frozenset()
    settled: bool = False

    @classmethod
    def of(cls, log: Interactions | pa.Table, columns: Sequence[str] = ()) -> LogReader:
        """Of a log in memory, under the names of :data:`~mmq.data._interactions.COLUMNS`."""
        table = log.table if isinstance(log, Interactions) else log
        names = {name: name for name in COLUMNS if name in table.column_names}
        reader = cls(table.num_rows, table, names)
        return reader._with_further(columns, table.column_names, {})

    @classmethod
    def open(
        cls,
        path: str | Path,
        given: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = (),
    ) -> LogReader:
        """Of a file, a folder of parts or a pattern; Parquet is read a piece at a time.

        Args:
            path: see :func:`~mmq.data._tables.read_table`.
            given: names of columns as :func:`read_interactions` takes them.
            columns: further columns; None for all that there are.

        Raises:
            DataError: no such file, or a column is missing.
            FormatError: it is truncated or damaged.
        """
        given = given or {}
        mapping, parts = _mapping(given), table_parts(path)
        warn_of_gaps([part.path for part in parts])
        in_path = {name for part in parts for name in part.values}
        wanted = in_path if columns is None else in_path & {*mapping.values(), *columns}
        if format_of(parts[0].path) != "parquet" or wanted:
            return cls.of_file(path, _table(path, mapping, columns), given, columns)
        known = column_names(path)
        names = _names(path, known, given)
        files = tuple(part.path for part in parts)
        rows = sum(open_parquet(file).metadata.num_rows for file in files)
        reader = cls(rows, files, names, (), str(path), given.get(FORMAT))
        reader = reader._with_further(columns, known, given)
        reader._require_alike()
        return reader._without_other_meanings(given)

    @classmethod
    def of_file(
        cls,
        path: str | Path,
        table: pa.Table,
        given: Mapping[str, str],
        columns: Sequence[str] | None = (),
    ) -> LogReader:
        """Of the table that a file holds; arguments and errors are those of :meth:`open`."""
        names = _names(path, table.column_names, given)
        reader = cls(table.num_rows, table, names, (), str(path), given.get(FORMAT))
        reader = reader._with_further(columns, table.column_names, given)
        return reader._without_other_meanings(given)

    def with_numeric(self, names: Iterable[str], settled: bool = False) -> LogReader:
        """The same log, of whose further columns these are of numbers.

        Args:
            names: of the columns.
            settled: whether no others are; else that is found out, as :mod:`mmq.ranking._numbers`
                says.
        """
        return replace(self, numeric=frozenset(names), settled=settled)

    def whole(self) -> Interactions:
        """All rows of a table at once; of one that holds a history a row, a row for each item.

        Raises:
            DataError: the rows do not pass :meth:`Interactions.build`.
        """
        assert isinstance(self.source, pa.Table), "files are read a piece at a time"
        return self._built(self.source, 0)

    def __iter__(self) -> Iterator[tuple[Interactions, pa.Table]]:
        """Checked rows, and their further columns."""
        start = 0
        for piece in map(plain, self._tables([*self.names.values(), *self.columns])):
            log = self._built(piece, start)
            if len(log) != len(piece):
                raise DataError(
                    f"{self._from(start)} holds several items a row; a ranker learns from one "
                    "impression a row"
                )
            further = piece.select(list(self.columns))
            if self.kept is not None:
                mask = self.kept[start : start + len(piece)]
                log, further = log.filter(mask), further.filter(pa.array(mask))
            start += len(piece)
            if len(log):
                yield log, further

    def without(self, *names: str) -> LogReader:
        """The log without some of its columns."""
        left = {name: source for name, source in self.names.items() if name not in names}
        return replace(self, names=left)

    def only(self, kept: np.ndarray) -> LogReader:
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

    def with_items(self, item_ids: pa.Array) -> LogReader:
        """The rows whose item is among some ids."""
        found = [with_items(log, item_ids, strict=False) for log, _ in self]
        return self.only(np.concatenate(found))

    def deduped(self) -> LogReader:
        """The rows that no earlier one equals in all columns that are read."""
        return self.only(~repeated(np.concatenate([row_hashes(*piece) for piece in self])))

    def _built(self, piece: pa.Table, start: int) -> Interactions:
        """The checked rows of a piece whose first row has the number ``start``."""
        known = {name: piece.column(source) for name, source in self.names.items()}
        try:
            return Interactions.build(known, self.timestamp_format)
        except DataError as error:
            raise DataError(f"{self._from(start)}: {error}") from error

    def _from(self, start: int) -> str:
        return f"{self.place}, rows from {start:,} on" if start else self.place

    def _tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The log a piece at a time; of files, these columns alone."""
        if isinstance(self.source, pa.Table):
            for start in range(0, len(self.source), PIECE):
                yield self.source.slice(start, PIECE)
            return
        for path in self.source:
            try:
                file = pq.ParquetFile(path, pre_buffer=False)
                for batch in file.iter_batches(PIECE, columns=[*dict.fromkeys(columns)]):
                    yield pa.Table.from_batches([batch])
            except (pa.ArrowInvalid, OSError) as error:
                raise damaged_parquet(path, error) from error

    def _with_further(
        self, columns: Sequence[str] | None, known: Sequence[str], given: Mapping[str, str]
    ) -> LogReader:
        """Refuse further columns that are not there, or that hold what is to be predicted."""
        told = [name for name in ("label", "rating") if name in self.names]
        told = [name for name in told if name == told[0] or name in given]
        columns = known if columns is None else columns
        for name in columns:
            if name not in known:
                raise DataError(f"{self.place} has no column '{name}'; {nearest(name, known)}")
            if name in [self.names[each] for each in told]:
                raise DataError(
                    f"the column '{name}' of {self.place} tells what was liked, so a model that "
                    "reads it has nothing to predict; leave it out of the further columns"
                )
        return replace(self, columns=tuple(dict.fromkeys(columns)))

    def _require_alike(self) -> None:
        """Raise :class:`DataError` if a file lacks a column that others have."""
        assert not isinstance(self.source, pa.Table)
        for file in self.source:
            lacking = {*self.names.values(), *self.columns}
            lacking -= set(open_parquet(file).schema_arrow.names)
            if lacking:
                raise DataError(f"{file} has no column '{min(lacking)}', which other parts have")

    def _without_other_meanings(self, given: Mapping[str, str]) -> LogReader:
        """Without columns that nobody named and that hold something else than their name says."""
        asked = [name for name in _MEANINGS if name in self.names and name not in given]
        other: dict[str, None] = {}
        for piece in self._tables([self.names[name] for name in asked]) if asked else ():
            columns = {name: joined(piece.column(self.names[name])) for name in asked}
            other |= {name: None for name in asked if means_another(name, columns[name])}
        for name in other:
            warn(
                f"the column {name} holds something else than {_MEANINGS[name]} and is left alone; "
                "rename it if it should count"
            )
        return self.without(*other)


def _mapping(given: Mapping[str, str]) -> dict[str, str]:
    """Name in :data:`COLUMNS` -> its name in the file, without those that are left alone."""
    whole = {name: name for name in COLUMNS} | dict(given)
    whole.pop(FORMAT, None)
    return {
        name: source for name, source in whole.items() if source != LEFT_ALONE or name in REQUIRED
    }


def _names(path: str | Path, known: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The columns of the log that a file has, by mmq's name."""
    mapping = _mapping(given)
    _require_columns(path, known, mapping, given)
    return {name: source for name, source in mapping.items() if source in known}


def _table(path: str | Path, mapping: Mapping[str, str], more: Sequence[str] | None) -> pa.Table:
    """The columns of a log, and others (all where None), as they stand in a file."""
    hints = {"timestamp": pa.int64(), "rating": pa.float64()}  # what they most often are as text
    known = {mapping[name]: kind for name, kind in hints.items() if name in mapping}
    ids = (mapping["user_id"], mapping["item_id"])
    columns = None if more is None else [*mapping.values(), *more]
    return read_table(path, columns, ids, known)


def _require_columns(
    path: str | Path, known: Sequence[str], mapping: Mapping[str, str], given: Mapping[str, str]
) -> None:
    """Raise :class:`DataError` for a column that has to be there and is not."""
    for name, source in mapping.items():
        if source not in known and (name in REQUIRED or name in given):
            option = ColumnOption(source, f"--{name.removesuffix('_id')}-column")
            raise missing_column(path, option, set(known).intersection(mapping.values()))
