"""Moments: the one reader of them, whatever the type of the column that they come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids import joined
from mmq.data._kinds import is_text
from mmq.data._time_texts import of_texts
from mmq.errors import DataError, warn

UNKNOWN = np.iinfo(np.int64).min
"""The moment of a row without one; before all others."""

_UNITS = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", np.inf))
"""Unit of whole numbers by their size: what stays below the bound, which is past the year 5000."""
_OUR_DAYS = 4e-3
"""Times the bound of a unit: a moment of 1982."""
_BLOCK = 1 << 20
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def as_times(values: Any, form: str | None = None) -> pa.Array:
    """Moments in UTC as Arrow timestamps of microseconds, or of nanoseconds where it takes them.

    Nothing that the source tells apart is lost. Numbers are seconds, milliseconds, microseconds or
    nanoseconds since 1970, by their size (below 1e11, 1e14, 1e17, or more), except that whole
    numbers that all read as a day, such as 20180920 (or 20180920101500), are that. A moment without
    a zone is in UTC. Empty text and NaN are null.

    Args:
        values: Arrow array of whole numbers, floats, decimals, dates, timestamps or text.
        form: how text is written, as ``strptime`` reads it; None knows ISO 8601 and its kin.

    Raises:
        DataError: a value cannot be read; the first is named.

    >>> as_times(pa.array([1294160347, None])).to_pylist()
    [datetime.datetime(2011, 1, 4, 16, 59, 7), None]
    >>> as_times(pa.array(["2011-01-04 17:59:07+01:00"])).to_pylist()
    [datetime.datetime(2011, 1, 4, 16, 59, 7)]
    """
    values = joined(values)
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_times(values.cast(kind.value_type), form)
    if pa.types.is_null(kind):
        return values.cast(pa.timestamp("us"))
    if is_text(kind):
        return of_texts(values.cast(pa.string()), form, _of_numbers)
    if form is not None and pa.types.is_integer(kind):
        return of_texts(values.cast(pa.string()), form, _of_numbers)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_temporal(values)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_numbers(values)
    if pa.types.is_decimal(kind):
        return of_texts(values.cast(pa.string()), None, _of_numbers)
    raise DataError(
        f"the timestamp column is of type {kind}, which is no moment; give dates with their time, "
        "text or seconds since 1970"
    )


def ticks(times: pa.Array) -> np.ndarray:
    """``(rows,)`` int64 of :func:`as_times` in its unit; :data:`UNKNOWN` where there is none."""
    found: np.ndarray = times.cast(pa.int64()).fill_null(UNKNOWN).to_numpy()
    return found


def nanoseconds(times: pa.Array) -> np.ndarray:
    """``(rows,)`` uint64, the same for one moment in any unit; it wraps around far from 1970."""
    scale = 10**9 // _PER_SECOND[times.type.unit]
    known = times.cast(pa.int64()).fill_null(0).to_numpy().astype(np.uint64)
    with np.errstate(over="ignore"):
        found: np.ndarray = known * np.uint64(scale)
    return np.where(times.is_valid().to_numpy(zero_copy_only=False), found, np.uint64(1))


class Clock:
    """Gathers the moments of a log that is read in pieces, whatever units these have.

    Args:
        times: ``(rows,)`` int64 to be filled.
        known: ``(rows,)`` bool to be filled.
    """

    def __init__(self, times: np.ndarray, known: np.ndarray) -> None:
        self._times, self._known = times, known
        self._unit, self._filled = "us", 0

    @property
    def unit(self) -> str:
        """``us``, or ``ns`` where a piece was of it."""
        return self._unit

    def add(self, moments: np.ndarray, known: np.ndarray, unit: str) -> None:
        """The next rows: :func:`ticks`, which of them are known, and their unit."""
        if unit == "ns" and self._unit == "us":
            self._times[: self._filled] *= np.where(self._known[: self._filled], 1000, 1)
            self._unit = "ns"
        elif unit == "us" and self._unit == "ns":
            moments = np.where(known, moments, 0) * 1000
            moments[~known] = UNKNOWN
        rows = slice(self._filled, self._filled + len(moments))
        self._times[rows], self._known[rows] = moments, known
        self._filled = rows.stop

    def settle(self) -> None:
        """Bring all to the coarsest of s, ms, us and ns that loses nothing."""
        units = ("s", "ms", "us", "ns")
        for _ in range(units.index(self._unit)):
            if not all(self._whole(block) for block in self._blocks()):
                return
            for block in self._blocks():
                known = self._known[block]
                self._times[block] = np.where(known, self._times[block] // 1000, UNKNOWN)

    def _blocks(self) -> Iterator[slice]:
        return (slice(start, start + _BLOCK) for start in range(0, self._filled, _BLOCK))

    def _whole(self, block: slice) -> bool:
        return not (self._times[block][self._known[block]] % 1000).any()


def _of_temporal(values: pa.Array) -> pa.Array:
    if pa.types.is_date(values.type):
        return values.cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    if values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
        values = values.cast(pa.timestamp(values.type.unit))
    return _shortened(values) if values.type.unit == "ns" else values.cast(pa.timestamp("us"))


def _shortened(times: pa.Array) -> pa.Array:
    """Nanoseconds as microseconds where nothing is lost."""
    numbers = times.cast(pa.int64())
    known = numbers.drop_null().to_numpy()
    if (known % 1000).any():
        return times
    return pc.divide(numbers, 1000).cast(pa.timestamp("us"))


def _of_numbers(values: pa.Array) -> pa.Array:
    if pa.types.is_integer(values.type):
        return _of_integers(values.cast(pa.int64()))
    if not pa.types.is_float64(values.type):
        values = values.cast(pa.float64())
    known = values.is_valid().to_numpy(zero_copy_only=False)
    numbers = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    known = known & ~np.isnan(numbers)
    moments = numbers[known]
    if not np.isfinite(moments).all():
        raise DataError("the timestamp column holds infinity; give seconds since 1970, or null")
    whole = np.zeros(len(numbers), np.int64)
    if not len(moments):
        return pa.nulls(len(numbers), pa.timestamp("us"))
    if (moments == np.floor(moments)).all() and np.abs(moments).max() < 2**63:
        whole[known] = moments.astype(np.int64)
        return _of_integers(pa.array(whole, mask=~known))
    unit, finest = _unit(float(np.abs(moments).max())), "us"
    _check_one_unit(moments, unit)
    factor = 10**6 // _PER_SECOND[unit] if unit in ("s", "ms") else 1
    exact = moments * factor
    rest = np.abs(exact - np.rint(exact))
    if unit == "ns":
        finest, factor = "ns", 1
    elif (rest > np.spacing(np.abs(exact)) * 2).any() and np.abs(exact).max() < 9e15:
        finest, factor = "ns", 10**9 // _PER_SECOND[unit]
    whole[known] = np.rint(moments * factor).astype(np.int64)
    return pa.array(whole, mask=~known).cast(pa.timestamp(finest))


def _of_integers(values: pa.Array) -> pa.Array:
    ends = pc.min_max(values).as_py()
    if ends["min"] is None:
        return values.cast(pa.timestamp("us"))
    form = _calendar(values, ends["min"], ends["max"])
    if form is not None:
        return pc.strptime(values.cast(pa.string()), form, "s").cast(pa.timestamp("us"))
    unit = _unit(max(abs(ends["min"]), abs(ends["max"])))
    _check_one_unit(values.drop_null().to_numpy(), unit)
    if unit == "ns":
        return _shortened(values.cast(pa.timestamp("ns")))
    return values.cast(pa.timestamp(unit)).cast(pa.timestamp("us"))


def _check_one_unit(numbers: np.ndarray, unit: str) -> None:
    """Warn of numbers that would be of our days in the next coarser unit, and of 1970 in theirs."""
    place = [name for name, _ in _UNITS].index(unit)
    if place == 0:
        return
    coarser, bound = _UNITS[place - 1]
    sizes = np.abs(numbers)
    odd = numbers[(sizes > _OUR_DAYS * bound) & (sizes < bound)]
    if len(odd):
        warn(
            f"{len(odd):,} of {len(numbers):,} times look as if they were in {coarser}, such as "
            f"{odd[0]:.0f}, and others are in {unit}, as which all are read; give them one unit"
        )


def _calendar(values: pa.Array, least: int, most: int) -> str | None:
    """How ``strptime`` reads numbers such as 20180920 and 20180920101500; None of others."""
    days, clocks = (
        each[0] >= 19000101 and each[1] <= 21001231
        for each in ((least, most), (least // 10**6, most // 10**6))
    )
    if not days and not clocks:
        return None
    numbers = values.drop_null().to_numpy()
    if days:
        return "%Y%m%d" if _are_days(np.unique(numbers)) else None
    clock = numbers % 10**6
    right = (clock // 10**4 < 24) & (clock // 100 % 100 < 60) & (clock % 100 < 60)
    return "%Y%m%d%H%M%S" if right.all() and _are_days(np.unique(numbers // 10**6)) else None


def _are_days(distinct: np.ndarray) -> bool:
    month, day = distinct // 100 % 100, distinct % 100
    if not ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all():
        return False
    first = (distinct // 10000 - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
    return bool(((first.astype("M8[D]") + (day - 1)).astype("M8[M]") == first).all())


def _unit(size: float) -> str:
    return next(unit for unit, bound in _UNITS if size < bound)
