"""The Parquet file of an ID table: this module alone reads and writes it.

Layout: ``item_id`` (int64 or string), ``semantic_id`` (fixed-size list of int32), ``rank`` (int32);
the manifest is JSON in the file's key-value metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmq._artifacts import require_file, write_file
from mmq.errors import FormatError
from mmq.semantic_ids._manifest import Manifest, parse_manifest, to_json

_MANIFEST = b"mmq.semantic_ids"
_ROW_GROUP = 1 << 20
_COLUMNS = ("item_id", "semantic_id", "rank")
_IMPORT = (
    "give the file that mmq encode wrote, or bring semantic IDs made elsewhere into this form "
    "with mmq import ids FILE --out ids.parquet"
)


class Stored(NamedTuple):
    """A table as it is stored.

    Attributes:
        table: its columns.
        manifest: what made it.
    """

    table: pa.Table
    manifest: Manifest


def write_table(path: str | Path, stored: Stored) -> None:
    """Write a table as Parquet, whole or not at all; equal tables are equal bytes."""
    metadata = {_MANIFEST: to_json(stored.manifest).encode()}
    with write_file(path) as temporary:
        pq.write_table(
            stored.table.replace_schema_metadata(metadata),
            temporary,
            row_group_size=_ROW_GROUP,
            compression="zstd",
            use_dictionary=["semantic_id.list.element", "rank"],
            write_statistics=["item_id"],
            write_page_checksum=True,
        )


def read_table(path: str | Path) -> Stored:
    """The table in a Parquet file; its columns are not checked yet.

    Raises:
        DataError: no such file.
        FormatError: truncated, no ID table, of a newer mmq, or a column is missing.
    """
    path = require_file(path, "semantic ID table")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        if _is_something_else(path):
            raise FormatError(f"{path} is no semantic ID table of mmq; {_IMPORT}") from None
        raise FormatError(
            f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}); "
            "it is truncated or damaged, encode the catalogue again"
        ) from error
    metadata = table.schema.metadata or {}
    if _MANIFEST not in metadata:
        raise FormatError(f"{path} is Parquet, but no semantic ID table of mmq; {_IMPORT}")
    manifest = parse_manifest(metadata[_MANIFEST], str(path))
    missing = set(_COLUMNS) - set(table.column_names)
    if missing:
        raise FormatError(
            f"{path} has no column {', '.join(sorted(missing))}; encode the catalogue again"
        )
    return Stored(table.select(_COLUMNS), manifest)


def read_file_manifest(path: str | Path) -> Manifest | None:
    """What made the ID table in a file, without reading it; None for anything else.

    Raises:
        FormatError: the manifest is damaged or of a newer mmq.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    return parse_manifest(metadata[_MANIFEST], str(path)) if _MANIFEST in metadata else None


def _is_something_else(path: Path) -> bool:
    """Whether a file never was Parquet."""
    with path.open("rb") as file:
        return not b"PAR1".startswith(file.read(4))
