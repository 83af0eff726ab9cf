"""Further columns of numbers, such as prices: features by their size, not a category a value.

A column is numeric if all its values are numbers and one has a fraction; whole numbers may as well
be codes, and are categories unless the column is named as numeric. That holds for any type: text
is read as the numbers that it spells, so that a table is the same in every format. Text that
numbers are not written as is one of categories: with leading zeros (``001``), or with zeros at the
end although decimals differ in number (``1.1`` beside ``1.10``, which are versions).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids import joined
from mmq.data._kinds import is_text
from mmq.data._outcomes import are_numbers
from mmq.data._texts import as_text
from mmq.errors import DataError
from mmq.ranking._impressions import BLOCK, Impressions

FURTHEST = 10.0
"""Standard deviations from the mean at which a number counts as no further out."""

MOST_NUMBERS = 100
"""Distinct numbers with fractions that may be categories."""

_NUMBER = r"^-?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_FRACTION = r"\.[0-9]*[1-9]|[eE]-"
_PADDED = r"\.[0-9]+0$"


class Scale(NamedTuple):
    """Mean and standard deviation of the numbers that the training rows have."""

    mean: float = 0.0
    sd: float = 1.0

    def apply(self, numbers: np.ndarray) -> np.ndarray:
        """Standardised numbers; NaN, which is a missing one, stays."""
        scaled: np.ndarray = np.clip((numbers - self.mean) / self.sd, -FURTHEST, FURTHEST)
        return scaled


def scales(train: Impressions, names: Collection[str]) -> dict[str, Scale]:
    """The scale of each numeric column, of the training rows; 0 and 1 where no row has a number."""
    if not names:
        return {}
    count = np.zeros(len(names))
    mean, squares = np.zeros(len(names)), np.zeros(len(names))
    for piece in train.batches(BLOCK):
        numbers = np.asarray(piece.numbers, np.float64)
        known = ~np.isnan(numbers)
        own = known.sum(axis=0)
        some = np.maximum(own, 1)
        own_mean = np.where(known, numbers, 0).sum(axis=0) / some
        own_squares = np.where(known, (numbers - own_mean) ** 2, 0).sum(axis=0)
        both = np.maximum(count + own, 1)
        step = np.where(own > 0, own_mean - mean, 0)  # Chan's update: no second pass
        squares += own_squares + step**2 * count * own / both
        mean += step * own / both
        count += own
    sd = np.sqrt(squares / np.maximum(count, 1))
    sd[sd <= 1e-9 * np.abs(mean)] = 1.0  # a constant column tells nothing, whatever its scale
    return {name: Scale(float(m), float(s)) for name, m, s in zip(names, mean, sd, strict=True)}


def as_numbers(column: pa.Array | pa.ChunkedArray, name: str) -> np.ndarray:
    """``(rows,)`` float64 of a numeric column, NaN where there is no number.

    Raises:
        DataError: a value is no number, or infinite.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
    try:
        numbers: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the column '{name}' ({column.type}) cannot be read as numbers "
            f"({str(error).splitlines()[0]}); mend it, or give it with --column as categories"
        ) from error
    if np.isinf(numbers).any():
        raise DataError(
            f"the column '{name}' holds an infinite number; leave it empty where it is not known"
        )
    return numbers


def has_fractions(kind: pa.DataType) -> bool:
    """Whether a type is one of numbers that may have fractions."""
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


class Kind:
    """Finds out, piece by piece, whether a further column is one of numbers.

    Args:
        name: of the column.
        numeric: whether it is, where that is known.
    """

    def __init__(self, name: str, numeric: bool | None) -> None:
        self.name, self._told = name, numeric
        self._words = self._fractions = self._padded = False
        self._decimals: set[int] = set()

    def add(self, column: pa.Array | pa.ChunkedArray) -> None:
        """Take up a piece.

        Raises:
            DataError: it cannot be read as numbers, and is to be.
        """
        if self._told or (self._told is None and has_fractions(column.type)):
            numbers = as_numbers(column, self.name)
            known = numbers[~np.isnan(numbers)]
            if (known != np.floor(known)).any():
                self._told = True
        elif self._told is None and is_text(column.type) and not self._words:
            self._add_texts(pc.unique(column))

    def _add_texts(self, values: pa.Array) -> None:
        texts = pc.utf8_trim_whitespace(values).drop_null()
        texts = texts.filter(pc.invert(pc.is_in(pc.ascii_lower(texts), pa.array(["", "nan"]))))
        if not pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py():
            self._words = len(texts) > 0
            return
        self._fractions |= bool(pc.any(pc.match_substring_regex(texts, _FRACTION)).as_py())
        self._padded |= bool(pc.any(pc.match_substring_regex(texts, _PADDED)).as_py())
        point = pc.find_substring(texts, ".")
        after = pc.subtract(pc.subtract(pc.utf8_length(texts), point), 1)
        self._decimals |= set(pc.unique(pc.if_else(pc.less(point, 0), 0, after)).to_pylist())

    @property
    def is_open(self) -> bool:
        """Whether it may turn out to be one of categories yet."""
        return not self._told

    @property
    def numeric(self) -> bool:
        """Whether it is one of numbers, by what was taken up so far."""
        if self._told is not None:
            return self._told
        spelt = self._padded and len(self._decimals) > 1
        return self._fractions and not self._words and not spelt


def kinds_of(names: Collection[str], numeric: Collection[str], settled: bool) -> list[Kind]:
    """One for each column; those in ``numeric`` are of numbers, and if it is settled no others."""
    rest = False if settled else None
    return [Kind(name, True if name in numeric else rest) for name in names]


def number_columns(further: pa.Table, names: Collection[str], rows: int) -> np.ndarray:
    """``(rows, len(names))`` float32, NaN where there is no number."""
    columns = [as_numbers(further.column(name), name) for name in names]
    return np.stack(columns, 1).astype(np.float32) if columns else np.empty((rows, 0), np.float32)


def as_values(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array:
    """The values of a categorical column as text; a null, as NaN, is the value "".

    Raises:
        DataError: a row has several of them.
    """
    return joined(pc.fill_null(as_text(column, name), ""))


def check_categories(values: pa.Array, name: str) -> None:
    """Raise :class:`DataError` for a column of measurements: many numbers, most with fractions.

    Each of them would be a category of its own, of which nothing can be learned.

    Args:
        values: the distinct ones, as text.
        name: of the column.
    """
    known = values.filter(pc.not_equal(values, ""))
    if len(known) <= MOST_NUMBERS or not pc.all(are_numbers(known)).as_py():
        return
    fractions = pc.sum(pc.match_substring_regex(known, _FRACTION)).as_py()
    if 2 * fractions > len(known):
        raise DataError(
            f"the column '{name}' holds {len(known):,} different numbers, such as "
            f"{known[0].as_py()}, which are measurements and no categories; name it with "
            f"--numeric-column {name}, so that it is read as numbers, or leave it out"
        )
