"""What quotation marks, backslashes and line breaks mean in a file of delimited text.

Arrow parses RFC 4180: a value in quotation marks may hold anything, a mark in it is doubled. What
others write differently is told apart by reading the file strictly in either way, and brought to
that form: characters that Arrow would take for something else wait under a name of their own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.errors import FormatError

_BLOCK, _PIECE = 1 << 24, 1 << 18  # a piece fits in a cache
_MARK, _BACKSLASH, _RETURN, _FEED = b'"', b"\\", b"\r", b"\n"
_PAD = 0
_HIDDEN = {
    "\r": "\x02mmq-return\x03",
    "\n": "\x02mmq-feed\x03",
    '"': "\x02mmq-mark\x03",
    ",": "\x02mmq-comma\x03",
    "\t": "\x02mmq-tab\x03",
    ";": "\x02mmq-semicolon\x03",
    "|": "\x02mmq-bar\x03",
}


class Signs(NamedTuple):
    """What a first look at a file finds.

    Attributes:
        marks: how many quotation marks there are.
        odd: whether one stands where RFC 4180 has none, or a backslash before one, before a
            delimiter or before a line feed.
        returns: whether a carriage return stands alone though line feeds end the lines.
        told: whether marks stand within values that have none around them, each behind a
            backslash: who doubles marks would have put some around such a value.
    """

    marks: int
    odd: bool
    returns: bool
    told: bool


def look(data: np.ndarray, delimiter: str) -> Signs:
    """The signs of ``data`` ``(bytes,)`` uint8, read once in bounded memory."""
    marks, odd, alone, feeds = 0, False, False, False
    escaped = bare = False
    for letters in _blocks(data):
        feed, returns, mark = letters == _FEED[0], letters == _RETURN[0], letters == _MARK[0]
        slash = letters == _BACKSLASH[0]
        marks += int(np.count_nonzero(mark[:_PIECE]))
        feeds = feeds or bool(feed.any())
        alone = alone or bool((returns[:-1] & ~feed[1:]).any())
        if bare or not (slash.any() or mark.any()):
            continue
        parts = letters == ord(delimiter)
        odd = odd or bool((slash[:-1] & (mark | parts | feed)[1:]).any())
        stray = _stray(mark, parts | feed | returns | (letters == _PAD))
        escaped = escaped or bool((stray & slash[:-2]).any())
        bare = bare or bool((stray & ~slash[:-2]).any())
        odd = odd or escaped or bare
    return Signs(marks, odd, alone and feeds, escaped and not bare)


def lone_returns(data: np.ndarray) -> bool:
    """Whether a carriage return stands alone though line feeds end the lines."""
    alone = feeds = False
    for letters in _blocks(data):
        returns, feed = letters == _RETURN[0], letters == _FEED[0]
        alone = alone or bool((returns[:-1] & ~feed[1:]).any())
        feeds = feeds or bool(feed.any())
    return alone and feeds


def _blocks(data: np.ndarray) -> Iterator[np.ndarray]:
    """Pieces of a file, each with the two letters that come after it."""
    for start in range(0, len(data), _PIECE):
        letters = data[start : start + _PIECE + 2]
        missing = min(start + _PIECE, len(data)) - start + 2 - len(letters)
        yield np.append(letters, np.full(missing, _PAD, np.uint8)) if missing else letters


def is_escaped(data: np.ndarray, delimiter: str, path: object, told: bool) -> bool:
    """Whether a backslash, not a second mark, stands before a quotation mark within a value.

    Args:
        data: the file.
        delimiter: between values.
        path: of the file, for errors.
        told: see :class:`Signs`.

    Raises:
        FormatError: the file is neither of the two; the line is named.
    """
    plain = first_fault(data, delimiter, None)
    if plain is None:
        return told and first_fault(data, delimiter, "\\") is None
    if first_fault(data, delimiter, "\\") is None:
        return True
    raise FormatError(f"{path} line {plain.line} {plain.what}")


class Fault(NamedTuple):
    """Where a file breaks its own rules.

    Attributes:
        line: number of it, from 1.
        what: the rest of the sentence.
    """

    line: int
    what: str


def first_fault(data: np.ndarray, delimiter: str, escape: str | None) -> Fault | None:
    """Where a file is not strictly delimited text; None if it is.

    Args:
        data: the file.
        delimiter: between values.
        escape: what stands before a mark within a value; None where marks are doubled.
    """
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines(data), delimiter=delimiter, escapechar=escape, strict=True)
    line, width = 1, None
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                return Fault(
                    line,
                    f"has {len(row)} values, the header has {width}; the file is truncated or "
                    "damaged there",
                )
            line = reader.line_num + 1
    except UnicodeDecodeError:
        return Fault(line, "or soon after holds text that is not UTF-8; save it as UTF-8 CSV")
    except csv.Error as error:
        if "unexpected end" in str(error):
            return Fault(line, "opens a quoted value that the file ends inside of; make it again")
        return Fault(
            line,
            "holds a quotation mark that is neither at the end of its value nor doubled; write "
            'it as "" and the whole value in quotation marks',
        )
    return None


def lines(data: np.ndarray, errors: str = "strict") -> Iterator[str]:
    """Lines that end in a line feed, whatever else others take for the end of one.

    A file without any has lines that end in carriage returns.
    """
    start = data[: 1 << 20].tobytes()
    feeds = _FEED in start or _RETURN not in start
    raw = io.BufferedReader(_Bytes(data), _BLOCK)
    text = io.TextIOWrapper(raw, "utf-8-sig", errors, newline="\n" if feeds else "")
    for line in text:
        yield re.sub(r"\r(?!\n)", " ", line) if feeds and "\r" in line else line


class _Bytes(io.RawIOBase):
    """An array of bytes as a file."""

    def __init__(self, data: np.ndarray) -> None:
        self._data, self._place = data, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` with what comes next."""
        piece = self._data[self._place : self._place + len(buffer)].tobytes()
        buffer[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)


