"""Embeddings in .npy files, row for row with an items file, into a catalogue."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmq._artifacts import check_writable, require_file
from mmq._progress import bar
from mmq.data._catalogue import Catalogue
from mmq.data._embeddings import as_matrix, is_embedding, width_of
from mmq.data._files import fingerprint
from mmq.data._items import ItemColumns, read_display
from mmq.data._parquet import BATCH, CatalogueFile, write_catalogue
from mmq.data._reduction import Reduction
from mmq.data._tables import damaged_parquet
from mmq.errors import DataError, FormatError, SettingsError, nearest
from mmq.made_from import file_input

FIT_ROWS = 50_000
"""Rows that a PCA is fitted on at most; of more, a fixed random sample of this size is taken."""


class EmbeddingFile(NamedTuple):
    """Where the embeddings of a modality lie, row for row with the items.

    Attributes:
        path: an array (``.npy``), or a Parquet file.
        column: of lists of numbers in a Parquet file; empty for an array.
    """

    path: Path
    column: str = ""

    @classmethod
    def of(cls, text: str | Path) -> EmbeddingFile:
        """Of ``FILE.npy``, or ``FILE.parquet:COLUMN``.

        Raises:
            SettingsError: a Parquet file without a column.

        >>> EmbeddingFile.of("items.parquet:text")
        EmbeddingFile(path=PosixPath('items.parquet'), column='text')
        """
        whole = str(text)
        if whole.endswith((".parquet", ".parquet:")):
            raise SettingsError(f"{whole} should name its column, such as items.parquet:embedding")
        file, separator, column = whole.rpartition(":")
        if separator and file.endswith(".parquet"):
            return cls(Path(file), column)
        return cls(Path(whole))

    def as_input(self) -> dict[str, str]:
        """Name and hash, as a catalogue says what it was made from."""
        told = file_input(self.path, what="embedding file")
        return told | ({"column": self.column} if self.column else {})

    def open(self) -> np.ndarray:
        """``(items, dimension)`` floats; NaN throughout where an item lacks the modality.

        Raises:
            DataError: no such file or column, or no embeddings in it.
            FormatError: it is truncated or damaged.
        """
        return open_column(self.path, self.column) if self.column else open_npy(self.path)


@dataclass(frozen=True)
class NpyImport:
    """What :func:`import_npy` is to do.

    Attributes:
        items: the items file; row i of every array belongs to its item i.
        modalities: modality name -> ``FILE.npy``, or ``FILE.parquet:COLUMN``.
        columns: which columns of the items file to use.
        reduce: dimensions to reduce wider modalities to by PCA; None for no PCA.
        reduce_like: an older catalogue whose PCA is applied instead of fitting one.

    Raises:
        SettingsError: ``reduce`` is not positive, or comes with ``reduce_like``.
    """

    items: Path
    modalities: Mapping[str, Path | str]
    columns: ItemColumns = field(default_factory=ItemColumns)
    reduce: int | None = None
    reduce_like: Path | None = None

    def __post_init__(self) -> None:
        if not self.modalities:
            raise SettingsError("no modality is given; add --modality NAME=FILE.npy")
        if self.reduce is not None and self.reduce_like is not None:
            raise SettingsError("--reduce and --reduce-like exclude each other; give one of them")
        if self.reduce is not None and self.reduce < 1:
            raise SettingsError(f"--reduce {self.reduce} should be 1 or more")

    @cached_property
    def sources(self) -> dict[str, EmbeddingFile]:
        """Modality name -> where its embeddings lie."""
        return {name: EmbeddingFile.of(each) for name, each in self.modalities.items()}

    def files(self) -> list[Path]:
        """All files that are read."""
        older = [] if self.reduce_like is None else [self.reduce_like]
        return [self.items, *(each.path for each in self.sources.values()), *older]

    def inputs(self) -> dict[str, Any]:
        """Everything that decides what the catalogue holds; see :mod:`mmq.made_from`."""
        older = self.reduce_like and file_input(self.reduce_like, fingerprint(self.reduce_like))
        return {
            "items": file_input(self.items, fingerprint(self.items)),
            **{f"modality {name}": each.as_input() for name, each in self.sources.items()},
            "columns": dataclasses.asdict(self.columns),
            "reduce": self.reduce,
            "reduce-like": older,
        }


def open_npy(path: str | Path) -> np.ndarray:
    """``(items, dimension)`` float16, float32 or float64, mapped from disk and not read yet.

    Raises:
        DataError: no such file, not two-dimensional, or not floating-point.
        FormatError: it is truncated, holds pickled objects, or is not a ``.npy`` file.
    """
    path = require_file(path, "embedding file")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of a damaged header numpy raises errors of many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
        raise FormatError(
            f"{path} is not a whole .npy file of numbers ({reason}); it is truncated or of another "
            "format, save it again with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise FormatError(f"{path} is an .npz archive; save its array with numpy.save")
    if array.ndim != 2:
        raise DataError(f"{path} has shape {array.shape}; it should be (items, dimension)")
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
        raise DataError(f"{path} holds {array.dtype}; save it as float16, float32 or float64")
    return array


def open_column(path: str | Path, column: str) -> np.ndarray:
    """``(items, dimension)`` float32 of a Parquet file's lists, NaN where one is null or empty.

    The rows lie in a temporary file and not in memory.

    Raises:
        DataError: no such file or column, it holds no lists of floats, or of several lengths.
        FormatError: it is truncated or damaged.
    """
    path = require_file(path, "embedding file")
    try:
        file = pq.ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise DataError(
                f"{path} has no column '{column}'; {nearest(column, file.schema_arrow.names)}"
            )
        if not is_embedding(file.schema_arrow.field(column).type):
            raise DataError(
                f"the column '{column}' of {path} is {file.schema_arrow.field(column).type}; "
                "embeddings are lists of floating-point numbers"
            )
        matrix, filled = np.empty((0, 0), np.float32), 0
        for batch in file.iter_batches(BATCH, columns=[column]):
            lists = batch.column(0)
            if not filled:
                if not (width := width_of(lists)):
                    raise DataError(f"the column '{column}' of {path} starts without an embedding")
                matrix = _scratch(file.metadata.num_rows, width)
            rows = slice(filled, filled + len(batch))
            numbers = pa.array(range(rows.start, rows.stop))
            found = as_matrix(lists, column, matrix.shape[1], numbers)
            matrix[rows] = np.where(found.present[:, None], found.values, np.float32(np.nan))
            filled = rows.stop
    except (pa.ArrowException, OSError) as error:
        raise damaged_parquet(path, error) from error
    return matrix


def _scratch(rows: int, width: int) -> np.ndarray:
    """An array in a file that is gone when nothing uses it any longer."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=(rows, width))


