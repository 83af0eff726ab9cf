"""Parquet files of results: what mmq wrote is replaced, what somebody else wrote is left alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmq._artifacts import check_writable, write_file
from mmq.data._files import format_of
from mmq.errors import DataError


class Marked(NamedTuple):
    """A kind of result files.

    Attributes:
        mark: metadata that every file of the kind has.
        what: what such a file holds, for errors.
        option: that names the file.
    """

    mark: str
    what: str
    option: str

    def check(self, path: str | Path, sources: Iterable[str | Path]) -> None:
        """Raise :class:`DataError` where a file cannot be written; before its content is made."""
        check_writable(path, sources)
        if format_of(Path(path)) not in (None, "parquet"):
            raise DataError(
                f"{self.option} {path} is written as Parquet; give it a name that says so, such as "
                f"{Path(path).with_suffix('.parquet')}"
            )
        if Path(path).exists() and not self._is_ours(path):
            raise DataError(
                f"{path} exists and holds no {self.what}, so it is not replaced; choose another "
                f"path for {self.option}"
            )

    @contextmanager
    def writer(self, path: str | Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """Give a writer of a file that is whole or absent."""
        schema = schema.with_metadata({self.mark: "1"})
        coded = [field.name for field in schema if not pa.types.is_floating(field.type)]
        with (
            write_file(path) as temporary,
            pq.ParquetWriter(temporary, schema, use_dictionary=coded) as writer,
        ):
            yield writer

    def _is_ours(self, path: str | Path) -> bool:
        try:
            return self.mark.encode() in (pq.read_schema(path).metadata or {})
        except (pa.ArrowInvalid, OSError):
            return False