def hidden(data: bytes, escaped: bool) -> bytes:
    """The file in the form that Arrow reads; :func:`shown` brings its values back.

    Args:
        data: the whole file.
        escaped: whether backslashes escape.
    """
    if escaped:
        data = _without_escapes(data)
    if _FEED in data:
        data = re.sub(rb"\r(?!\n)", _HIDDEN["\r"].encode(), data)
    return data


def shown(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values as they were, in a column of what :func:`hidden` gave."""
    for sign, name in _HIDDEN.items():
        texts = pc.replace_substring(texts, name, sign)
    return texts


def _without_escapes(data: bytes) -> bytes:
    """Escapes undone. Some writers put a backslash before marks alone, others before backslashes
    as well: where one stands before anything else, it is of the former and stays."""
    names = {sign.encode(): name.encode() for sign, name in _HIDDEN.items()} | {b"\\": b"\\"}
    if re.search(rb'(?:^|[^\\])(?:\\\\)*\\[^\\"\r\n,;|\tN]', data) is None:
        return re.sub(
            rb"\\([^N])", lambda found: names.get(found[1], found[1]), data, flags=re.DOTALL
        )

    def mark(found: re.Match[bytes]) -> bytes:
        slashes = len(found[1])
        return b"\\" * (slashes // 2) + (names[_MARK] if slashes % 2 else _MARK)

    return re.sub(rb'(\\+)"', mark, data)


def _stray(mark: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Marks that have something other than a mark, a delimiter or a line end on both sides.

    Args:
        mark: ``(letters,)`` bool: where marks stand; one at either end counts with its neighbours.
        ends: ``(letters,)`` bool: where delimiters and line ends do.

    Returns:
        ``(letters - 2,)`` bool, of all letters but the first and the last.
    """
    inner = ~(mark | ends)
    found: np.ndarray = mark[1:-1] & inner[:-2] & inner[2:]
    return found