def import_npy(
    source: NpyImport, out: str | Path, inputs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write the catalogue and give back a summary; memory stays bounded for any number of items.

    A row that is NaN throughout marks a missing modality. With a PCA, every modality wider than
    ``reduce`` is centred and projected onto its leading principal components, fitted on the rows
    that are present.

    Args:
        source: what to do.
        out: the file to make.
        inputs: what it is made from, to be kept in the file.

    Returns:
        ``items``, ``modalities`` (name -> ``dimension``, ``missing`` and, where it was reduced,
        ``explained_variance``), and ``out``.

    Raises:
        DataError: the arrays and the items differ in number, a value is infinite, a row is NaN in
            part, or the older catalogue does not fit.
        FormatError: a file is truncated or damaged.
    """
    check_writable(out, source.files())
    arrays = {name: each.open() for name, each in source.sources.items()}
    ids, attributes = read_display(source.items, source.columns)
    for name, array in arrays.items():
        if len(array) != len(ids):
            raise DataError(
                f"{source.sources[name].path} has {len(array)} rows, {source.items} has {len(ids)} "
                "items; give one row an item, in the same order"
            )
    if source.reduce_like is not None:
        reductions = _reductions_of(source.reduce_like, arrays)
    elif source.reduce is not None:
        reductions = _fit(arrays, source.reduce)
    else:
        reductions = {}
    missing = dict.fromkeys(arrays, 0)
    with bar("importing", len(ids)) as advance:

        def pieces() -> Iterator[Catalogue]:
            for start in range(0, len(ids), BATCH):
                piece = _piece(slice(start, start + BATCH), ids, arrays, attributes)
                for name, mask in piece.present.items():
                    missing[name] += int((~mask).sum())
                yield _reduced(piece, reductions)
                advance(len(piece))

        write_catalogue(out, pieces(), inputs)
    return {
        "items": len(ids),
        "modalities": {
            name: _summary(array, reductions.get(name), missing[name])
            for name, array in arrays.items()
        },
        "out": str(out),
    }


def _summary(array: np.ndarray, reduction: Reduction | None, missing: int) -> dict[str, Any]:
    if reduction is None:
        return {"dimension": array.shape[1], "missing": missing}
    return {
        "dimension": reduction.components.shape[1],
        "missing": missing,
        "explained_variance": float(reduction.explained[0]),
    }


def _piece(
    rows: slice, ids: pa.Array, arrays: Mapping[str, np.ndarray], attributes: pa.Table
) -> Catalogue:
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinity, refused below
        embeddings = {name: array[rows].astype(np.float32) for name, array in arrays.items()}
    shown = attributes.slice(rows.start, BATCH) if attributes.num_columns else pa.table({})
    return Catalogue.build(ids.slice(rows.start, BATCH), embeddings, shown)


def _reduced(catalogue: Catalogue, reductions: Mapping[str, Reduction]) -> Catalogue:
    if not reductions:
        return catalogue
    embeddings = dict(catalogue.embeddings)
    for name, reduction in reductions.items():
        matrix = reduction.apply(embeddings[name])
        matrix[~catalogue.present[name]] = 0
        embeddings[name] = matrix
    return dataclasses.replace(catalogue, embeddings=embeddings, reductions=reductions)


def _fit(arrays: Mapping[str, np.ndarray], dimension: int) -> dict[str, Reduction]:
    return {
        name: Reduction.fit(_present_rows(name, array), dimension)
        for name, array in arrays.items()
        if array.shape[1] > dimension
    }


def _present_rows(name: str, array: np.ndarray) -> np.ndarray:
    """The rows that are not missing, at most :data:`FIT_ROWS`, as float32."""
    # A row that is NaN in its first place is missing or in error; the import itself tells which.
    rows = np.flatnonzero(~np.isnan(array[:, 0]))
    if not len(rows):
        raise DataError(
            f"the {name} embedding is missing for every item; drop --modality {name} or --reduce"
        )
    if len(rows) > FIT_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, FIT_ROWS, replace=False))
    with np.errstate(over="ignore"):  # infinity is refused below
        matrix = array[rows].astype(np.float32)
    if not np.isfinite(matrix).all():
        row = int(rows[~np.isfinite(matrix).all(axis=1)][0])
        raise DataError(
            f"the {name} embedding holds NaN or infinity in row {row}; mend it, or make the whole "
            "row NaN to mark it missing"
        )
    return matrix


def reduced_catalogue(path: Path) -> CatalogueFile:
    """A catalogue that keeps a PCA.

    Raises:
        DataError: there is none in it.
    """
    found = CatalogueFile(path)
    if not found.reductions:
        raise DataError(
            f"{path} keeps no PCA (it was not made with --reduce); leave out --reduce-like"
        )
    return found


def _reductions_of(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Reduction]:
    """The PCA of an older catalogue, checked to make the same modalities of these arrays."""
    old = reduced_catalogue(path)
    for name in arrays:
        if name not in old.dimensions:
            raise DataError(f"{path} has no modality '{name}'; {nearest(name, old.dimensions)}")
    for name, dimension in old.dimensions.items():
        if name not in arrays:
            raise DataError(
                f"{path} has a modality '{name}' too; add --modality {name}=FILE.npy "
                "(rows of NaN mark it missing)"
            )
        reduction = old.reductions.get(name)
        expected = dimension if reduction is None else len(reduction.mean)
        if arrays[name].shape[1] != expected:
            raise DataError(
                f"the {name} embedding has {arrays[name].shape[1]} dimensions, that of {path} "
                f"had {expected} before its PCA; embed with the same encoder"
            )
    return old.reductions
