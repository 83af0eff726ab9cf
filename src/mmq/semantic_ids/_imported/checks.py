"""From tokens to a matrix of codes, or the sentence that names the first row that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.errors import DataError
from mmq.semantic_ids._imported.tokens import MISSING, UNREADABLE, Tokens

LARGEST = 2**24
"""Codes of a codebook that are taken: a number beyond is an id, a hash or several codes packed."""

_MANY = 10

_WRONG: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "which lacks a code; give every position a code": lambda numbers: numbers == MISSING,
    "where a code is no whole number; codes are written like 12, a_12 or <a_12>": (
        lambda numbers: numbers == UNREADABLE
    ),
    "where a code is negative; codes count from 0": lambda numbers: numbers < 0,
    f"where a code is past {LARGEST:,}, larger than codebooks are; give one number for each "
    "position, not one that they are packed or hashed into": lambda numbers: numbers >= LARGEST,
}


class Rows(NamedTuple):
    """The rows of a file, for messages.

    Attributes:
        item_ids: ``(rows,)`` Arrow array.
        shown: gives the codes of a row as they are written.
        places: ``(rows,)`` number of each in the file, counted from 0.
    """

    item_ids: pa.Array
    shown: Callable[[int], str]
    places: np.ndarray

    def name(self, row: int) -> str:
        """A row by its number in the file, and its item."""
        return f"row {self.places[row]} (item {self.item_ids[row].as_py()!r})"


def check_item_ids(item_ids: pa.Array) -> None:
    """Raise :class:`DataError` for no rows, or a row without an item."""
    if not len(item_ids):
        raise DataError("no rows; give at least one item")
    if item_ids.null_count:
        row = pc.index(item_ids.is_null(), True).as_py()
        raise DataError(f"row {row} has no item id; give every item an id")


def as_matrix(tokens: Tokens, words: Sequence[str], rows: Rows) -> np.ndarray:
    """``(rows, length)`` int32 codes.

    Args:
        tokens: of all rows.
        words: that stand before numbers.
        rows: to name them.

    Raises:
        DataError: a code is missing, negative, too large or no whole number, rows have different
            numbers of codes, or their tokens are in another order. The first such row is named.
    """
    empty = np.flatnonzero(tokens.lengths == 0)
    if len(empty):
        raise DataError(f"{rows.name(int(empty[0]))} has no codes; give every item a semantic ID")
    for what, is_wrong in _WRONG.items():
        wrong = np.flatnonzero(is_wrong(tokens.numbers))
        if len(wrong):
            row = int(np.searchsorted(np.cumsum(tokens.lengths), wrong[0], "right"))
            raise DataError(f"{rows.name(row)} has {rows.shown(row)}, {what}")
    _check_lengths(tokens.lengths, rows)
    shape = len(tokens.lengths), int(tokens.lengths[0])
    _check_words(tokens.words.reshape(shape), words, rows)
    return tokens.numbers.reshape(shape).astype(np.int32)


def _check_lengths(lengths: np.ndarray, rows: Rows) -> None:
    other = np.flatnonzero(lengths != lengths[0])
    if len(other):
        row = int(other[0])
        raise DataError(
            f"{rows.name(row)} has {lengths[row]} codes ({rows.shown(row)}) and {rows.name(0)} has "
            f"{lengths[0]}; give every item as many, 0 at a position that only some need"
        )


def _check_words(placed: np.ndarray, words: Sequence[str], rows: Rows) -> None:
    other = np.argwhere(placed != placed[0])
    if len(other):
        row, position = other[0].tolist()
        raise DataError(
            f"{rows.name(row)} has {rows.shown(row)}, with {words[placed[row, position]]!r} where "
            f"{rows.name(0)} has {words[placed[0, position]]!r}; give all items their positions in "
            "one order"
        )


def from_zero(codes: np.ndarray, first: Sequence[int], rows: Rows) -> np.ndarray:
    """Codes counted from 0 at every position.

    Args:
        codes: ``(rows, length)``.
        first: the number of the first code, one for each position or one for all.
        rows: to name them.

    Raises:
        DataError: another number of positions, or a code lies before the first.
    """
    starts = for_each_position(first, codes.shape[1], "--first-codes")
    counted: np.ndarray = codes - np.array(starts, np.int32)
    before = np.argwhere(counted < 0)
    if len(before):
        row, position = before[0].tolist()
        raise DataError(
            f"{rows.name(row)} has code {codes[row, position]} at position {position}, which is "
            f"before its first code {starts[position]}; mend --first-codes"
        )
    return counted


def check_sizes(codes: np.ndarray, sizes: Sequence[int], rows: Rows, remedy: str) -> None:
    """Raise :class:`DataError` for the first code that is outside its codebook.

    Args:
        codes: ``(rows, length)``.
        sizes: ``(length,)`` of the codebooks.
        rows: to name them.
        remedy: ends the message.
    """
    outside = np.argwhere(codes >= np.array(sizes))
    if len(outside):
        row, position = outside[0].tolist()
        raise DataError(
            f"{rows.name(row)} has code {codes[row, position]} at position {position}, outside its "
            f"codebook of {sizes[position]} (0 to {sizes[position] - 1}); {remedy}"
        )


def for_each_position(numbers: Sequence[int], length: int, option: str) -> list[int]:
    """One number for each position; a single one is for all of them."""
    if len(numbers) not in (1, length):
        raise DataError(
            f"{option} names {len(numbers)} positions and the IDs have {length}; give one number "
            "for each, or one for all"
        )
    return list(numbers) * (length if len(numbers) == 1 else 1)


def distinct(item_ids: pa.Array, codes: np.ndarray, rows: Rows) -> np.ndarray:
    """``(items,)`` row of each item, those left out that repeat an earlier one.

    Raises:
        DataError: an item comes twice with different codes.
    """
    number = item_ids.dictionary_encode().indices.to_numpy()
    first = np.full(int(number.max()) + 1, -1)
    first[number[::-1]] = np.arange(len(number))[::-1]
    again = np.flatnonzero(first[number] != np.arange(len(number)))
    other = again[(codes[again] != codes[first[number[again]]]).any(axis=1)]
    if len(other):
        row, before = int(other[0]), int(first[number[other[0]]])
        raise DataError(
            f"{rows.name(row)} has {rows.shown(row)}, and {rows.shown(before)} in row {before}; "
            "give every item one semantic ID"
        )
    return first


def looks_numbered_through(codes: np.ndarray) -> bool:
    """Whether the codes of each position begin after all of those of the position before.

    Of a few items they do by chance.
    """
    above = codes.min(axis=0)[1:] > codes.max(axis=0)[:-1]
    return len(codes) >= _MANY and len(above) > 0 and bool(above.all())
