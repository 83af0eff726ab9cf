"""The catalogue: item ids, one matrix and one presence mask a modality, columns to show people."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from mmq.data._embeddings import Matrix, as_matrix, is_embedding, width_of
from mmq.data._frames import as_table
from mmq.data._item_ids import as_item_ids, check_ids, content
from mmq.data._reduction import Reduction
from mmq.errors import DataError, nearest

TAKEN = {"item_id", "shared"}
"""Names that no modality may have: of the id column, and of the codes of shared experts."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items with one embedding a modality; some embeddings may be missing.

    Attributes:
        item_ids: ``(items,)`` Arrow array of int64 or string, unique.
        embeddings: modality name -> ``(items, dimension)`` float32; rows of missing items are zero.
        present: modality name -> ``(items,)`` bool, False where the item lacks the modality.
        attributes: further columns for people to read (``title``, ``image`` path, ...).
        reductions: modality name -> the PCA that its embedding went through, where it did.

    Raises:
        DataError: duplicate or null ids, lengths that differ, NaN or infinity or a zero vector in
            an embedding that is not marked missing, no items, no modalities, a modality with a name
            that means something else.

    >>> catalogue = Catalogue.build([7, 9], {"text": [[1.0, 0.0], [0.0, 2.0]]})
    >>> len(catalogue), catalogue.dimensions
    (2, {'text': 2})
    """

    item_ids: pa.Array
    embeddings: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]
    attributes: pa.Table = field(default_factory=lambda: pa.table({}))
    reductions: Mapping[str, Reduction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ids(self.item_ids)
        if not self.embeddings:
            raise DataError("the catalogue has no modality; give at least one embedding")
        for name in TAKEN & self.embeddings.keys():
            raise DataError(f"a modality may not be called '{name}'; rename it")
        if self.attributes.num_columns and self.attributes.num_rows != len(self.item_ids):
            raise DataError(
                f"the attributes have {self.attributes.num_rows} rows for {len(self.item_ids)} "
                "items; give one row an item, in the order of the ids"
            )
        for name in self.attributes.column_names:
            if name == "item_id" or name in self.embeddings:
                raise DataError(
                    f"the attribute '{name}' has the name of "
                    f"{'the id column' if name == 'item_id' else 'a modality'}; rename it"
                )
        for modality, matrix in self.embeddings.items():
            _check_matrix(modality, matrix, self.present[modality], self.item_ids)

    @classmethod
    def build(
        cls,
        item_ids: Any,
        embeddings: Mapping[str, Any],
        attributes: Mapping[str, Any] | pa.Table | None = None,
        reductions: Mapping[str, Reduction] | None = None,
    ) -> Catalogue:
        """A catalogue from plain arrays or lists; rows that are NaN throughout count as missing."""
        matrices: dict[str, np.ndarray] = {}
        present: dict[str, np.ndarray] = {}
        for modality, values in embeddings.items():
            matrix = np.ascontiguousarray(values, dtype=np.float32)
            if matrix.ndim != 2:
                raise DataError(
                    f"the {modality} embedding has shape {matrix.shape}; it should be "
                    "(items, dimension)"
                )
            missing = np.asarray(np.isnan(matrix).all(axis=1))
            if missing.any():
                matrix = np.where(missing[:, None], np.float32(0), matrix)
            matrices[modality], present[modality] = matrix, ~missing
        shown = _table(attributes or {})
        return cls(as_item_ids(item_ids), matrices, present, shown, reductions or {})

    @classmethod
    def of_frame(cls, frame: Any, item_column: str = "item_id") -> Catalogue:
        """The catalogue of a data frame (pandas, polars, Arrow).

        Columns of lists of floating-point numbers, all of one length, are embeddings; a null, or a
        list of NaN, is missing. All other columns are attributes.

        Args:
            frame: a row for every item.
            item_column: name of the column of item ids.

        Raises:
            DataError: no data frame, no such column, no embedding, or lists of several lengths.

        >>> frame = pa.table({"item_id": [7, 9], "text": [[1.0, 0.0], None], "title": ["A", "B"]})
        >>> Catalogue.of_frame(frame)
        Catalogue(2 items: text (2, 1 missing); title)
        """
        table = as_table(frame, "catalogue")
        if item_column not in table.column_names:
            raise DataError(
                f"the catalogue has no column '{item_column}'; "
                f"{nearest(item_column, table.column_names)} (name it with item_column)"
            )
        ids = as_item_ids(table.column(item_column))
        matrices: dict[str, Matrix] = {}
        for name in table.column_names:
            column = table.column(name)
            if name != item_column and is_embedding(column.type) and (width := width_of(column)):
                matrices[name] = as_matrix(column, name, width, ids)
        embeddings = {name: each.values for name, each in matrices.items()}
        present = {name: each.present for name, each in matrices.items()}
        return cls(ids, embeddings, present, table.drop_columns([item_column, *matrices]))

    def __len__(self) -> int:
        return len(self.item_ids)

    def __repr__(self) -> str:
        """One line: items, modalities and their widths, what is missing."""
        parts = []
        for name, width in self.dimensions.items():
            missing = int((~self.present[name]).sum())
            parts.append(f"{name} ({width}{f', {missing:,} missing' if missing else ''})")
        shown = f"; {', '.join(self.attributes.column_names)}" * bool(self.attributes.num_columns)
        return f"Catalogue({len(self):,} items: {', '.join(parts)}{shown})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in their order."""
        return tuple(self.embeddings)

    @property
    def dimensions(self) -> dict[str, int]:
        """Modality name -> number of dimensions."""
        return {name: int(matrix.shape[1]) for name, matrix in self.embeddings.items()}

    def take(self, rows: np.ndarray) -> Catalogue:
        """The items at ``rows`` (indices), in that order."""
        rows = np.asarray(rows)
        return Catalogue(
            self.item_ids.take(pa.array(rows)),
            {name: matrix[rows] for name, matrix in self.embeddings.items()},
            {name: mask[rows] for name, mask in self.present.items()},
            self.attributes.take(pa.array(rows)) if self.attributes.num_columns else pa.table({}),
            self.reductions,
        )

    def with_modality(self, name: str, matrix: np.ndarray, present: np.ndarray) -> Catalogue:
        """The same items with one more modality.

        Args:
            name: of the modality.
            matrix: ``(items, dimension)`` float32, zero where missing.
            present: ``(items,)`` bool.
        """
        return replace(
            self,
            embeddings={**self.embeddings, name: matrix},
            present={**self.present, name: present},
        )

    def batches(self, size: int) -> Iterator[Catalogue]:
        """The catalogue in consecutive pieces of at most ``size`` items."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))

    def fingerprint(self) -> str:
        """Content hash (SHA-256) of ids, embeddings and presence, in the order of the items.

        It is that of the file as well which the catalogue is written to or read from. A catalogue
        in several files has another, see :meth:`CatalogueFile.fingerprint`.
        """
        return content_hash([self])

    @cached_property
    def _rows(self) -> dict[Any, int]:
        return {item: row for row, item in enumerate(self.item_ids.to_pylist())}

    def rows(self, item_ids: Sequence[Any]) -> np.ndarray:
        """Row of each item id.

        Raises:
            DataError: an id is not in the catalogue.
        """
        try:
            return np.array([self._rows[item] for item in item_ids], dtype=np.int64)
        except KeyError as error:
            raise DataError(f"item {error.args[0]!r} is not in the catalogue") from None


class ContentHash:
    """:meth:`Catalogue.fingerprint` of a catalogue that comes in consecutive pieces."""

    def __init__(self) -> None:
        self._digests: defaultdict[str, Any] = defaultdict(hashlib.sha256)
        self._kind = ""

    def update(self, piece: Catalogue) -> None:
        """Go on with the next items."""
        self._kind = f"{piece.item_ids.type}".removeprefix("large_")
        for part in content(piece.item_ids):
            self._digests[f"ids {part.dtype}"].update(part.data)
        for modality, matrix in piece.embeddings.items():
            self._digests[f"{modality} {matrix.shape[1]}"].update(np.ascontiguousarray(matrix).data)
            present = np.ascontiguousarray(piece.present[modality])
            self._digests[f"{modality} present"].update(present.data)

    def hexdigest(self) -> str:
        """The hash of what was seen so far."""
        parts = [f"{name} {self._digests[name].hexdigest()}" for name in sorted(self._digests)]
        return hashlib.sha256("\n".join([self._kind, *parts]).encode()).hexdigest()


def content_hash(pieces: Iterable[Catalogue]) -> str:
    """:meth:`Catalogue.fingerprint` of a catalogue that comes in consecutive pieces."""
    digest = ContentHash()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def joint_hash(hashes: Sequence[str]) -> str:
    """Content hash of a catalogue in parts, of those of its parts in their order.

    That of a single part is its own.
    """
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _table(attributes: Mapping[str, Any] | pa.Table) -> pa.Table:
    """Columns of lists or arrays as an Arrow table."""
    try:
        return attributes if isinstance(attributes, pa.Table) else pa.table(dict(attributes))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"the attributes make no table ({reason}); give columns of one type each, one value an "
            "item"
        ) from error


def _check_matrix(modality: str, matrix: np.ndarray, mask: np.ndarray, ids: pa.Array) -> None:
    if matrix.ndim != 2 or len(matrix) != len(ids) or len(mask) != len(ids):
        raise DataError(
            f"the {modality} embedding has shape {matrix.shape} for {len(ids)} items; "
            "it needs one row an item, in the order of the ids"
        )
    if not matrix.shape[1]:
        raise DataError(f"the {modality} embedding has no dimensions; leave that modality out")
    norms = np.einsum("nd,nd->n", matrix, matrix)  # NaN and infinity survive the sum
    bad = mask & ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"the {modality} embedding of item {ids[row].as_py()!r} {_fault(matrix[row])} "
            f"({int(bad.sum())} such items); mend it, or make the whole row NaN (null in Parquet) "
            "to mark it missing"
        )


def _fault(vector: np.ndarray) -> str:
    if not vector.any():
        return "is a zero vector"
    if not np.isfinite(vector).all():
        return "holds NaN or infinity"
    return "is too long or too short for its square to be a float32"


def require_modalities(
    found: Mapping[str, int], expected: Mapping[str, int], where: str = "the catalogue"
) -> None:
    """Raise :class:`DataError` unless ``found`` has exactly the modalities and dimensions expected.

    Args:
        found: modality -> dimension in the catalogue.
        expected: modality -> dimension the tokenizer was fitted on.
        where: what to call the catalogue in the message.
    """
    for modality, dimension in expected.items():
        if modality not in found:
            raise DataError(
                f"{where} has no modality '{modality}', which the tokenizer was fitted on; "
                f"{nearest(modality, found)} (a column of nulls marks it missing for all)"
            )
        if found[modality] != dimension:
            raise DataError(
                f"the {modality} embedding of {where} has {found[modality]} dimensions, "
                f"the tokenizer was fitted on {dimension}; embed with the same encoder "
                "and reduction"
            )
    for modality in found:
        if modality not in expected:
            raise DataError(
                f"{where} has a modality '{modality}' that the tokenizer does not know "
                f"({', '.join(expected)}); fit again or drop the column"
            )
