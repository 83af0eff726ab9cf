"""The Parquet files of a catalogue: one, or parts that have the same columns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmq._artifacts import require_file
from mmq.data._embeddings import is_embedding, storage_of, width_of
from mmq.data._files import format_of, is_pattern, table_parts, warn_of_gaps
from mmq.data._tables import damaged_parquet, open_parquet, plain, usual_types
from mmq.errors import DataError

REDUCTION = b"mmq.reduction."
"""In the metadata of a file, before the name of a modality: the PCA that made its embedding."""

_BATCH = 8192


class Parts(NamedTuple):
    """Files that were opened and not read.

    Attributes:
        paths: of them, in the order of their rows.
        files: likewise.
    """

    paths: list[Path]
    files: list[pq.ParquetFile]

    @classmethod
    def open(cls, path: str | Path) -> Parts:
        """A file, a folder of parts or a pattern of them.

        Raises:
            DataError: there are none, or they are not Parquet.
            FormatError: one is truncated or not Parquet.
        """
        if not Path(path).is_dir() and not is_pattern(path):
            paths = [require_file(path, "catalogue")]
        else:
            paths = [part.path for part in table_parts(path)]
            if format_of(paths[0]) != "parquet":
                raise DataError(
                    f"{path} holds {paths[0].name}, but a catalogue is Parquet; make one with mmq "
                    "import npy or mmq embed"
                )
        warn_of_gaps(paths)
        return cls(paths, [open_parquet(each) for each in paths])

    def by_name(self, path: str | Path) -> dict[str, Path]:
        """Path inside the folder that was opened, or else its name, -> the file.

        Raises:
            DataError: a pattern matches two files of one name.
        """
        folder = Path(path)
        if folder.is_dir():
            return {each.relative_to(folder).as_posix(): each for each in self.paths}
        named = {each.name: each for each in self.paths}
        if len(named) < len(self.paths):
            double = next(each for each in self.paths if named[each.name] != each)
            raise DataError(
                f"{double} and {named[double.name]} have one name; give the folder that both lie in"
            )
        return named

    @property
    def schema(self) -> pa.Schema:
        """That of the first file."""
        return self.files[0].schema_arrow

    def row_groups(self) -> list[int]:
        """Rows of each row group, of all files in turn."""
        return [rows for file in self.files for rows in row_groups(file)]

    def dimensions(self) -> dict[str, int]:
        """Modality -> dimension, the same in all parts.

        Raises:
            DataError: parts have other columns, or embeddings or ids of another kind.
        """
        kinds = [usual_types(file.schema_arrow) for file in self.files]
        kept = [reductions_of(file.schema_arrow) for file in self.files]
        widths = [_widths(path, file) for path, file in zip(*self, strict=True)]
        for place, path in enumerate(self.paths):
            if kinds[place].keys() != kinds[0].keys():
                other = min(kinds[place].keys() ^ kinds[0].keys())
                lacking = path if other in kinds[0] else self.paths[0]
                raise DataError(f"{lacking} has no column '{other}', which other parts have")
            for what, each in (("column", kinds), ("embedding", widths), ("PCA of", kept)):
                if each[place] != each[0]:
                    names = [name for name in each[0] if each[place].get(name) != each[0][name]]
                    raise DataError(
                        f"{path} does not go with {self.paths[0]}: the {what} "
                        f"{min(names, default='an embedding')} differs; give parts of one catalogue"
                    )
        return widths[0]

    def read(self, columns: list[str]) -> pa.Table:
        """Columns of all files, of the usual types."""
        tables = []
        for path, file in zip(*self, strict=True):
            try:
                tables.append(plain(file.read(columns=columns)).replace_schema_metadata(None))
            except (pa.ArrowInvalid, OSError) as error:
                raise damaged_parquet(path, error) from error
        return pa.concat_tables(tables)


def _widths(path: Path, file: pq.ParquetFile) -> dict[str, int]:
    return {
        field.name: _width(path, field) for field in file.schema_arrow if is_embedding(field.type)
    }


def reductions_of(schema: pa.Schema) -> dict[str, bytes]:
    """Modality -> what a file keeps of the PCA that made its embedding."""
    return {
        key.removeprefix(REDUCTION).decode(): value
        for key, value in (schema.metadata or {}).items()
        if key.startswith(REDUCTION)
    }


def row_groups(file: pq.ParquetFile) -> list[int]:
    """Rows of each."""
    metadata = file.metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _width(path: Path, column: pa.Field) -> int:
    """Numbers of an embedding: what the type says, or most lists of the first that has any."""
    kind = storage_of(column.type)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH, columns=[column.name]):
                width = width_of(batch.column(0))
                if width is not None:
                    return width
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged_parquet(path, error) from error
    raise DataError(f"the embedding {column.name} of {path} is empty in every row; leave it out")
