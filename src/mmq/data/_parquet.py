"""catalogue.parquet: ``item_id``, a fixed-size-list column a modality, attributes; in streams.

Embeddings are stored plain and uncompressed (float noise does not compress), so that a batch is
handed to numpy without another copy. A null list marks a missing modality.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mmq._artifacts import write_file
from mmq._formats import to_json
from mmq.data._catalogue import Catalogue, content_hash, joint_hash
from mmq.data._embeddings import as_matrix
from mmq.data._files import fingerprint
from mmq.data._item_ids import as_ids, check_ids, end_to_end, joined, without_empty
from mmq.data._parquet_parts import REDUCTION, Parts, reductions_of, row_groups
from mmq.data._reduction import Reduction
from mmq.data._tables import damaged_parquet, plain
from mmq.errors import DataError, FormatError
from mmq.made_from import check_same

BATCH = 8192
"""Items a batch of :meth:`CatalogueFile.batches` and of a Parquet row group."""

_MADE_FROM = b"mmq.made_from"


class CatalogueFile:
    """A catalogue on disk, opened but not read.

    Args:
        path: the file, a folder of its parts or a pattern of them (see
            :func:`~mmq.data._files.table_parts`).

    Attributes:
        path: as it was given.
        dimensions: modality -> dimension.
        attributes: names of the other columns.
        reductions: modality -> the PCA that made its embedding, where there was one.

    Raises:
        DataError: no such file, it has no ``item_id`` or no embedding column, or parts differ.
        FormatError: it is truncated or not Parquet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self._parts = Path(path), Parts.open(path)
        schema = self._parts.schema
        if "item_id" not in schema.names:
            raise DataError(f"{self.path} has no column item_id; is it a catalogue?")
        self.dimensions = self._parts.dimensions()
        if not self.dimensions:
            raise DataError(f"{self.path} has no embedding column; embeddings are lists of float32")
        self.attributes = [
            name for name in schema.names if name != "item_id" and name not in self.dimensions
        ]
        self.reductions = {
            name: self._reduction(value) for name, value in reductions_of(schema).items()
        }

    def __len__(self) -> int:
        return sum(self._parts.row_groups())

    def parts(self) -> dict[str, CatalogueFile]:
        """Each file of the catalogue, by its path inside the folder, in the order of the items.

        Raises:
            DataError: two files that a pattern matches have one name.
        """
        return {name: CatalogueFile(path) for name, path in self._parts.by_name(self.path).items()}

    def fingerprint(self) -> str:
        """Content hash: that of the catalogue in it, see :meth:`Catalogue.fingerprint`.

        Of several parts it is a hash of theirs (:func:`joint_hash`), so that each may be read by
        another process, and is read once.
        """
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:  # a pass over all embeddings: made once
        if len(self._parts.paths) == 1:
            return content_hash(self.batches())
        return joint_hash([CatalogueFile(path).fingerprint() for path in self._parts.paths])

    def has_fingerprint(self, recorded: str) -> bool:
        """Whether a table was made from this content.

        Of several parts this holds too for a table that was made of one file with the same items,
        which is what tables of earlier versions name. Those before 0.2 name the SHA-256 of the
        file.
        """
        return recorded in (self.fingerprint(), fingerprint(self.path)) or (
            len(self._parts.paths) > 1 and recorded == content_hash(self.batches())
        )

    def item_ids(self) -> pa.Array:
        """All item ids, checked: none null, none twice."""
        ids = _ids(self._parts.read(["item_id"]).column("item_id"))
        check_ids(ids)
        return ids

    def attribute_table(self) -> pa.Table:
        """All attribute columns, in the order of the items."""
        return self._parts.read(self.attributes)

    def batches(
        self, size: int = BATCH, start: int = 0, attributes: bool = False
    ) -> Iterator[Catalogue]:
        """Consecutive pieces from item ``start`` on, in bounded memory.

        No piece spans two row groups, so that a piece holds the same items wherever one starts.

        Args:
            size: items a piece, at most.
            start: items to skip, a boundary of pieces (:meth:`boundary`).
            attributes: whether to read the attribute columns too.
        """
        columns = ["item_id", *self.dimensions, *(self.attributes if attributes else [])]
        if len(self) == 0:
            check_ids(pa.array([], pa.int64()))
        seen = 0
        for path, file in zip(*self._parts, strict=True):
            try:
                reader = pq.ParquetFile(path, pre_buffer=False)
                for group, rows in enumerate(row_groups(file)):
                    if seen + rows <= start:
                        seen += rows
                        continue
                    for batch in reader.iter_batches(size, row_groups=[group], columns=columns):
                        seen += len(batch)
                        if seen > start:
                            yield self._catalogue(batch)
            except (pa.ArrowInvalid, OSError) as error:
                raise damaged_parquet(path, error) from error

    def boundary(self, items: int, size: int = BATCH) -> int:
        """Items of the whole pieces of :meth:`batches` among the first ``items``."""
        seen = 0
        for rows in self._parts.row_groups():
            if seen + rows > items:
                return seen + (items - seen) // size * size
            seen += rows
        return seen

    def read(self, sample: int | None = None, seed: int = 0, attributes: bool = True) -> Catalogue:
        """The whole catalogue in memory, or a random sample of it in the order of the file.

        Args:
            sample: items to keep; None, or more than there are, keeps all.
            seed: of the draw.
            attributes: whether to read the attribute columns too.
        """
        if sample is None or sample >= len(self):
            shown = self.attribute_table() if attributes else pa.table({})
            return self._gather(np.arange(len(self)), self.item_ids(), shown)
        drawn = np.random.default_rng(seed).choice(len(self), sample, replace=False)
        rows = np.sort(drawn)
        shown = self.attribute_table().take(pa.array(rows)) if attributes else pa.table({})
        return self._gather(rows, None, shown)

    def _gather(self, rows: np.ndarray, ids: pa.Array | None, shown: pa.Table) -> Catalogue:
        """The items at some rows, ascending; ids and embeddings of the others are not kept."""
        embeddings = {m: np.empty((len(rows), d), np.float32) for m, d in self.dimensions.items()}
        present = {m: np.empty(len(rows), bool) for m in self.dimensions}
        own_ids = []
        first = filled = 0
        for piece in self.batches():
            inside = rows[filled : np.searchsorted(rows, first + len(piece))] - first
            place = slice(filled, filled + len(inside))
            if ids is None:
                own_ids.append(piece.item_ids.take(pa.array(inside)))
            for modality in self.dimensions:
                embeddings[modality][place] = piece.embeddings[modality][inside]
                present[modality][place] = piece.present[modality][inside]
            first, filled = first + len(piece), place.stop
        ids = end_to_end(own_ids) if ids is None else ids
        return Catalogue(ids, embeddings, present, shown, self.reductions)

    def _reduction(self, stored: bytes) -> Reduction:
        try:
            return Reduction(**load(base64.b64decode(stored)))
        except (ValueError, TypeError, SafetensorError) as error:
            raise FormatError(
                f"the PCA kept in {self.path} is damaged ({error}); import the catalogue again"
            ) from error

    def _catalogue(self, batch: pa.RecordBatch) -> Catalogue:
        ids = _ids(batch.column("item_id"))
        embeddings, present = {}, {}
        for modality, width in self.dimensions.items():
            found = as_matrix(batch.column(modality), modality, width, ids)
            embeddings[modality], present[modality] = found
        attributes = [name for name in self.attributes if name in batch.schema.names]
        return Catalogue(
            ids,
            embeddings,
            present,
            plain(pa.Table.from_batches([batch.select(attributes)]))
            if attributes
            else pa.table({}),
            self.reductions,
        )


