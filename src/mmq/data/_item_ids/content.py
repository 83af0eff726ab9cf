"""What ids are, as arrays that can be hashed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def content(item_ids: pa.Array) -> tuple[np.ndarray, ...]:
    """Arrays that are equal for equal ids: numbers, or the lengths and the bytes of texts.

    Of a slice of longer ids, and of text past 2 GiB (large_string), as well.
    """
    if pa.types.is_integer(item_ids.type):
        return (item_ids.to_numpy(),)
    _, offsets, text = item_ids.buffers()
    width = np.int64 if pa.types.is_large_string(item_ids.type) else np.int32
    ends = np.frombuffer(offsets, width)[item_ids.offset : item_ids.offset + len(item_ids) + 1]
    letters = np.frombuffer(text or b"", np.uint8)
    return np.diff(ends).astype(np.int32), letters[ends[0] : ends[-1]]
