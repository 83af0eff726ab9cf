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

from mmq._artifacts import write_file
from mmq.data._frames import as_table, is_frame
from mmq.data._histories import one_row_each
from mmq.data._item_ids import as_ids, joined, same_type, without_empty
from mmq.data._kinds import is_list
from mmq.data._outcomes import as_labels, as_ratings, as_splits
from mmq.data._times import as_times, ticks
from mmq.errors import DataError, nearest

REQUIRED = ("user_id", "item_id")
"""Columns that a file of interactions needs."""

COLUMNS = (*REQUIRED, "timestamp", "rating", "label", "split")
"""All columns that an interaction log may have."""

_BLOCK = 1 << 20
_PLACES = b"mmq.places"
"""Mark of a log whose times are places in a history."""


class Coded(NamedTuple):
    """Ids as numbers from 0 on, in order of first appearance.

    Attributes:
        codes: ``(interactions,)`` int32 index into ``ids``.
        ids: the distinct ids.
    """

    codes: np.ndarray
    ids: pa.Array


@dataclass(frozen=True, eq=False)
class Interactions:
    """An interaction log. Made by :meth:`build`, or read by
    :func:`~mmq.data._log.read_interactions`.

    A selection of rows may be empty; what is built or read may not.

    Attributes:
        table: columns ``user_id`` and ``item_id`` (int64 or string, or dictionaries of them: see
            :mod:`~mmq.data._compact`), ``timestamp`` (of microseconds in UTC, or nanoseconds where
            the source has them; null where unknown), and perhaps ``rating`` (float64, null where
            unknown), ``label`` (int8, 0 or 1), ``split`` (``train``, ``validation`` or ``test``).

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
        return _decoded(self._column("user_id"))

    @property
    def item_ids(self) -> pa.Array:
        """``(interactions,)`` item ids."""
        return _decoded(self._column("item_id"))

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
        return self._user_order

    @cached_property
    def _user_order(self) -> np.ndarray:
        order = np.lexsort((self.times, self.users.codes))
        return order.astype(np.int32) if len(order) < 2**31 else order

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

    def labels(self, threshold: float = 3, start: int = 0) -> np.ndarray:
        """``(interactions,)``: the label where there is one, else whether the rating is above.

        Unlike for :meth:`positives`, a row without either is no positive but a mistake.

        Args:
            threshold: of ratings.
            start: number of the first row, for messages.

        Raises:
            DataError: there are neither labels nor ratings, or a row has no rating.
        """
        names = self.table.column_names
        if "label" in names:
            labels: np.ndarray = self._column("label").to_numpy()
            return labels
        if "rating" not in names:
            raise DataError(
                "the interactions have neither labels nor ratings; ranking learns from what was "
                "shown and not taken as well, so give a label column of 0 and 1 (--label-column)"
            )
        unknown = np.flatnonzero(_mask(self._column("rating").is_null()))
        if len(unknown):
            raise DataError(
                f"row {start + unknown[0]} has no rating ({len(unknown):,} such rows); drop them, "
                "or give a label column"
            )
        above: np.ndarray = self._column("rating").to_numpy() > threshold
        return above

    def k_core(self, k: int) -> Interactions:
        """The largest part in which every user and every item has at least ``k`` interactions.

        Users and items are dropped in turns until none is below ``k``. A pair that occurs twice
        counts twice. The result may be empty.
        """
        users, items = self.users.codes, self.items.codes
        rows = None
        while True:
            keep = (np.bincount(users) >= k)[users] & (np.bincount(items) >= k)[items]
            if keep.all():
                break
            rows = np.flatnonzero(keep) if rows is None else rows[keep]
            users, items = users[keep], items[keep]
        if rows is None:
            return self
        mask = np.zeros(len(self), dtype=bool)
        mask[rows] = True
        return self.filter(mask)

    def _column(self, name: str) -> pa.Array:
        return joined(self.table.column(name))


def write_interactions(path: str | Path, interactions: Interactions) -> None:
    """Write the log as Parquet, whole or not at all; :mod:`mmq.data._log` reads it back."""
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
    """Ids by first appearance, whether or not they are a dictionary, of more ids perhaps."""
    encoded = ids.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return Coded(np.empty(0, np.int32), _decoded(pa.array([], ids.type)))
    codes = [each.indices.to_numpy() for each in encoded.chunks]
    whole = codes[0] if len(codes) == 1 else np.concatenate(codes)
    known = encoded.chunk(0).dictionary
    if not pa.types.is_dictionary(ids.type):
        return Coded(whole, known)
    order = _by_appearance(whole, len(known))
    if np.array_equal(order, np.arange(len(known))):
        return Coded(whole, known)
    place = np.empty(len(known), np.int32)
    place[order] = np.arange(len(order))
    return Coded(place[whole], known.take(pa.array(order)))


def _by_appearance(codes: np.ndarray, count: int) -> np.ndarray:
    """The codes that occur, of ``count`` that there may be, by first appearance."""
    first = np.full(count, len(codes))
    for start in reversed(range(0, len(codes), _BLOCK)):  # the earliest is written last
        block = codes[start : start + _BLOCK]
        first[block[::-1]] = np.arange(start, start + len(block))[::-1]
    met = np.flatnonzero(first < len(codes))
    order: np.ndarray = met[np.argsort(first[met])]
    return order


def _decoded(ids: pa.Array) -> pa.Array:
    return ids.dictionary_decode() if pa.types.is_dictionary(ids.type) else ids


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