def _ids(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return joined(without_empty(as_ids(column)))


def read_catalogue(path: str | Path) -> Catalogue:
    """The whole catalogue of a Parquet file in memory; see :class:`CatalogueFile`."""
    return CatalogueFile(path).read()


def made_from(path: str | Path) -> dict[str, Any] | None:
    """What a catalogue says that it was made from; None where it, or another file, does not."""
    try:
        found = json.loads((pq.read_schema(path).metadata or {})[_MADE_FROM])
    except (pa.ArrowInvalid, OSError, KeyError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def check_replaced(path: str | Path, inputs: Mapping[str, Any], force: bool) -> None:
    """Raise :class:`~mmq.errors.DataError` if a file of other inputs is there.

    Args:
        path: of the catalogue to make.
        inputs: everything that decides what it holds; see :mod:`mmq.made_from`.
        force: whether it is replaced all the same.
    """
    path = Path(path)
    if path.is_file() and not force:
        found = made_from(path)
        what = "a file" if found is None else "a catalogue"
        check_same(path, what, inputs, found)


def write_catalogue(
    path: str | Path,
    catalogue: Catalogue | Iterable[Catalogue],
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Write a catalogue, or a stream of its pieces, as Parquet, whole or not at all.

    Its PCAs are kept in the file, so that new items can be reduced alike.

    Args:
        path: the file to make.
        catalogue: one catalogue or consecutive pieces of one.
        inputs: what it is made from, to be kept in the file.
    """
    note = {} if inputs is None else {_MADE_FROM: to_json(inputs).encode()}
    pieces = [catalogue] if isinstance(catalogue, Catalogue) else catalogue
    metadata: dict[bytes, bytes] = {}
    writer: pq.ParquetWriter | None = None
    with write_file(path) as temporary:
        try:
            for piece in pieces:
                table = to_table(piece)
                if writer is None:
                    metadata = note | {
                        REDUCTION + name.encode(): base64.b64encode(save(pca.tensors()))
                        for name, pca in piece.reductions.items()
                    }
                    writer = pq.ParquetWriter(
                        temporary,
                        table.schema.with_metadata(metadata),
                        compression=dict.fromkeys(piece.modalities, "none")
                        | {n: "zstd" for n in table.schema.names if n not in piece.modalities},
                        use_dictionary=False,
                        write_statistics=False,
                    )
                writer.write_table(table.replace_schema_metadata(metadata), row_group_size=BATCH)
            if writer is None:
                raise DataError("the catalogue is empty; give at least one item")
        finally:
            if writer is not None:
                writer.close()


def to_table(catalogue: Catalogue) -> pa.Table:
    """The Arrow table that :func:`write_catalogue` stores; embeddings are not copied."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"item_id": catalogue.item_ids}
    for modality, matrix in catalogue.embeddings.items():
        flat = pa.array(np.ascontiguousarray(matrix, np.float32).reshape(-1))
        missing = ~catalogue.present[modality]
        columns[modality] = pa.FixedSizeListArray.from_arrays(
            flat, matrix.shape[1], mask=pa.array(missing) if missing.any() else None
        )
    for name in catalogue.attributes.column_names:
        columns[name] = catalogue.attributes.column(name)
    return pa.table(columns)


def concatenate(pieces: list[Catalogue]) -> Catalogue:
    """One catalogue of consecutive pieces that have the same columns."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    return Catalogue(
        end_to_end([piece.item_ids for piece in pieces]),
        {m: np.concatenate([piece.embeddings[m] for piece in pieces]) for m in first.modalities},
        {m: np.concatenate([piece.present[m] for piece in pieces]) for m in first.modalities},
        pa.concat_tables([piece.attributes for piece in pieces]),
        first.reductions,
    )
