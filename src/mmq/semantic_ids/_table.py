"""The table item -> semantic ID, of one file or of a folder of parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmq.data._item_ids import ItemIndex, as_item_ids, check_ids, content
from mmq.errors import DataError, FormatError
from mmq.metrics.buckets import bucket_ids, occurrence
from mmq.metrics.quantisation import check_codes
from mmq.semantic_ids._lookup import IdIndex, Rows
from mmq.semantic_ids._manifest import (
    Manifest,
    build_manifest,
    imported_from,
    is_imported,
)
from mmq.semantic_ids._table_file import Stored, read_file_manifest, read_table, write_table
from mmq.semantic_ids._table_folder import NOTE, read_folder, read_note

_LISTS = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)


@dataclass(frozen=True, eq=False)
class SemanticIDs:
    """One semantic ID an item; items may share one, their rank then tells them apart.

    Attributes:
        item_ids: ``(items,)`` Arrow array of int64 or string, unique.
        codes: ``(items, length)`` int32.
        rank: ``(items,)`` int32, 0, 1, 2... among items that share an ID: the pair is unique.
        codebook_sizes: size of each of the ``length`` codebooks.
        manifest: what made the table.

    Raises:
        DataError: duplicate or null ids, codes outside their codebook, lengths that differ.

    >>> ids = SemanticIDs.build(["a", "b", "c"], [[0, 1], [2, 2], [0, 1]], [3, 3])
    >>> ids.of("c"), int(ids.rank[2]), ids.lookup((0, 1))
    ((0, 1), 1, ['a', 'c'])
    """

    item_ids: pa.Array
    codes: np.ndarray
    rank: np.ndarray
    codebook_sizes: tuple[int, ...]
    manifest: Manifest

    def __post_init__(self) -> None:
        check_ids(self.item_ids)
        check_codes(self.codes, self.codebook_sizes)
        if not len(self.item_ids) == len(self.codes) == len(self.rank):
            raise DataError(
                f"{len(self.item_ids)} item ids, {len(self.codes)} semantic IDs and "
                f"{len(self.rank)} ranks; each item needs one of each"
            )
        if self.rank.min() < 0:
            raise DataError(f"rank {self.rank.min()} is negative; ranks count from 0")
        if list(self.codebook_sizes) != self.manifest["codebook_sizes"]:
            raise FormatError(
                f"the codebooks have sizes {list(self.codebook_sizes)}, the manifest says "
                f"{self.manifest['codebook_sizes']}; encode the catalogue again"
            )

    @classmethod
    def build(
        cls,
        item_ids: Any,
        codes: Any,
        codebook_sizes: Sequence[int],
        manifest: Manifest | None = None,
    ) -> SemanticIDs:
        """A table from ids and codes; items that share an ID are ranked in their order.

        Args:
            item_ids: ``(items,)`` integers or strings.
            codes: ``(items, length)`` integers.
            codebook_sizes: size of each codebook.
            manifest: what made the codes; without it, "unknown".
        """
        codes = np.asarray(codes)
        check_codes(codes, codebook_sizes)
        codes = np.ascontiguousarray(codes, np.int32)
        return cls(
            as_item_ids(item_ids),
            codes,
            occurrence(bucket_ids(codes)),
            tuple(int(size) for size in codebook_sizes),
            manifest or build_manifest(codebook_sizes),
        )

    def recoded(self, codes: Any, manifest: Manifest | None = None) -> SemanticIDs:
        """The same items with other codes; without a manifest, it is "unknown" what made them."""
        return SemanticIDs.build(self.item_ids, codes, self.codebook_sizes, manifest)

    def __repr__(self) -> str:
        """One line: items, codes, and the tokenizer that made them."""
        sizes = sorted(set(self.codebook_sizes))
        of = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        return f"SemanticIDs({len(self):,} items, {self.length} codes of {of}, {self._origin()})"

    def _origin(self) -> str:
        if is_imported(self.manifest):
            return f"imported from {imported_from(self.manifest)}"
        made = self.manifest["tokenizer"]
        return (
            f"by {made['name']} {made['fingerprint'][:12]}" if made else "by an unknown tokenizer"
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def length(self) -> int:
        """Codes of an ID."""
        return int(self.codes.shape[1])

    @cached_property
    def _items(self) -> ItemIndex:
        return ItemIndex(self.item_ids)

    @cached_property
    def _ids(self) -> IdIndex:
        return IdIndex.build(self.codes, self.rank)

    def find(self, item_ids: Any) -> np.ndarray:
        """Row of each item id, -1 for one that is not in the table: ``(m,)`` int64."""
        return self._items.find(item_ids)

    def row(self, item_id: Any) -> int:
        """Row of an item.

        Raises:
            DataError: it is not in the table; the ids that sort beside it are named.
        """
        row = int(self.find([item_id])[0])
        if row < 0:
            beside = ", ".join(repr(item) for item in self._items.beside(item_id))
            raise DataError(
                f"item {item_id!r} is not among the {len(self):,} items with a semantic ID; "
                f"the ids nearest to it are {beside}"
            )
        return row

    def of(self, item_id: Any) -> tuple[int, ...]:
        """The semantic ID of an item; raises like :meth:`row`."""
        return tuple(self.codes[self.row(item_id)].tolist())

    def rows_of(self, codes: Any) -> Rows:
        """Rows that have each ID of ``codes`` ``(m, length)``, by rank.

        Raises:
            DataError: another length.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.length:
            raise DataError(
                f"semantic IDs of shape {codes.shape} were asked for; they should be "
                f"(m, {self.length})"
            )
        return self._ids.find(codes)

    def lookup(self, semantic_id: Sequence[int]) -> list[Any]:
        """Item ids that have a semantic ID, by rank; empty where there are none."""
        rows = self.rows_of(np.asarray(semantic_id)[None]).rows
        items: list[Any] = self.item_ids.take(pa.array(rows)).to_pylist()
        return items

    def fingerprint(self) -> str:
        """Content hash (SHA-256) of ids, codes and ranks, whatever made them."""
        kind = "int64" if pa.types.is_integer(self.item_ids.type) else "string"
        digest = hashlib.sha256(repr((kind, self.codebook_sizes)).encode())
        for array in (*content(self.item_ids), self.codes, self.rank):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def to_arrow(self) -> pa.Table:
        """``item_id``, ``semantic_id`` (lists of int32) and ``rank``, a row for every item.

        ``ids.to_arrow().to_pandas()`` and ``polars.from_arrow(ids.to_arrow())`` make frames of it.
        """
        values = pa.array(self.codes.reshape(-1))
        return pa.table(
            {
                "item_id": self.item_ids,
                "semantic_id": pa.FixedSizeListArray.from_arrays(values, self.length),
                "rank": pa.array(self.rank, pa.int32()),
            }
        )

    def write(self, path: str | Path) -> None:
        """Write the table as Parquet, whole or not at all; equal tables are equal bytes."""
        write_table(path, Stored(self.to_arrow(), self.manifest))

    @classmethod
    def read(cls, path: str | Path) -> SemanticIDs:
        """The table in a Parquet file, or in a folder of parts.

        Raises:
            DataError: no such file.
            FormatError: truncated, no ID table, of a newer mmq, codes, ranks or ids that do not
                hold together, or a folder that is not finished or has other parts.
        """
        stored = read_folder(Path(path)) if Path(path).is_dir() else read_table(path)
        try:
            return _from_table(*stored)
        except DataError as error:
            raise FormatError(f"{path} does not hold together: {error}") from error


