"""Item ids of a catalogue in parts: none may be in two of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mmq.data._hashing import text_hashes
from mmq.data._parquet import CatalogueFile
from mmq.errors import DataError


def check_part_ids(parts: Mapping[str, CatalogueFile]) -> None:
    """Raise :class:`DataError` for no items, a null id, or an id that occurs twice.

    It keeps 8 bytes an item: the number, or a hash of the text.

    Args:
        parts: name -> file.
    """
    keys = {name: _keys(_ids(name, part)) for name, part in parts.items()}
    ordered = np.sort(np.concatenate(list(keys.values())))
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return
    seen: dict[object, str] = {}
    for name, own in keys.items():
        rows = np.flatnonzero(np.isin(own, twice))
        for item in _ids(name, parts[name]).take(pa.array(rows)).to_pylist():
            if item in seen:  # else two texts have one hash
                raise DataError(
                    f"item id {item!r} is in {seen[item]} and in {name}; every item needs an id of "
                    "its own, drop the duplicates"
                )
            seen[item] = name


def _ids(name: str, part: CatalogueFile) -> pa.Array:
    try:
        return part.item_ids()
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _keys(ids: pa.Array) -> np.ndarray:
    numbers: np.ndarray = ids.to_numpy() if pa.types.is_integer(ids.type) else text_hashes(ids)
    return numbers
