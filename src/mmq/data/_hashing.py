"""Hashes of rows that depend on what is in them, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._kinds import is_text

_PRIME, _START = np.uint64(0x100000001B3), np.uint64(0xCBF29CE484222325)


def text_hashes(values: pa.Array) -> np.ndarray:
    """``(values,)`` uint64; equal for a number and the text of it. FNV-1a, then mixed."""
    texts = values if is_text(values.type) else values.cast(pa.string())
    raw = pc.fill_null(texts.cast(pa.large_binary()), b"")
    offsets = np.frombuffer(raw.buffers()[1], np.int64)[raw.offset : raw.offset + len(raw) + 1]
    letters = np.frombuffer(raw.buffers()[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    found = np.full(len(raw), _START)
    longest_first = np.argsort(-lengths, kind="stable")
    places = np.arange(1, lengths.max(initial=0) + 1)
    left = np.searchsorted(-lengths[longest_first], -places, "right")
    for place, count in enumerate(left.tolist()):
        rows = longest_first[:count]
        found[rows] = (found[rows] ^ letters[offsets[rows] + place]) * _PRIME
    return mixed([found])


def mixed(columns: Sequence[np.ndarray]) -> np.ndarray:
    """``(rows,)`` uint64 of several columns of integers, by the finaliser of splitmix64."""
    found = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        found = (found + column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


def repeated(hashes: np.ndarray) -> np.ndarray:
    """``(rows,)`` bool: rows whose hash an earlier row has."""
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    found = np.zeros(len(hashes), bool)
    if not len(twice):
        return found
    rows = np.flatnonzero(np.isin(hashes, twice))
    order = rows[np.argsort(hashes[rows], kind="stable")]
    same = hashes[order[1:]] == hashes[order[:-1]]
    found[order[1:][same]] = True
    return found
