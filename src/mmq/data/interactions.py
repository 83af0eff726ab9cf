"""The interaction log: who met which item, when, and how it went. One Arrow table, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.artifacts import write_file
from mmq.data.catalogue import as_item_ids
from mmq.data.tables import ColumnOption, missing_column, read_table, without_nan
from mmq.errors import DataError, nearest

REQUIRED = ("user_id", "item_id", "timestamp")
"""Columns that a file of interactions needs."""

COLUMNS = (*REQUIRED, "rating", "label", "split")
"""All columns that an interaction log may have."""

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Words that a ``split`` column may hold -> the part they mean."""

_UNKNOWN_TIME = np.iinfo(np.int64).min


class Coded(NamedTuple):
    """Ids as numbers from 0 on, in order of first appearance.

    Attributes:
        codes: ``(interactions,)`` int64 index into ``ids``.
        ids: the distinct ids.
    """

    codes: np.ndarray
    ids: pa.Array


@dataclass(frozen=True, eq=False)
class Interactions:
    """An interaction log. Make one with :meth:`build` or :func:`read_interactions`.

    A selection of rows may be empty; what is built or read may not.

    Attributes:
        table: columns ``user_id`` and ``item_id`` (int64 or string), ``timestamp`` (int64 seconds
            since 1970, null where unknown), and perhaps ``rating`` (float32, null where unknown),
            ``label`` (int8, 0 or 1), ``split`` (``train``, ``validation`` or ``test``).

    >>> log = Interactions.build({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})
    >>> len(log), log.users.codes.tolist()
    (3, [0, 0, 1])
    """

    table: pa.Table

    @classmethod
    def build(cls, columns: Mapping[str, Any] | pa.Table) -> Interactions:
        """A log from columns (Arrow, numpy or lists) under the names of :data:`COLUMNS`.

        Args:
            columns: ``user_id`` and ``item_id`` at least. Timestamps are integers or floats
                (seconds), Arrow dates, or ISO 8601 text; labels 0, 1 or bool.

        Raises:
            DataError: a column is missing, unknown or of another length, a user or item is null,
                a label is not 0 or 1, a timestamp cannot be read, or there are no rows.
        """
        given = {name: columns[name] for name in _names(columns)}
        arrays = {name: _array(name, values) for name, values in given.items()}
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns have different lengths: {lengths}")
        if not lengths["user_id"]:
            raise DataError("there are no interactions; give at least one row")
        arrays.setdefault("timestamp", pa.nulls(lengths["user_id"], pa.int64()))
        for name, what in (("user_id", "user id"), ("item_id", "item id")):
            if arrays[name].null_count:
                row = int(np.flatnonzero(_mask(arrays[name].is_null()))[0])
                raise DataError(f"row {row} has no {what}; drop the rows without one")
        return cls(pa.table({name: arrays[name] for name in COLUMNS if name in arrays}))

    def __repr__(self) -> str:
        """One line: rows, users, items, and the further columns."""
        further = [name for name in self.table.column_names if name not in ("user_id", "item_id")]
        return (
            f"Interactions({len(self):,} rows, {len(self.users.ids):,} users, "
            f"{len(self.items.ids):,} items; {', '.join(further)})"
        )

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def user_ids(self) -> pa.Array:
        """``(interactions,)`` user ids."""
        return self._column("user_id")

    @property
    def item_ids(self) -> pa.Array:
        """``(interactions,)`` item ids."""
        return self._column("item_id")

    @cached_property
    def users(self) -> Coded:
        """User ids as numbers."""
        return _coded(self.user_ids)

    @cached_property
    def items(self) -> Coded:
        """Item ids as numbers."""
        return _coded(self.item_ids)

    @cached_property
    def has_time(self) -> np.ndarray:
        """``(interactions,)`` bool: whether the timestamp is known."""
        return _mask(self._column("timestamp").is_valid())

    @cached_property
    def times(self) -> np.ndarray:
        """``(interactions,)`` int64 seconds; unknown is the smallest int64, thus first."""
        times: np.ndarray = self._column("timestamp").fill_null(_UNKNOWN_TIME).to_numpy()
        return times

    def filter(self, mask: np.ndarray) -> Interactions:
        """The rows where ``mask`` ``(interactions,)`` is True, in their order."""
        return Interactions(self.table.filter(pa.array(mask)))

    def user_order(self) -> np.ndarray:
        """Row numbers sorted by user, then time; the order of input decides ties."""
        return np.lexsort((self.times, self.users.codes))

    def positives(self, threshold: float = 3) -> Interactions:
        """The rows with a rating above ``threshold`` or with label 1.

        A log with neither ratings nor labels is implicit feedback: all of it is positive.
        """
        names = self.table.column_names
        if "rating" not in names and "label" not in names:
            return self
        mask = np.zeros(len(self), dtype=bool)
        if "rating" in names:
            mask |= _mask(pc.greater(self._column("rating"), threshold).fill_null(False))
        if "label" in names:
            mask |= self._column("label").to_numpy() == 1
        return self.filter(mask)

    def k_core(self, k: int) -> Interactions:
        """The largest part in which every user and every item has at least ``k`` interactions.

        Users and items are dropped in turns until none is below ``k``. A pair that occurs twice
        counts twice. The result may be empty.
        """
        users, items = self.users.codes, self.items.codes
        rows = np.arange(len(self))
        while True:
            keep = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
            if keep.all():
                mask = np.zeros(len(self), dtype=bool)
                mask[rows] = True
                return self.filter(mask)
            users, items, rows = users[keep], items[keep], rows[keep]

    def _column(self, name: str) -> pa.Array:
        return self.table.column(name).combine_chunks()


