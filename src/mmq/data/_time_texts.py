"""Moments that are written out: ISO 8601 and its kin, numbers as text, forms that are named."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._kinds import cast_or_none
from mmq.errors import DataError

_NOTHING = pa.array(["", "nat", "nan", "null", "none", "\\n"])
_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$"
_ZONE = r":.*(Z|[+-]\d\d(:?\d\d)?)$"
_COMPACT = r"^(\d{4})(\d\d)(\d\d)([T ]?)(\d\d)(\d\d)(\d\d)(\.\d+)?(Z?)$"
_SLASHES = r"^\d{1,2}/\d{1,2}/\d{4}"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_REMEDY = (
    'write it as 2020-01-31 10:00:00, or say how it is written: --timestamp-format "%d.%m.%Y %H:%M"'
)

Numbers = Callable[[pa.Array], pa.Array]
"""Makes moments of numbers."""


def of_texts(texts: pa.Array, form: str | None, numbers: Numbers) -> pa.Array:
    """Moments of texts, as :func:`mmq.data._times.as_times` says.

    Args:
        texts: Arrow array of the type string.
        form: how they are written, or None.
        numbers: reads those that are numbers.

    Raises:
        DataError: one cannot be read, or stands for one of two days.
    """
    plain = None if form is not None else _at_once(texts, numbers)
    if plain is not None:
        return plain
    texts = _without_nothing(texts)
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), pa.timestamp("us"))
    if form is not None:
        return _of_form(texts, form)
    if _all(texts, _WHOLE):
        try:
            whole = pc.replace_substring_regex(texts, r"^\+|\.0*$", "")
            return numbers(whole.cast(pa.int64()))
        except pa.ArrowInvalid:
            raise DataError(
                f"the timestamp column cannot be read: {_first(texts, '.')!r} or another is past "
                "the range of int64; give seconds since 1970"
            ) from None
    if _all(texts, _NUMBER):
        return numbers(texts.cast(pa.float64()))
    if _all(texts, _SLASHES):
        return _of_slashes(texts)
    try:
        return _of_iso(_tidy(texts))
    except pa.ArrowInvalid:
        raise _unreadable(texts) from None


def _at_once(texts: pa.Array, numbers: Numbers) -> pa.Array | None:
    """Moments of texts that Arrow reads as they are; None of others."""
    whole = cast_or_none(texts, pa.int64())
    if whole is not None:
        return numbers(whole)
    found = cast_or_none(texts, pa.float64())
    if found is not None:
        return numbers(found) if (pc.max(pc.abs(found)).as_py() or 0) < 2.0**53 else None
    return cast_or_none(texts, pa.timestamp("us"))


def _without_nothing(texts: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    nothing = pc.is_in(pc.ascii_lower(trimmed), _NOTHING)
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)


def _all(texts: pa.Array, pattern: str) -> bool:
    """Whether every text is so; the first tells most of the others at no cost."""
    first = texts.slice(0, 100)
    alike = pc.all(pc.match_substring_regex(first, pattern)).as_py()
    return alike is not False and bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _first(texts: pa.Array, pattern: str, like: bool = True) -> str:
    """The first text that is so, or not so."""
    matched = pc.match_substring_regex(texts, pattern)
    return str(texts.filter(matched if like else pc.invert(matched))[0].as_py())


def _tidy(texts: pa.Array) -> pa.Array:
    """The same moments, spelt as Arrow reads them."""
    if _all(texts, _ISO):
        return texts
    texts = pc.utf8_upper(texts)
    for pattern, instead in (
        (r" ?(UTC|GMT|\[UTC\])$", "Z"),
        (r"(\d{4})[/.](\d\d)[/.](\d\d)", r"\1-\2-\3"),
        (_COMPACT, r"\1-\2-\3 \5:\6:\7\8\9"),
        (r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3"),
        (r"(\d) +(Z|[+-]\d\d:?\d\d)$", r"\1\2"),
        (r"(:\d\d),(\d+)", r"\1.\2"),
        (r"^(\d{4}-\d\d-\d\d)(?:T| +)(\d:)", r"\1 0\2"),
        (r"^(\d{4}-\d\d-\d\d)  +", r"\1 "),
    ):
        texts = pc.replace_substring_regex(texts, pattern, instead)
    return texts


def _of_iso(texts: pa.Array) -> pa.Array:
    # of digits past a microsecond, those that are 0 say nothing
    texts = pc.replace_substring_regex(texts, r"(\.\d{6})0+($|[^\d])", r"\1\2")
    long = pc.match_substring_regex(texts, r"\.\d{7}")
    unit = "ns" if pc.any(long).as_py() else "us"
    if unit == "ns":
        texts = pc.replace_substring_regex(texts, r"(\.\d{9})\d+", r"\1")
    zoned = pc.match_substring_regex(texts, _ZONE)
    if not pc.any(zoned).as_py():
        return texts.cast(pa.timestamp(unit))
    nothing = pa.scalar(None, pa.string())
    there = pc.if_else(zoned, texts, nothing).cast(pa.timestamp(unit, "UTC"))
    there = there.cast(pa.timestamp(unit))
    if pc.all(zoned).as_py():
        return there
    return pc.coalesce(there, pc.if_else(zoned, nothing, texts).cast(pa.timestamp(unit)))


def _unreadable(texts: pa.Array) -> DataError:
    for text in texts.drop_null().to_pylist():
        try:
            _of_iso(_tidy(pa.array([text])))
        except pa.ArrowInvalid:
            return DataError(f"the timestamp column cannot be read: {text!r}; {_REMEDY}")
    return DataError(
        "the timestamp column holds nanoseconds and years out of their reach (1677 to 2262); "
        f"{_REMEDY}"
    )


def _of_slashes(texts: pa.Array) -> pa.Array:
    """Texts such as ``11/30/2019 9:05:58 AM``, if all can only mean one day."""
    distinct = pc.unique(texts).drop_null()
    day_first, month_first = (_parsed(distinct, order) for order in ("%d/%m/%Y", "%m/%d/%Y"))
    found = month_first if day_first is None else day_first
    if found is None:
        raise DataError(f"the timestamp column cannot be read: {distinct[0].as_py()!r}; {_REMEDY}")
    if day_first is not None and month_first is not None and day_first != month_first:
        raise DataError(
            f"the timestamp {distinct[0].as_py()!r} may be of either of two days; say which with "
            '--timestamp-format "%m/%d/%Y %I:%M:%S %p" (or %d/%m/%Y, %H:%M:%S)'
        )
    return found.take(pc.index_in(texts, distinct))


def _parsed(distinct: pa.Array, order: str) -> pa.Array | None:
    for clock in _CLOCKS:
        try:
            return pc.strptime(distinct, order + clock, "s").cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            continue
    return None


def _of_form(texts: pa.Array, form: str) -> pa.Array:
    distinct = pc.unique(texts).drop_null()
    found = []
    for text in distinct.to_pylist():
        try:
            moment = datetime.datetime.strptime(text, form)
        except ValueError as error:
            raise DataError(
                f"the timestamp {text!r} is not written as --timestamp-format {form!r} says "
                f"({error})"
            ) from None
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
        found.append(np.datetime64(moment, "us"))
    return pa.array(found, pa.timestamp("us")).take(pc.index_in(texts, distinct))
