"""Hashes of rows that depend on what is in them, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._kinds import is_text

FNV32 = np.uint32(0x811C9DC5), np.uint32(0x01000193)
"""Offset basis and prime of FNV-1a with 32 bits."""
_FNV64 = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_BLOCK = 1 << 16  # texts at a time: their hashes stay in the cache


def text_hashes(values: pa.Array) -> np.ndarray:
    """``(values,)`` uint64; equal for a number and the text of it. FNV-1a, then mixed."""
    return mixed([fnv1a(values, *_FNV64)])


def fnv1a(values: pa.Array, start: np.unsignedinteger, prime: np.unsignedinteger) -> np.ndarray:
    """``(values,)`` FNV-1a of the UTF-8 of each value, in the type of ``start``; null is "".

    Args:
        values: texts, or numbers as they are written.
        start: the offset basis, or the hash of what stands before each value.
        prime: of FNV, for as many bits.
    """
    texts = values if is_text(values.type) else values.cast(pa.string())
    raw = pc.fill_null(texts.cast(pa.large_binary()), b"")
    blocks = [_fnv1a(raw[at : at + _BLOCK], start, prime) for at in range(0, len(raw), _BLOCK)]
    return np.concatenate([np.empty(0, start.dtype), *blocks])


def _fnv1a(raw: pa.Array, start: np.unsignedinteger, prime: np.unsignedinteger) -> np.ndarray:
    """Letter by letter over all texts; the longest stand first, so that those left are a prefix."""
    offsets = np.frombuffer(raw.buffers()[1], np.int64)[raw.offset : raw.offset + len(raw) + 1]
    letters = np.frombuffer(raw.buffers()[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    begins, lengths = offsets[order], lengths[order]
    states = np.full(len(raw), start)
    for place in range(int(lengths.max(initial=0))):
        left = int(np.searchsorted(-lengths, -place, "left"))
        states[:left] ^= letters[begins[:left] + place]
        states[:left] *= prime
    found = np.empty_like(states)
    found[order] = states
    return found


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