def read_manifest(path: str | Path) -> Manifest | None:
    """What made the ID table in a file or folder, without reading it; None for anything else.

    Raises:
        FormatError: the manifest is damaged or of a newer mmq.
    """
    if Path(path).is_dir():
        return read_note(Path(path)).manifest if (Path(path) / NOTE).is_file() else None
    return read_file_manifest(path)


def _from_table(table: pa.Table, manifest: Manifest) -> SemanticIDs:
    ids = SemanticIDs(
        as_item_ids(table.column("item_id")),
        _codes(table.column("semantic_id").combine_chunks(), manifest["length"]),
        _whole_numbers(table.column("rank").combine_chunks(), "rank"),
        tuple(manifest["codebook_sizes"]),
        manifest,
    )
    _ = ids._ids  # checks that (ID, rank) is unique; kept, since look-ups need it
    return ids


def _codes(column: pa.Array, length: int) -> np.ndarray:
    """``(items, length)`` of a list column, of fixed size or not."""
    kind = column.type
    if not any(is_kind(kind) for is_kind in _LISTS):
        raise DataError(f"semantic_id should be a list of integers, not {kind}")
    values = _whole_numbers(column.flatten(), "semantic_id")
    if column.null_count or (np.asarray(column.value_lengths()) != length).any():
        raise DataError(f"a semantic_id is null or not of the manifest's length {length}")
    return values.reshape(len(column), length)


def _whole_numbers(column: pa.Array, name: str) -> np.ndarray:
    if not pa.types.is_integer(column.type) or column.null_count:
        raise DataError(f"{name} should hold int32 without nulls, not {column.type}")
    try:
        return np.ascontiguousarray(column.cast(pa.int32()).to_numpy())
    except pa.ArrowInvalid as error:
        raise DataError(f"{name} holds a number that is no int32 ({error})") from None
