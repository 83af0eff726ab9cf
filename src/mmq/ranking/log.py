"""A log of impressions, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmq.artifacts import require_file
from mmq.data.interactions import COLUMNS, Interactions
from mmq.data.tables import (
    ColumnOption,
    column_names,
    damaged_parquet,
    missing_column,
    plain,
    read_table,
)
from mmq.errors import DataError, nearest

PIECE = 1 << 20
"""Rows that are read at a time."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A log that can be read several times over.

    Attributes:
        rows: how many there are.
        source: a Parquet file, or the table itself.
        names: name of each column of :data:`~mmq.data.interactions.COLUMNS` -> its own.
        columns: further columns.
        numeric: those of them that are of numbers.
        settled: whether no others are; else that is found out.
    """

    rows: int
    source: Path | pa.Table
    names: Mapping[str, str]
    columns: tuple[str, ...] = ()
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
        """Of a file; Parquet is read a piece at a time, other formats at once.

        Args:
            path: see :func:`~mmq.data.tables.read_table`.
            column_names_: name in :data:`~mmq.data.interactions.COLUMNS` -> its name in the file,
                where they differ.
            columns: further columns.

        Raises:
            DataError: no such file, or a column is missing.
            FormatError: it is truncated or damaged.
        """
        path = require_file(path, "table")
        wanted = {name: name for name in COLUMNS} | dict(column_names_ or {})
        parquet = path.suffix in (".parquet", ".pq")
        ids = (wanted["user_id"], wanted["item_id"])
        table = None if parquet else read_table(path, [*wanted.values(), *columns], ids)
        known = column_names(path) if table is None else table.column_names
        names = {name: source for name, source in wanted.items() if source in known}
        for name in ("user_id", "item_id", *(column_names_ or {})):
            if name not in names:
                option = f"--{name.removesuffix('_id')}-column"
                raise missing_column(path, ColumnOption(wanted[name], option))
        _check_further(columns, names, known, path)
        rows = pq.ParquetFile(path).metadata.num_rows if table is None else table.num_rows
        return cls(rows, path if table is None else table, names, tuple(dict.fromkeys(columns)))

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
                log = Interactions.build(known)
            except DataError as error:
                raise DataError(f"{self._place(start)}: {error}") from error
            yield log, piece.select(list(self.columns))
            start += len(piece)

    def _tables(self) -> Iterator[pa.Table]:
        if isinstance(self.source, pa.Table):
            for start in range(0, self.rows, PIECE):
                yield self.source.slice(start, PIECE)
            return
        wanted = [*dict.fromkeys([*self.names.values(), *self.columns])]
        try:
            file = pq.ParquetFile(self.source, pre_buffer=False)
            for batch in file.iter_batches(PIECE, columns=wanted):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowInvalid, OSError) as error:
            raise damaged_parquet(self.source, error) from error

    def _place(self, start: int) -> str:
        name = self.source if isinstance(self.source, Path) else "the log"
        return f"{name}, rows from {start:,} on" if start else str(name)


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
