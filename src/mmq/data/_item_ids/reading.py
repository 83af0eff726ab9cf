"""Ids of users and items: the one reader of them, for catalogues, logs and tables of IDs alike."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._kinds import cast_or_none, is_bytes, is_text
from mmq.errors import DataError

T = TypeVar("T", pa.Array, pa.ChunkedArray)

_EXACT = 2.0**53
"""Doubles from here on stand for several whole numbers."""
_SPELT = r"^(0|-?[1-9][0-9]*)(\.0)?$"
_MISSING = [None, "nan", "null", "none", "na", "n/a", "<na>"]
_OFFSETS = 2**31 - 1
"""Bytes of text that fit in one Arrow array of the type string."""


def as_item_ids(values: Any, what: str = "item ids") -> pa.Array:
    """Ids as one Arrow array of int64 or text; null stays null (and is refused later).

    See :func:`as_ids`. Text is of the type string, or large_string past 2 GiB.
    """
    return joined(as_ids(values, what))


def as_ids(values: Any, what: str = "item ids") -> pa.ChunkedArray:
    """Ids as int64 or text, in the pieces that they come in.

    Categories stand for their values. Decimals and doubles that are whole are the whole numbers;
    numbers beyond int64 are text of their digits. A UUID is text of its usual form, bytes are read
    as UTF-8 text.

    Args:
        values: an Arrow array or anything that makes one.
        what: what to call them in errors.

    Raises:
        DataError: they are something else, or doubles too large to tell neighbours apart.

    >>> as_ids(pa.array([7.0, None])).to_pylist()
    [7, None]
    >>> as_ids([2**63, 1]).to_pylist()
    ['9223372036854775808', '1']
    """
    chunked = _arrow(values, what)
    if isinstance(chunked.type, pa.BaseExtensionType):
        chunked = _of_extension(chunked)
    kind = chunked.type
    if pa.types.is_dictionary(kind):
        return as_ids(_values(chunked), what)
    if pa.types.is_integer(kind):
        return _whole(chunked)
    if pa.types.is_floating(kind):
        return _of_doubles(chunked, what)
    if pa.types.is_decimal(kind):
        return _of_decimals(chunked, what)
    if pa.types.is_null(kind) or len(chunked) == 0:
        return chunked.cast(pa.int64()) if pa.types.is_null(kind) else _empty(chunked)
    if is_bytes(kind):
        chunked = _of_bytes(chunked, what)
    if is_text(chunked.type):
        return as_string(chunked)
    raise DataError(f"{what} should be integers or strings, not {kind}")


def as_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """``texts`` as int64 if every one is a whole number without leading zeros, else as it is.

    Numbers that all end in ``.0`` are whole, as pandas writes them beside a missing one; what other
    tools write for a missing value (``NULL``, ``nan``) is null beside whole numbers alone.

    >>> as_numbers(pa.chunked_array([["7", None, "12"]])).type
    DataType(int64)
    >>> as_numbers(pa.chunked_array([["007", "12"]])).type
    DataType(string)
    """
    if texts.null_count == len(texts) or not pa.types.is_string(texts.type):
        return texts
    numbers = cast_or_none(texts, pa.int64())
    if numbers is None:
        return _of_spelt(texts)
    return texts if numbers.cast(pa.string()) != texts else numbers


def _of_spelt(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers that are spelt otherwise than Arrow reads them; other texts as they are."""
    for piece in (texts.slice(0, 64), texts):  # most often the first say that they are none
        known = piece.filter(pc.invert(pc.is_in(pc.utf8_lower(piece), pa.array(_MISSING))))
        if not len(known) or not pc.all(pc.match_substring_regex(known, _SPELT)).as_py():
            return texts
    dotted = pc.sum(pc.ends_with(known, ".0")).as_py()
    if dotted not in (0, len(known)):
        return texts
    missing = pc.is_in(pc.utf8_lower(texts), pa.array(_MISSING))
    whole = pc.replace_substring(texts, ".0", "") if dotted else texts
    found = cast_or_none(pc.if_else(missing, pa.scalar(None, pa.string()), whole), pa.int64())
    return texts if found is None else found


