"""What may be done to a log before it is divided: rows that come twice, unknown items, ties."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._hashing import mixed, repeated, text_hashes
from mmq.data._interactions import Interactions
from mmq.data._item_ids import joined, same_type
from mmq.data._splits import TEST
from mmq.data._texts import as_text
from mmq.data._times import nanoseconds
from mmq.errors import DataError
from mmq.settings import Settings


class LogSettings(Settings):
    """Which rows of a log count, and as what."""

    positive_above: float = 3.0
    """Ratings above it are positives. Retrieval counts what has label 1 as well, and logs without
    ratings and labels whole; ranking takes a label, where there is one, alone."""
    ties: Literal["file", "shuffled"] = "file"
    """Order of what happened at one moment: that of the log's rows, or one that a hash of the rows
    gives, whatever their order is."""
    dedupe: bool = False
    """Whether rows that an earlier one equals in all columns are left out."""
    drop_unknown: bool = False
    """Whether rows with other items than those that have a semantic ID, or that may be recommended,
    are left out, in place of an error."""


_BLOCK = 1 << 20
"""Rows that are hashed at a time."""

MANY_TIES = 0.05
"""Share of held-out items from which on their ties of time are worth a warning."""


def repeated_rows(log: Interactions) -> np.ndarray:
    """``(interactions,)`` bool: rows that an earlier one equals in all columns."""
    starts = range(0, len(log), _BLOCK)
    pieces = (Interactions(log.table.slice(start, _BLOCK)) for start in starts)
    return repeated(np.concatenate([row_hashes(piece) for piece in pieces]))


def row_hashes(log: Interactions, further: pa.Table | None = None) -> np.ndarray:
    """``(interactions,)`` uint64 of all columns, whatever their types and the rows around.

    Args:
        log: the log.
        further: other columns of the same rows.
    """
    users, items = (text_hashes(coded.ids)[coded.codes] for coded in (log.users, log.items))
    columns = [users, items, nanoseconds(joined(log.table.column("timestamp")))]
    for name in log.table.column_names[3:]:
        coded = joined(log.table.column(name)).dictionary_encode()
        words = text_hashes(pc.fill_null(coded.dictionary.cast(pa.string()), ""))
        codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
        columns.append(np.append(words, np.uint64(0))[codes])
    own = mixed(columns)
    if further is None:
        return own
    texts = [joined(as_text(further.column(name), name)) for name in further.column_names]
    return mixed([own, *(text_hashes(pc.fill_null(each, "")) for each in texts)])


def with_items(log: Interactions, item_ids: pa.Array, strict: bool = True) -> np.ndarray:
    """``(interactions,)`` bool: rows whose item is among some ids, be they text or numbers.

    Args:
        log: the log.
        item_ids: the ids.
        strict: whether there has to be one.

    Raises:
        DataError: there is none.
    """
    ids = log.items.ids
    ids, item_ids = same_type([ids, item_ids])
    known = pc.is_in(ids, value_set=item_ids).to_numpy(zero_copy_only=False)
    if strict and not known.any():
        raise DataError(
            f"none of the {len(known):,} items of the log is known, such as {ids[0].as_py()!r}; "
            "give the log and the items of one catalogue"
        )
    mask: np.ndarray = np.asarray(known)[log.items.codes]
    return mask


def shuffled(log: Interactions) -> Interactions:
    """The rows in an order that a hash of user, item and time gives.

    So what happened at one moment is in a random order, which is the same however the rows of the
    log were ordered, and whatever type its columns have.
    """
    users, items = (text_hashes(coded.ids)[coded.codes] for coded in (log.users, log.items))
    keys = mixed([users, items, nanoseconds(joined(log.table.column("timestamp")))])
    others = [_ranks(log.table.column(name)) for name in log.table.column_names[3:]]
    order = np.lexsort((*others, keys))
    return Interactions(log.table.take(pa.array(order)))


def tied_users(log: Interactions, part: np.ndarray) -> tuple[int, int]:
    """Users with a held-out item of the test part that has the time of the user's item before it.

    The order of such items is the file's, and not known to be that of the events.

    Args:
        log: the log.
        part: ``(interactions,)`` of each; see :mod:`mmq.data._splits`.

    Returns:
        How many there are, and of how many users with a held-out item.
    """
    order = log.user_order()
    users, times = log.users.codes[order], log.times[order]
    held = np.flatnonzero(part[order] == TEST)
    before = held[held > 0]
    same = (users[before] == users[before - 1]) & (times[before] == times[before - 1])
    return len(np.unique(users[before[same]])), len(np.unique(users[held]))


def _ranks(column: pa.ChunkedArray) -> np.ndarray:
    """``(rows,)`` int: places of the values in their order."""
    values = joined(column)
    encoded = values.dictionary_encode()
    place = np.empty(len(encoded.dictionary) + 1, np.int64)
    place[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
    place[-1] = -1
    codes = pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    found: np.ndarray = place[codes]
    return found
