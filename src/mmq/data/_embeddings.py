"""Embeddings in a column of lists: the one reader of them, for catalogues and importers alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids import joined
from mmq.data._kinds import is_list
from mmq.errors import DataError, shortened


class Matrix(NamedTuple):
    """An embedding a row.

    Attributes:
        values: ``(items, dimension)`` float32, zero where missing.
        present: ``(items,)`` bool.
    """

    values: np.ndarray
    present: np.ndarray


def is_embedding(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold embeddings: lists of floating-point numbers."""
    kind = storage_of(kind)
    return is_list(kind) and pa.types.is_floating(kind.value_type)


def storage_of(kind: pa.DataType) -> pa.DataType:
    """The type that a column is stored as, of one that has a meaning of its own (a tensor)."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def as_matrix(
    column: pa.Array | pa.ChunkedArray, name: str, width: int, item_ids: pa.Array
) -> Matrix:
    """The embeddings of a column; a null, and a list of nothing but NaN or nulls, is missing.

    Args:
        column: lists, of one length where it is known or not.
        name: of the modality.
        width: numbers that every list should have.
        item_ids: to name an item by.

    Raises:
        DataError: a list has another length, or holds a null among numbers.
    """
    lists = joined(column)
    if isinstance(lists.type, pa.BaseExtensionType):
        lists = lists.storage
    if not pa.types.is_fixed_size_list(lists.type):
        lists = _of_one_width(lists, name, width, item_ids)
    values = lists.values.slice(lists.offset * width, len(lists) * width)
    if not lists.null_count and not values.null_count and pa.types.is_float32(values.type):
        matrix = values.to_numpy(zero_copy_only=True).reshape(-1, width)
        missing = _all_nan(matrix)
        if not missing.any():
            return Matrix(matrix, ~missing)
        return Matrix(np.where(missing[:, None], np.float32(0), matrix), ~missing)
    known = lists.is_valid().to_numpy(zero_copy_only=False)
    if values.null_count:
        _check_nulls(values, name, known, width, item_ids)
    matrix = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    matrix = matrix.reshape(-1, width)
    present = known & ~_all_nan(matrix)
    return Matrix(np.where(present[:, None], matrix, np.float32(0)), present)


def width_of(column: pa.Array | pa.ChunkedArray) -> int | None:
    """The length that most lists of a column have; None where there is no list."""
    kind = storage_of(column.type)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    counts = pc.value_counts(pc.list_value_length(column).drop_null())
    known = [(each["counts"], -each["values"]) for each in counts.to_pylist() if each["values"]]
    return -max(known)[1] if known else None


def _all_nan(matrix: np.ndarray) -> np.ndarray:
    """``(items,)`` bool; what starts with a number is not looked through."""
    missing = np.isnan(matrix[:, 0]) if matrix.shape[1] else np.zeros(len(matrix), bool)
    if missing.any():
        missing[missing] = np.isnan(matrix[missing]).all(axis=1)
    return missing


def _of_one_width(lists: pa.Array, name: str, width: int, item_ids: pa.Array) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy()
    wrong = np.flatnonzero((lengths != width) & (lengths > 0))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"the {name} embedding of item {shortened(repr(item_ids[row].as_py()))} has "
            f"{lengths[row]} numbers where others have {width} ({len(wrong):,} such items); mend "
            "it, or leave it empty to mark it missing"
        )
    values = lists.cast(pa.list_(lists.type.value_type)) if not _plain(lists.type) else lists
    flat = values.flatten()
    empty = pa.array(lengths != width)
    if not pc.any(empty).as_py():
        return pa.FixedSizeListArray.from_arrays(flat, width)
    dense = np.zeros((len(lists), width), flat.type.to_pandas_dtype())
    dense[lengths == width] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
    return pa.FixedSizeListArray.from_arrays(pa.array(dense.reshape(-1)), width, mask=empty)


def _plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _check_nulls(
    values: pa.Array, name: str, known: np.ndarray, width: int, item_ids: pa.Array
) -> None:
    """Raise for a list that holds a null among numbers."""
    nulls = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)
    partly = np.flatnonzero(known & nulls.any(axis=1) & ~nulls.all(axis=1))
    if len(partly):
        raise DataError(
            f"the {name} embedding of item {item_ids[int(partly[0])].as_py()!r} holds a null among "
            f"numbers ({len(partly):,} such items); mend it, or make the whole list null"
        )
