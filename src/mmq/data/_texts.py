"""Values as text: titles, attributes and categories are what the file says, whatever its types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._item_ids import as_ids
from mmq.data._kinds import is_list
from mmq.errors import DataError


def as_text(column: pa.Array | pa.ChunkedArray, name: str = "values") -> pa.ChunkedArray:
    """A column as text, null where it is null or NaN.

    Numbers, dates and truth values are spelt as CSV writers of Python spell them (``1.0``,
    ``True``), so that a column is the same whether it comes typed or as text.

    Raises:
        DataError: it holds lists, objects, or bytes that are no text.

    >>> as_text(pa.array([1.5, None, 2.0])).to_pylist()
    ['1.5', None, '2.0']
    """
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    kind = chunked.type
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid":
        return as_ids(chunked)
    if pa.types.is_dictionary(kind):
        return as_text(chunked.cast(kind.value_type), name)
    if pa.types.is_boolean(kind):
        return pc.if_else(chunked, "True", "False")
    if pa.types.is_floating(kind):
        return _of_floats(chunked)
    if pa.types.is_null(kind):
        return chunked.cast(pa.string())
    if not pa.types.is_nested(kind):
        try:
            return chunked.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    raise DataError(
        f"the column '{name}' is of type {kind} and cannot be read as text; give one value a row, "
        "or leave it out"
    )


def as_texts(column: pa.ChunkedArray, name: str = "values") -> pa.ChunkedArray:
    """Like :func:`as_text`, and lists as lists of text without nulls and empty texts."""
    if not is_list(column.type):
        return as_text(column, name)
    kind = pa.list_(column.type.value_type)
    return pa.chunked_array(
        [_lists(piece.cast(kind), name) for piece in column.chunks], type=pa.list_(pa.string())
    )


SEPARATOR = "|"
"""What stands between several values of an item whose values are text, as in ``Action|Comedy``.

In a list of texts nothing separates, so that a value may hold anything.
"""


def values_of(entry: Any) -> set[str]:
    """The values of one item: an entry of :func:`as_texts`.

    >>> sorted(values_of("Action|Comedy")), values_of(["a|b"]), values_of(None)
    (['Action', 'Action|Comedy', 'Comedy'], {'a|b'}, set())
    """
    if entry is None:
        return set()
    if isinstance(entry, list):
        return set(map(str, entry))
    return {str(entry), *str(entry).split(SEPARATOR)}


def _lists(lists: pa.Array, name: str) -> pa.Array:
    words = as_text(lists.flatten(), name).combine_chunks()
    told = pc.fill_null(pc.greater(pc.binary_length(words), 0), False)
    rows = pc.list_parent_indices(lists).filter(told).to_numpy()
    lengths = np.bincount(rows, minlength=len(lists))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, words.filter(told), mask=lists.is_null())


def _of_floats(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    pieces = []
    for chunk in numbers.chunks:
        coded = chunk.dictionary_encode()  # to spell a number takes long, and many come again
        pieces.append(_spelt(coded.dictionary).take(coded.indices))
    return pa.chunked_array(pieces, type=pa.string())


def _spelt(numbers: pa.Array) -> pa.Array:
    known = pc.if_else(pc.is_nan(numbers), pa.scalar(None, numbers.type), numbers)
    if pa.types.is_float16(numbers.type):  # whose shortest decimal Arrow does not look for
        spelt = [None if each is None else str(np.float16(each)) for each in known.to_pylist()]
        texts = pa.array(spelt, pa.string())
    else:
        texts = known.cast(pa.string())
    exact = known.cast(pa.float64())
    whole = pc.fill_null(pc.equal(exact, pc.floor(exact)), False)
    if not pc.any(whole).as_py():
        return texts
    bare = pc.replace_substring_regex(texts.filter(whole), r"^(-?[0-9]+)$", r"\1.0")
    return pc.replace_with_mask(texts, whole, bare)
