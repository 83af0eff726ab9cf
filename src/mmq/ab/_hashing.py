"""Where a user falls between 0 and 1: the hashes of GrowthBook's SDKs, for one and for millions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmq.data._hashing import FNV32, fnv1a

_START, _PRIME = map(int, FNV32)
_BITS = 0xFFFFFFFF
BUCKETS = 10_000
"""Values that version 2 of the hash takes."""
_BUCKETS_BEFORE = 1000


def fnv1a32(text: str, start: int = _START) -> int:
    """FNV-1a of the UTF-8 of a text with 32 bits, from the hash of what stands before it.

    >>> fnv1a32("b", fnv1a32("a")) == fnv1a32("ab")
    True
    """
    state = start
    for letter in text.encode():
        state = (state ^ letter) * _PRIME & _BITS
    return state


def position(seed: str, user: str) -> float:
    """A user's place in [0, 1): version 2 of GrowthBook's hash, in steps of 1/10,000.

    ``fnv1a32(str(fnv1a32(seed + user))) % 10000 / 10000``. Other SDKs agree on text of ASCII; some
    of them read other letters as UTF-16.

    >>> position("seed", "a")
    0.0505
    """
    return fnv1a32(str(fnv1a32(seed + user))) % BUCKETS / BUCKETS


def positions(seed: str, users: pa.Array) -> np.ndarray:
    """``(users,)`` float64: :func:`position` of each."""
    first = fnv1a(users, np.uint32(fnv1a32(seed)), FNV32[1])
    return fnv1a(pa.array(first), *FNV32) % BUCKETS / BUCKETS


def layer_position(layer: str, user: str) -> float:
    """A user's place in a layer: version 1 of the hash, as GrowthBook's namespaces have it.

    ``fnv1a32(user + "__" + layer) % 1000 / 1000``
    """
    return fnv1a32(f"{user}__{layer}") % _BUCKETS_BEFORE / _BUCKETS_BEFORE


def layer_positions(layer: str, users: pa.Array) -> np.ndarray:
    """``(users,)`` float64: :func:`layer_position` of each."""
    states = fnv1a(users, *FNV32)
    for letter in f"__{layer}".encode():
        states = (states ^ np.uint32(letter)) * FNV32[1]
    return states % _BUCKETS_BEFORE / _BUCKETS_BEFORE