def joined(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of a column in pieces; text past 2 GiB becomes large_string."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_string(column.type) and column.nbytes > _OFFSETS:
        column = column.cast(pa.large_string())
    return column.combine_chunks()


def as_string(chunked: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text, or bytes of it, of the type string, in pieces that are small enough for that."""
    if pa.types.is_string(chunked.type):
        return chunked
    pieces = []
    for chunk in chunked.chunks:
        parts = chunk.nbytes // (_OFFSETS // 2) + 1
        size = max(1, -(-len(chunk) // parts))
        for start in range(0, len(chunk), size):
            piece = chunk.slice(start, size)
            if pa.types.is_large_binary(piece.type) or pa.types.is_binary_view(piece.type):
                piece = piece.cast(pa.binary())
            pieces.append(piece.cast(pa.string()))
    return pa.chunked_array(pieces, type=pa.string())


def same_type(columns: Sequence[T]) -> list[T]:
    """Ids of several files as one type: text where one of them is text, large where one is."""
    kinds = {each.type for each in columns}
    if len(kinds) <= 1:
        return list(columns)
    kind = pa.large_string() if pa.large_string() in kinds else pa.string()
    return [each.cast(kind) for each in columns]


def are_alike(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether ids of two types are both numbers or both text."""
    return bool(pa.types.is_integer(one) == pa.types.is_integer(other))


def end_to_end(arrays: Sequence[pa.Array]) -> pa.Array:
    """One array of several of ids; text past 2 GiB becomes large_string."""
    return joined(pa.chunked_array(same_type(arrays)))


def places(ids: pa.Array, among: pa.Array) -> np.ndarray:
    """``(ids,)`` int64 place of each id in ``among``, -1 where it is none of them.

    >>> places(pa.array(["7", "8"]), pa.array([6, 7])).tolist()
    [1, -1]
    """
    wanted, known = same_type([ids, among])
    found: np.ndarray = pc.index_in(wanted, value_set=known).fill_null(-1).to_numpy()
    return found.astype(np.int64)


def _arrow(values: Any, what: str) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values
    if not isinstance(values, pa.Array):
        try:
            values = pa.array(values)
        except OverflowError:
            values = pa.array([None if each is None else str(int(each)) for each in values])
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise DataError(f"{what} should be text that UTF-8 can hold ({error})") from None
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise DataError(f"{what} should be all integers or all strings, not a mix") from None
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _empty(chunked: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pa.types.is_string(chunked.type) or pa.types.is_large_string(chunked.type)
    return pa.chunked_array([pa.array([], pa.string() if text else pa.int64())])


def _values(chunked: pa.ChunkedArray) -> pa.ChunkedArray:
    """What the categories of a column stand for."""
    values = []
    for chunk in chunked.chunks:
        words = chunk.dictionary
        if pa.types.is_string(words.type):  # spelt out, they may pass 2 GiB
            words = words.cast(pa.large_string())
        values.append(words.take(chunk.indices))
    return pa.chunked_array(values) if values else chunked.cast(chunked.type.value_type)


def _of_extension(chunked: pa.ChunkedArray) -> pa.ChunkedArray:
    storage = pa.chunked_array(
        [each.storage for each in chunked.chunks], type=chunked.type.storage_type
    )
    if chunked.type.extension_name == "arrow.uuid":
        return _mapped(storage, _uuids)
    return storage


def _mapped(chunked: pa.ChunkedArray, texts_of: Any) -> pa.ChunkedArray:
    return pa.chunked_array([texts_of(each) for each in chunked.chunks], type=pa.string())


def _uuids(raw: pa.Array) -> pa.Array:
    texts = [None if each is None else str(uuid.UUID(bytes=each)) for each in raw.to_pylist()]
    return pa.array(texts, pa.string())


def _of_bytes(chunked: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    if pa.types.is_fixed_size_binary(chunked.type):
        chunked = chunked.cast(pa.binary())
    try:
        return as_string(chunked)
    except pa.ArrowInvalid:
        sizes = pc.unique(pc.binary_length(chunked).drop_null()).to_pylist()
        if sizes == [16]:
            return _mapped(chunked, _uuids)
        raise DataError(f"{what} are bytes that are no UTF-8 text; write them as text") from None


def without_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids with null where text is empty or white space alone, which is no id in any format."""
    if not pa.types.is_string(texts.type):
        return texts
    blank = pc.utf8_is_space(texts)
    if pc.min(pc.binary_length(texts)).as_py() == 0:
        blank = pc.or_(blank, pc.equal(pc.binary_length(texts), 0))
    if not pc.any(blank).as_py():
        return texts
    return pc.if_else(blank, pa.scalar(None, pa.string()), texts)


def _whole(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid:
        return numbers.cast(pa.string())


def _of_doubles(chunked: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    numbers = chunked.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if numbers.null_count == len(numbers):
        return pa.chunked_array([pa.nulls(len(numbers), pa.int64())])
    known = numbers.drop_null().to_numpy()
    with np.errstate(invalid="ignore"):
        if not (known == np.floor(known)).all() or not np.isfinite(known).all():
            raise DataError(f"{what} should be integers or strings, not {chunked.type}")
    exact = 2.0**24 if pa.types.is_float32(chunked.type) else _EXACT
    if np.abs(known).max() >= exact:
        raise DataError(
            f"{what} are of type {chunked.type} and reach {np.abs(known).max():.0f}, where that "
            "type cannot tell neighbours apart; write them as int64 or text"
        )
    return numbers.cast(pa.int64())


def _of_decimals(chunked: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    try:
        wide = pa.decimal256 if pa.types.is_decimal256(chunked.type) else pa.decimal128
        numbers = chunked.cast(wide(chunked.type.precision, 0))
    except pa.ArrowInvalid:
        raise DataError(f"{what} should be integers or strings, not {chunked.type}") from None
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid:
        return numbers.cast(pa.string())
