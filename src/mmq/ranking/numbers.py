"""Further columns of numbers, such as prices: features by their size, not a category a value.

A column whose type is one of fractions (float, decimal) is numeric unless all its values are whole
numbers, which is how codes with gaps are often stored; any other column is one of categories unless
it is named as numeric, as every column of text has to be.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.errors import DataError
from mmq.ranking.impressions import BLOCK, Impressions

FURTHEST = 10.0
"""Standard deviations from the mean at which a number counts as no further out."""


class Scale(NamedTuple):
    """Mean and standard deviation of the numbers that the training rows have."""

    mean: float
    sd: float

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
        self.name, self._numeric = name, numeric

    def add(self, column: pa.Array | pa.ChunkedArray) -> None:
        """Take up a piece.

        Raises:
            DataError: it cannot be read as numbers, and is to be.
        """
        if self._numeric or (self._numeric is None and has_fractions(column.type)):
            numbers = as_numbers(column, self.name)
            known = numbers[~np.isnan(numbers)]
            if (known != np.floor(known)).any():
                self._numeric = True

    @property
    def numeric(self) -> bool:
        """Whether it is one of numbers, by what was taken up so far."""
        return bool(self._numeric)


def kinds_of(names: Collection[str], numeric: Collection[str], settled: bool) -> list[Kind]:
    """One for each column; those in ``numeric`` are of numbers, and if it is settled no others."""
    rest = False if settled else None
    return [Kind(name, True if name in numeric else rest) for name in names]


def number_columns(further: pa.Table, names: Collection[str]) -> np.ndarray:
    """``(rows, len(names))`` float32, NaN where there is no number."""
    columns = [as_numbers(further.column(name), name) for name in names]
    shape = (len(further), len(columns))
    return np.stack(columns, 1).astype(np.float32) if columns else np.empty(shape, np.float32)
