"""How an interaction went: ratings, labels, and the part of the log that it belongs to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._kinds import cast_or_none, is_text
from mmq.errors import DataError, warn

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Words that a ``split`` column may hold -> the part they mean."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_NEARLY = {-1.0, 0.0, 1.0, 2.0}
"""Values that another habit of labelling has; anything else is no label at all."""


def as_ratings(values: pa.Array, name: str = "rating") -> pa.Array:
    """Float64; NaN, and text that is no number, is null. The latter is counted in a warning.

    A single-precision 4.3 becomes the double 4.3, as which a threshold is compared.

    Raises:
        DataError: none of the values is a number.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_ratings(values.cast(kind.value_type), name)
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return _nan_as_null(_doubles(values))
    if pa.types.is_decimal(kind):
        values = values.cast(pa.string())
    if is_text(values.type):
        return _nan_as_null(_of_texts(values.cast(pa.string()), name))
    return _nan_as_null(values.cast(pa.float64()))


def as_labels(values: pa.Array) -> pa.Array:
    """Int8, 0 or 1.

    Raises:
        DataError: a row has something else; the first is named.
    """
    values = _missing_as_null(values)
    numbers = _label_numbers(values)
    wrong = ~_mask(pc.is_in(numbers, pa.array([0.0, 1.0])))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"row {row} has the label {values[row].as_py()!r} ({int(wrong.sum())} such rows); "
            "labels are 0 or 1, use a rating column for anything else (or leave the column alone "
            "with --label-column none)"
        )
    return numbers.cast(pa.int8())


def as_splits(values: pa.Array) -> pa.Array:
    """``train``, ``validation`` or ``test``.

    Raises:
        DataError: a word is not known.
    """
    words = _words(values)
    for word in words.unique().to_pylist():
        if word not in SPLITS:
            raise DataError(
                f"the split {word!r} is not known; use train, validation or test, or divide the "
                "log otherwise (--split)"
            )
    found = pc.index_in(words, pa.array(list(SPLITS)))
    return pa.array(list(SPLITS.values())).take(found)


def means_another(name: str, values: pa.Array) -> bool:
    """Whether a column that nobody named has something else in it than its name says.

    A ``rating`` without a single number (PG-13), a ``label`` of many kinds (a topic), a ``split``
    of other words (an experiment). A label of -1 or 2 beside 0 and 1 is one, written otherwise.
    """
    if name == "split":
        return not set(_words(values).unique().to_pylist()) <= SPLITS.keys()
    try:
        if name == "rating":
            told = is_text(values.type) and values.null_count < len(values)
            return told and not pc.any(are_numbers(values)).as_py()
        if name == "label":
            values = _missing_as_null(values)
            numbers = _label_numbers(values)
            lost = numbers.null_count > values.null_count
            return lost or not set(numbers.drop_null().unique().to_pylist()) <= _NEARLY
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return True
    return False


def are_numbers(texts: pa.Array) -> pa.Array:
    """Bool: whether each text spells a number, spaces around it aside."""
    return pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _NUMBER)


def _words(values: pa.Array) -> pa.Array:
    return pc.ascii_lower(pc.utf8_trim_whitespace(values.cast(pa.string())))


def _missing_as_null(values: pa.Array) -> pa.Array:
    """The values with null where they are NaN, or text of it."""
    if pa.types.is_floating(values.type):
        return _nan_as_null(values)
    if not is_text(values.type):
        return values
    return pc.if_else(pc.equal(_words(values), "nan"), pa.scalar(None, values.type), values)


def _label_numbers(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if is_text(values.type):
        words = _words(values)
        known = pc.index_in(words, pa.array(list(_LABELS)))
        found = pa.array(list(map(float, _LABELS.values()))).take(known)
        number = pc.if_else(are_numbers(words), words, pa.scalar(None, pa.string()))
        return pc.coalesce(found, number.cast(pa.float64()))
    return values.cast(pa.float64())


def _doubles(values: pa.Array) -> pa.Array:
    """The double that is written like each float: 4.3 for the single-precision 4.3."""
    encoded = pc.dictionary_encode(values)
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    doubles = pa.array([float(str(each)) for each in distinct], pa.float64())
    return doubles.take(encoded.indices)


def _of_texts(texts: pa.Array, name: str) -> pa.Array:
    numbers = cast_or_none(texts, pa.float64())
    if numbers is not None:
        return numbers
    trimmed = pc.utf8_trim_whitespace(texts)
    readable = pc.fill_null(are_numbers(trimmed), False)
    nothing = pc.is_in(pc.ascii_lower(trimmed), pa.array(["", "nan", None]))
    lost = _mask(pc.invert(pc.or_(readable, nothing)))
    if lost.any():
        first = texts[int(np.flatnonzero(lost)[0])].as_py()
        if not pc.any(readable).as_py():
            raise DataError(
                f"the {name} column cannot be read: no value is a number ({first!r} is the first); "
                f"leave it alone with --{name}-column none"
            )
        warn(
            f"{int(lost.sum()):,} values of the column {name} are no number, such as {first!r}, "
            "and count as missing"
        )
    return pc.if_else(readable, trimmed, pa.scalar(None, pa.string())).cast(pa.float64())


def _nan_as_null(values: pa.Array) -> pa.Array:
    unknown = pc.is_nan(values)
    if not pc.any(unknown).as_py():
        return values
    return pc.if_else(unknown, pa.scalar(None, values.type), values)


def _mask(values: pa.Array) -> np.ndarray:
    mask: np.ndarray = values.to_numpy(zero_copy_only=False)
    return mask
