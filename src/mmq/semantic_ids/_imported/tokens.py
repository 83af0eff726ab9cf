"""Codes as others write them: numbers, tokens such as ``<a_12>``, and texts of several.

Millions of tokens are few different ones, as many as there are codewords: each is looked at once.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._kinds import is_list, is_text

MISSING, UNREADABLE = np.iinfo(np.int64).min, np.iinfo(np.int64).min + 1
"""What stands for a code that is null, and for one that is no whole number."""

_MARK = UNREADABLE + 1
_LARGEST = 2**62
_WORD = r"(?:(?![0-9+\-.])[^<>|]*(?:[A-Za-z]-|[^0-9<>|.+\-]))?"
_CODE = re.compile(rf"<?\|?(?P<word>{_WORD})(?P<number>-?[0-9]+)(?:\.0+)?\|?>?")
_MARKER = re.compile("<[^<>]*>")
_SEPARATORS = ("<", ",", ";", "|", ":", "/", " ", "-", "_")


class Tokens(NamedTuple):
    """Codes of some rows, one after the other.

    Attributes:
        numbers: ``(codes,)`` int64, :data:`MISSING` or :data:`UNREADABLE`.
        words: ``(codes,)`` int32 which word stands before each number, such as ``a_``.
        lengths: ``(rows,)`` int64 codes of each row.
    """

    numbers: np.ndarray
    words: np.ndarray
    lengths: np.ndarray


class TokenReader:
    """Reads codes piece by piece, and numbers the words that stand before them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def words(self) -> list[str]:
        """Words by their number in :class:`Tokens`."""
        return list(self._numbers)

    def lists(self, lists: pa.Array) -> Tokens:
        """Codes of rows that are lists; markers without a number, as of a start, are left out."""
        numbers, words = self._flat(lists.flatten())
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
        marks = numbers == _MARK
        if marks.any():
            rows = np.repeat(np.arange(len(lengths)), lengths)
            lengths = np.bincount(rows[~marks], minlength=len(lengths))
        return Tokens(numbers[~marks], words[~marks], lengths)

    def positions(self, columns: list[pa.Array]) -> Tokens:
        """Codes of rows that have one column for each position."""
        read = [self._flat(column) for column in columns]
        numbers, words = (np.stack(each, axis=1) for each in zip(*read, strict=True))
        numbers[numbers == _MARK] = UNREADABLE
        lengths = np.full(len(numbers), len(columns))
        return Tokens(numbers.reshape(-1), words.reshape(-1), lengths)

    def _flat(self, values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Number and word of each value."""
        whole = _whole_numbers(values)
        if whole is not None:
            numbers = pc.fill_null(whole, MISSING).to_numpy(zero_copy_only=False)
            return numbers.copy(), np.full(len(numbers), self._word(""), np.int32)
        coded = _as_text(values).dictionary_encode()
        read = [self._token(text) for text in coded.dictionary.to_pylist()]
        table = np.array([*read, (MISSING, self._word(""))], np.int64)
        numbers, words = table[pc.fill_null(coded.indices, len(read)).to_numpy()].T
        return numbers.copy(), words.astype(np.int32)

    def _token(self, text: str | None) -> tuple[int, int]:
        if not text or not text.strip():
            return MISSING, self._word("")
        match = _CODE.fullmatch(text.strip())
        if match is None:
            return (_MARK if _MARKER.fullmatch(text.strip()) else UNREADABLE), self._word("")
        number = min(int(match["number"]), _LARGEST) if len(match["number"]) < 20 else _LARGEST
        return number, self._word(match["word"])

    def _word(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers))


def find_separator(texts: pa.ChunkedArray) -> str:
    """What parts the codes in texts: "<" where they are tokens such as ``<a_12>``."""
    found: set[str] = set()
    for chunk in texts.chunks:
        bare = _bare(chunk)
        found |= {sign for sign in _SEPARATORS if pc.any(pc.match_substring(bare, sign)).as_py()}
    return next((sign for sign in _SEPARATORS if sign in found), " ")


def split_texts(texts: pa.Array, separator: str) -> pa.Array:
    """Lists of the codes in texts such as ``<a_12><b_5>``, ``12-5``, ``12, 5`` or ``[12 5]``.

    >>> split_texts(pa.array(["12-5", "0-7"]), "-").to_pylist()
    [['12', '5'], ['0', '7']]
    """
    texts = _bare(texts)
    if separator == "<":
        texts, separator = pc.replace_substring_regex(texts, r">[\s,;|\-]*<", ">\n<"), "\n"
    return pc.split_pattern(texts, separator)


def _bare(texts: pa.Array) -> pa.Array:
    """Texts without the brackets and quotation marks of a printed list, with single blanks."""
    for pattern in (r"[\[\](){}'\"]", r"\s\s+|[\t\r\n]"):
        if pc.any(pc.match_substring_regex(texts, pattern)).as_py():
            texts = pc.replace_substring_regex(texts, pattern, " ")
    return pc.utf8_trim_whitespace(texts)


def _whole_numbers(values: pa.Array) -> pa.Array | None:
    """Values as int64; None where they are no numbers, or not all of them are whole."""
    kind = values.type
    if pa.types.is_null(kind):
        return values.cast(pa.int64())
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _as_text(values: pa.Array) -> pa.Array:
    if is_list(values.type) or pa.types.is_struct(values.type):
        return pa.array([str(value) for value in values.to_pylist()])
    return values if is_text(values.type) else values.cast(pa.string())
