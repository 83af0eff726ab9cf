"""The Parquet files of a log, checked before anything long begins, and what reads them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mmq.data._files import format_of, table_parts
from mmq.data._tables import open_parquet
from mmq.errors import DataError, MissingExtraError, nearest, warn

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"
"""Of the database; what goes beyond is on disk."""


class Source(NamedTuple):
    """A log in Parquet.

    Attributes:
        path: as it was given.
        files: its parts.
        columns: name -> type.
    """

    path: Path
    files: tuple[str, ...]
    columns: dict[str, pa.DataType]

    @classmethod
    def open(cls, path: str | Path, required: Collection[str], what: str) -> Source:
        """A log whose columns are there.

        Args:
            path: a Parquet file, a folder of parts or a pattern.
            required: columns that it has to have.
            what: it is, for messages.

        Raises:
            DataError: no such file, none of Parquet, or a column is missing or no time.
            FormatError: it is truncated or damaged.
        """
        parts = [part.path for part in table_parts(path)]
        if format_of(parts[0]) != "parquet":
            raise DataError(f"{path}: {what} are read from Parquet alone; write them as .parquet")
        schema = open_parquet(parts[0]).schema_arrow
        columns = dict(zip(schema.names, schema.types, strict=True))
        for name in required:
            if name not in columns:
                raise DataError(
                    f"{path} has no column '{name}' of {what}; {nearest(name, columns)}"
                )
        if "time" in required:
            _check_time(path, columns["time"])
        return cls(Path(path), tuple(map(str, parts)), columns)

    @property
    def sql(self) -> str:
        """Its rows, as SQL reads them."""
        names = ", ".join(quoted(file) for file in self.files)
        return f"read_parquet([{names}])"

    def exposures_of(self, experiment: str | None) -> str:
        """The SQL condition of exposures of an experiment, or of all.

        A service may keep them in one log with clicks and orders, told apart by ``kind``.
        """
        of_kind = "kind = 'exposure'" if "kind" in self.columns else "TRUE"
        of_name = "TRUE" if experiment is None else f"experiment = {quoted(experiment)}"
        return f"{of_kind} AND {of_name}"


def _check_time(path: str | Path, kind: pa.DataType) -> None:
    if not pa.types.is_timestamp(kind):
        raise DataError(
            f"the column 'time' of {path} is of type {kind}; write it as timestamps with a time "
            "zone"
        )
    if kind.tz is None:
        warn(f"the times of {path} have no time zone and are read as UTC")


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def database(threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in a temporary folder, bounded in memory and gone at the end.

    Raises:
        MissingExtraError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingExtraError("duckdb", "ab") from None
    with tempfile.TemporaryDirectory(prefix="mmq-ab-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
        }
        if threads is not None:
            settings["threads"] = threads
        connection = duckdb.connect(str(Path(folder) / "users.duckdb"), config=settings)
        try:
            yield connection
        finally:
            connection.close()


def every_row(base: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return base.execute(query).fetchall()


def one_row(base: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The one row of a query; a sum of nothing is 0."""
    (found,) = every_row(base, query)
    return tuple(0 if each is None else each for each in found)