def read_interactions(
    path: str | Path, column_names: Mapping[str, str] | None = None
) -> Interactions:
    """The interaction log in a Parquet, CSV, TSV, JSON Lines or RecBole ``.inter`` file.

    Args:
        path: the file.
        column_names: name in :data:`COLUMNS` -> its name in the file, where they differ.
            Columns that are neither known nor mapped are not read.

    Raises:
        DataError: a column is missing (the message names the nearest and the option that maps
            it), or the rows do not pass :meth:`Interactions.build`.
        FormatError: the file is truncated or damaged.
    """
    mapping = {name: name for name in COLUMNS} | dict(column_names or {})
    table = read_table(path, mapping.values(), (mapping["user_id"], mapping["item_id"]))
    columns = {}
    for name, source in mapping.items():
        if source in table.column_names:
            columns[name] = table.column(source)
        elif name in REQUIRED or name in (column_names or {}):
            raise missing_column(path, ColumnOption(source, f"--{name.removesuffix('_id')}-column"))
    try:
        return Interactions.build(columns)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def write_interactions(path: str | Path, interactions: Interactions) -> None:
    """Write the log as Parquet, whole or not at all; :func:`read_interactions` reads it back."""
    with write_file(path) as temporary:
        pq.write_table(interactions.table, temporary, compression="zstd")


def _names(columns: Mapping[str, Any] | pa.Table) -> list[str]:
    names = list(columns.column_names if isinstance(columns, pa.Table) else columns)
    for name in names:
        if name not in COLUMNS:
            raise DataError(f"unknown column '{name}' of interactions; {nearest(name, COLUMNS)}")
    for name in REQUIRED[:2]:
        if name not in names:
            raise DataError(f"interactions need a column '{name}'")
    return names


def _coded(ids: pa.Array) -> Coded:
    encoded = ids.dictionary_encode()
    return Coded(encoded.indices.to_numpy().astype(np.int64), encoded.dictionary)


def _mask(values: pa.Array) -> np.ndarray:
    mask: np.ndarray = values.to_numpy(zero_copy_only=False)
    return mask


def _array(name: str, values: Any) -> pa.Array:
    """One column as an Arrow array of its proper type."""
    if name in ("user_id", "item_id"):
        return as_item_ids(values, f"{name.removesuffix('_id')} ids")
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array):
        try:
            values = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(f"the {name} column cannot be read: {error}") from error
    convert = {"timestamp": _seconds, "rating": _ratings, "label": _labels, "split": _splits}[name]
    try:
        return convert(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the {name} column ({values.type}) cannot be read: {reason}") from error


def _seconds(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        zoned = pc.any(pc.match_substring_regex(values, r"T.*(Z|[+-]\d\d:?\d\d)$")).as_py()
        values = values.cast(pa.timestamp("us", "UTC" if zoned else None))
    if pa.types.is_temporal(values.type):
        zone = getattr(values.type, "tz", None)
        return values.cast(pa.timestamp("s", zone), safe=False).cast(pa.int64())
    if pa.types.is_floating(values.type):
        values = pc.floor(without_nan(values))
    return values.cast(pa.int64())


def _ratings(values: pa.Array) -> pa.Array:
    return without_nan(values.cast(pa.float64())).cast(pa.float32())


def _labels(values: pa.Array) -> pa.Array:
    numbers = values.cast(pa.float64())
    wrong = ~_mask(pc.is_in(numbers, pa.array([0.0, 1.0])))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"row {row} has the label {values[row].as_py()!r} ({int(wrong.sum())} such rows); "
            "labels are 0 or 1, use a rating column for anything else"
        )
    return numbers.cast(pa.int8())


def _splits(values: pa.Array) -> pa.Array:
    words = values.cast(pa.string())
    for word in words.unique().to_pylist():
        if word not in SPLITS:
            raise DataError(f"the split {word!r} is not known; use train, validation or test")
    found = pc.index_in(words, pa.array(list(SPLITS)))
    return pa.array(list(SPLITS.values())).take(found)
