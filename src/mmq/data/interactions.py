"""The interaction log: user, item, time, and how it went. One Arrow table, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmq.artifacts import write_file
from mmq.data.continued import continued
from mmq.data.frames import as_table, is_frame
from mmq.data.histories import one_row_each
from mmq.data.item_ids import as_ids, joined, same_type, without_empty
from mmq.data.kinds import is_list
from mmq.data.outcomes import as_labels, as_ratings, as_splits, means_another
from mmq.data.tables import ColumnOption, missing_column, read_table
from mmq.data.times import as_times, ticks
from mmq.errors import DataError, nearest, warn

REQUIRED = ("user_id", "item_id")
"""Columns that a file of interactions needs."""

COLUMNS = (*REQUIRED, "timestamp", "rating", "label", "split")
"""All columns that an interaction log may have."""

FORMAT = "timestamp_format"
"""Among names of columns: how times are written, as ``strptime`` reads it."""

LEFT_ALONE = "none"
"""In place of a column's name in the file: the column is not read, whatever the file has."""


_PLACES = b"mmq.places"
"""Mark of a log whose times are places in a history."""


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
        table: columns ``user_id`` and ``item_id`` (int64 or string), ``timestamp`` (of
            microseconds in UTC, or nanoseconds where the source has them; null where unknown), and
            perhaps ``rating`` (float64, null where unknown), ``label`` (int8, 0 or 1), ``split``
            (``train``, ``validation`` or ``test``).

    >>> log = Interactions.build({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})
    >>> len(log), log.users.codes.tolist()
    (3, [0, 0, 1])
    """

    table: pa.Table

    @classmethod
    def build(
        cls, columns: Mapping[str, Any] | Any, timestamp_format: str | None = None
    ) -> Interactions:
        """A log from columns (Arrow, numpy or lists) under the names of :data:`COLUMNS`.

        A data frame of pandas, polars or Arrow with such columns is taken as well.

        Args:
            columns: ``user_id`` and ``item_id`` at least. Ids are what :func:`as_ids` takes, times
                what :func:`as_times` takes; labels 0, 1 or bool. A row may hold a whole history:
                lists of items, oldest first, with lists or one value in the other columns.
            timestamp_format: how times are written, where they are text of another form.

        Raises:
            DataError: a column is missing, unknown or of another length, a user or item is null or
                empty text, a label is not 0 or 1, a timestamp cannot be read, or there are no rows.
        """
        if is_frame(columns):
            columns = as_table(columns, "log")
        given = {name: _arrow(name, columns[name]) for name in _names(columns)}
        lengths = {name: len(array) for name, array in given.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns have different lengths: {lengths}")
        placed = is_list(given["item_id"].type) and "timestamp" not in given
        given = one_row_each(given, timestamp_format)
        arrays = {name: _typed(name, each, timestamp_format) for name, each in given.items()}
        rows = len(arrays["user_id"])
        if not rows:
            raise DataError("there are no interactions; give at least one row")
        arrays.setdefault("timestamp", pa.nulls(rows, pa.timestamp("us")))
        for name, what in (("user_id", "user id"), ("item_id", "item id")):
            if arrays[name].null_count:
                missing = _mask(arrays[name].is_null())
                raise DataError(
                    f"row {int(np.flatnonzero(missing)[0])} has no {what} ({int(missing.sum()):,} "
                    "such rows); drop the rows without one"
                )
        table = pa.table({name: arrays[name] for name in COLUMNS if name in arrays})
        return cls(table.replace_schema_metadata({_PLACES: b"1"}) if placed else table)

    @classmethod
    def together(cls, tables: Sequence[pa.Table]) -> Interactions:
        """One log of the tables of several."""
        names = ("user_id", "item_id")
        for name in names:
            columns = same_type([table.column(name) for table in tables])
            place = [table.column_names.index(name) for table in tables]
            tables = [
                table.set_column(at, name, column)
                for table, at, column in zip(tables, place, columns, strict=True)
            ]
        fine = any(table.schema.field("timestamp").type.unit == "ns" for table in tables)
        unit = pa.timestamp("ns" if fine else "us")
        place = [table.column_names.index("timestamp") for table in tables]
        tables = [
            table.set_column(at, "timestamp", table.column("timestamp").cast(unit))
            for table, at in zip(tables, place, strict=True)
        ]
        return cls(pa.concat_tables(tables, promote_options="default"))

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
        return _coded(self.table.column("user_id"))

    @cached_property
    def items(self) -> Coded:
        """Item ids as numbers."""
        return _coded(self.table.column("item_id"))

    @cached_property
    def has_time(self) -> np.ndarray:
        """``(interactions,)`` bool: whether the timestamp is known."""
        return _mask(self._column("timestamp").is_valid())

    @cached_property
    def times(self) -> np.ndarray:
        """``(interactions,)`` int64 of :attr:`time_unit`; unknown is the smallest, thus first."""
        return ticks(self._column("timestamp"))

    @property
    def time_unit(self) -> str:
        """``us``, or ``ns`` where the source tells more apart."""
        return str(self.table.schema.field("timestamp").type.unit)

    @property
    def has_moments(self) -> bool:
        """Whether times are moments, and not the places in a history that has none."""
        return _PLACES not in (self.table.schema.metadata or {}) and bool(self.has_time.any())

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
        return joined(self.table.column(name))


def read_interactions(
    path: str | Path,
    column_names: Mapping[str, str] | None = None,
) -> Interactions:
    """The interaction log in a Parquet, CSV, TSV, JSON Lines or RecBole ``.inter`` file.

    Args:
        path: the file, a folder of its parts, or a pattern such as ``"day=*/*.parquet"``.
        column_names: name in :data:`COLUMNS` -> its name in the file, where they differ, or
            :data:`LEFT_ALONE`. Columns that are neither known nor mapped are not read, and those
            that are known by name alone and hold something else are left alone with a warning.
            :data:`FORMAT` -> how times are written, where they are text of another form.

    Raises:
        DataError: a column is missing (the message names the nearest and the option that maps
            it), or the rows do not pass :meth:`Interactions.build`.
        FormatError: the file is truncated or damaged.
    """
    mapping = column_mapping(column_names)
    item = mapping["item_id"]
    before = f"{item}_list"
    wanted = [*mapping.values(), before, f"{mapping.get('timestamp')}_list"]
    table = read_table(path, wanted, (mapping["user_id"], item), number_hints(mapping))
    if before in table.column_names and item in table.column_names:
        require_columns(path, table.column_names, mapping, column_names or {})
        table = continued(table, mapping)
    require_columns(path, table.column_names, mapping, column_names or {})
    columns = {
        name: table.column(source)
        for name, source in mapping.items()
        if source in table.column_names
    }
    for name in unasked(columns, column_names or {}):
        del columns[name]
    try:
        return Interactions.build(columns, (column_names or {}).get(FORMAT))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def column_mapping(given: Mapping[str, str] | None) -> dict[str, str]:
    """Name in :data:`COLUMNS` -> its name in the file, without those that are left alone."""
    whole = {name: name for name in COLUMNS} | dict(given or {})
    whole.pop(FORMAT, None)
    return {
        name: source for name, source in whole.items() if source != LEFT_ALONE or name in REQUIRED
    }


def number_hints(mapping: Mapping[str, str]) -> dict[str, pa.DataType]:
    """Columns of a text file that are most often numbers -> their type."""
    kinds = {"timestamp": pa.int64(), "rating": pa.float64()}
    return {mapping[name]: kind for name, kind in kinds.items() if name in mapping}


def require_columns(
    path: str | Path, known: list[str], mapping: Mapping[str, str], given: Mapping[str, str]
) -> None:
    """Raise :class:`~mmq.errors.DataError` for a column that has to be there and is not."""
    for name, source in mapping.items():
        if source not in known and (name in REQUIRED or name in given):
            option = ColumnOption(source, f"--{name.removesuffix('_id')}-column")
            raise missing_column(path, option, set(known).intersection(mapping.values()))


def unasked(columns: Mapping[str, pa.ChunkedArray], given: Mapping[str, str]) -> list[str]:
    """Columns that nobody named and that hold something else than their name says."""
    found = []
    for name in ("rating", "label", "split"):
        if name in columns and name not in given and means_another(name, joined(columns[name])):
            found.append(name)
            kinds = "numbers" if name == "rating" else "0 and 1" if name == "label" else "parts"
            warn(
                f"the column {name} holds something else than {kinds} and is left alone; rename "
                "it if it should count"
            )
    return found


def write_interactions(path: str | Path, interactions: Interactions) -> None:
    """Write the log as Parquet, whole or not at all; :func:`read_interactions` reads it back."""
    with write_file(path) as temporary:
        pq.write_table(interactions.table, temporary, compression="zstd")


def _names(columns: Mapping[str, Any] | pa.Table) -> list[str]:
    names = list(columns.column_names if isinstance(columns, pa.Table) else columns)
    for name in names:
        if name not in COLUMNS:
            raise DataError(f"unknown column '{name}' of interactions; {nearest(name, COLUMNS)}")
    for name in REQUIRED:
        if name not in names:
            raise DataError(f"interactions need a column '{name}'")
    return names


def _coded(ids: pa.ChunkedArray) -> Coded:
    encoded = ids.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return Coded(np.empty(0, np.int64), pa.array([], ids.type))
    codes = [each.indices.to_numpy() for each in encoded.chunks]
    return Coded(np.concatenate(codes).astype(np.int64), encoded.chunk(0).dictionary)


def _mask(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    mask: np.ndarray = (
        values.to_numpy(zero_copy_only=False)
        if isinstance(values, pa.Array)
        else (values.to_numpy())
    )
    return mask


def _arrow(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """One column as Arrow, of whatever type."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if name in REQUIRED and not _has_lists(values):
        return as_ids(values, f"{name.removesuffix('_id')} ids")
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"the {name} column cannot be read: {error}") from error


def _has_lists(values: Any) -> bool:
    first = next(iter(values), None)
    return isinstance(first, list | tuple | np.ndarray)


def _typed(
    name: str, values: pa.Array | pa.ChunkedArray, timestamp_format: str | None
) -> pa.Array | pa.ChunkedArray:
    """One column of its proper type."""
    if name in REQUIRED:
        return without_empty(as_ids(values, f"{name.removesuffix('_id')} ids"))
    values = joined(values)
    try:
        if name == "timestamp":
            return as_times(values, timestamp_format)
        return {"rating": as_ratings, "label": as_labels, "split": as_splits}[name](values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the {name} column ({values.type}) cannot be read: {reason}") from error
