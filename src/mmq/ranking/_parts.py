"""The second reading of a log: ids become places, and times become histories.

A part as it is read is a dictionary of arrays with a row for each impression: ``users``, ``items``
and ``columns`` int32, ``labels`` uint8, ``numbers`` float32 and ``times`` int64, from 1 on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from mmq.data._cleaning import row_hashes
from mmq.data._item_ids import ItemIndex
from mmq.data._log import LogReader
from mmq.data._sequences import Packed, Sequences
from mmq.data._splits import TRAIN
from mmq.data._spool import Spool
from mmq.errors import DataError
from mmq.ranking._impressions import BLOCK, Impressions
from mmq.ranking._numbers import as_values, number_columns
from mmq.ranking._survey import PARTS, Survey

Rows: TypeAlias = dict[str, np.ndarray]


def read_parts(
    log: LogReader, known: Survey, spool: Spool, shuffled: bool
) -> tuple[list[Rows], np.ndarray | None]:
    """Read the log once more, into its parts; and times for the histories of the training part.

    The latter are None where they are the rows' own.

    Args:
        log: the log.
        known: what the first reading gave.
        spool: makes arrays.
        shuffled: whether rows come in the order of their hashes, not in that of the file.

    Raises:
        DataError: a part is empty, or its rows have a time in part only.
    """
    counts = _counts(known).tolist()
    parts = [_empty(count, known, spool, shuffled) for count in counts]
    filled, start, times = [0] * len(parts), 0, _times(known)
    for piece in _numbered(log, known, shuffled):
        rows = slice(start, start + len(piece["users"]))
        piece |= {"labels": known.labels[rows], "times": times[rows]}
        for number, part in enumerate(parts):
            mask = known.parts[rows] == number
            place = slice(filled[number], filled[number] + int(np.count_nonzero(mask)))
            for name, array in part.items():
                array[place] = piece[name][mask]
            filled[number] = place.stop
        start = rows.stop
    if shuffled:
        parts = [_by(part.pop("keys"), part, spool) for part in parts]
    drawn = _draw_times(parts[TRAIN])
    return parts, _dealt_times(parts[TRAIN]) if drawn else None


def with_histories(
    parts: Sequence[Rows], users: int, spool: Spool, dealt: np.ndarray | None = None
) -> Impressions:
    """The last of some parts; histories are the positives of all of them before each row.

    Args:
        parts: it, and those before.
        users: how many there are.
        spool: makes arrays.
        dealt: ``(rows,)`` times that histories end at, where these are not those of the rows.
    """
    *_, rows = parts
    span = max(int(part["times"].max()) for part in parts) + 1
    who, times, items = _positives(parts)
    keys = who.astype(np.int64) * span + times
    order = np.argsort(keys, kind="stable")
    keys, ends = keys[order], spool.empty(len(rows["users"]), np.int64)
    moments = rows["times"] if dealt is None else dealt
    for start in range(0, len(ends), BLOCK):
        block = slice(start, start + BLOCK)
        asked = rows["users"][block].astype(np.int64) * span + moments[block]
        ends[block] = np.searchsorted(keys, asked)
    positives = Sequences.of(Packed(items[order], np.bincount(who, minlength=users)))
    own = {name: array for name, array in rows.items() if name != "times"}
    return Impressions(**own, positives=positives, ends=ends, dealt=dealt is not None)


def _empty(count: int, known: Survey, spool: Spool, shuffled: bool) -> Rows:
    """A part to be filled; with the keys that its rows are sorted by, if they are."""
    further = known.vocabulary
    rows = {
        "users": spool.empty(count, np.int32),
        "items": spool.empty(count, np.int32),
        "labels": spool.empty(count, np.uint8),
        "columns": spool.empty((count, len(further.columns)), np.int32),
        "times": spool.empty(count, np.int64),
        "numbers": spool.empty((count, len(further.numbers)), np.float32),
    }
    return rows | ({"keys": np.empty(count, np.uint64)} if shuffled else {})


def _numbered(log: LogReader, known: Survey, hashed: bool) -> Iterator[Rows]:
    """The log as numbers, a piece at a time, without labels and times."""
    further = known.vocabulary
    users, items = ItemIndex(further.users), ItemIndex(further.items)
    values = {name: ItemIndex(each) for name, each in further.columns.items()}
    for piece, table in log:
        columns = [index.find(as_values(table[name], name)) for name, index in values.items()]
        rows = {
            "users": users.find(piece.user_ids),
            "items": items.find(piece.item_ids),
            "columns": np.stack(columns, 1) if columns else np.empty((len(piece), 0), np.int64),
            "numbers": number_columns(table, further.numbers, len(piece)),
        }
        yield rows | ({"keys": row_hashes(piece, table)} if hashed else {})


def _by(keys: np.ndarray, part: Rows, spool: Spool) -> Rows:
    """The rows in the order of ``keys`` ``(rows,)``."""
    order, found = np.argsort(keys, kind="stable"), {}
    for name, array in part.items():
        taken = spool.empty(array.shape, array.dtype)
        for start in range(0, len(order), BLOCK):
            taken[start : start + BLOCK] = array[order[start : start + BLOCK]]
        found[name] = taken
    return found


def _positives(parts: Sequence[Rows]) -> list[np.ndarray]:
    """Users, times and items of the positives of some parts."""
    masks = [part["labels"] == 1 for part in parts]
    return [
        np.concatenate([part[name][mask] for part, mask in zip(parts, masks, strict=True)])
        for name in ("users", "times", "items")
    ]


def _counts(known: Survey) -> np.ndarray:
    """``(parts,)`` rows of each part, none of them 0."""
    counts = np.bincount(known.parts, minlength=len(PARTS))
    for name, part in PARTS.items():
        if not counts[part]:
            raise DataError(
                f"the {name} part of the log is empty ({len(known.parts):,} rows in all); give a "
                "longer log, or a split column that names it"
            )
    return counts


def _times(known: Survey) -> np.ndarray:
    """``(rows,)`` int64 from 1 on; 0 for a training row without a time.

    A held-out part without times comes after all that is before it.
    """
    first, last = 0, 0
    if known.has_time.any():
        timed = known.times[known.has_time]
        first, last = int(timed.min()), int(timed.max())
    training = known.parts == TRAIN
    if not known.has_time[training].any():  # it is given times from 1 on, before all others
        first -= int(np.count_nonzero(training))
    latest = last - first + 1
    if (latest + 3) * len(known.vocabulary.users) >= 2**63:  # their order does as well
        return _times(known._replace(times=_places(known)))
    times = np.where(known.has_time, known.times - first + 1, 0)
    for name, part in PARTS.items():
        mask = (known.parts == part) & ~known.has_time
        if part == TRAIN or not mask.any():
            continue
        if (known.has_time & (known.parts == part)).any():
            raise DataError(
                f"{np.count_nonzero(mask):,} rows of the {name} part have no timestamp and others "
                "have, so the positives of their users before are not known; give all of them a "
                "time, or none"
            )
        times[mask] = latest + part
    return times


def _places(known: Survey) -> np.ndarray:
    """``(rows,)`` int64: of each time its place among the distinct ones; unknown as it was."""
    places = known.times.copy()
    places[known.has_time] = np.unique(known.times[known.has_time], return_inverse=True)[1]
    return places


def _draw_times(rows: Rows) -> bool:
    """Give each row without a time that of a random row of its user, or any where there is none.

    Whether there were such rows among others that have a time.

    A log may hold times for positives alone. Were the history of the other rows all positives of
    the user, it would tell their label; drawn so, it is as long as that of a positive.
    """
    rng = np.random.default_rng(0)
    timed = np.flatnonzero(rows["times"] > 0)
    untimed = np.flatnonzero(rows["times"] == 0)
    if not len(untimed):
        return False
    last = int(rows["times"].max()) if len(timed) else len(untimed)
    drawn = rng.integers(1, last + 1, len(untimed))
    if len(timed):
        timed = timed[np.argsort(rows["users"][timed], kind="stable")]
        users = rows["users"][timed]
        first = np.searchsorted(users, rows["users"][untimed])
        end = np.searchsorted(users, rows["users"][untimed], "right")
        place = first + (rng.random(len(untimed)) * (end - first)).astype(np.int64)
        have = end > first
        drawn[have] = rows["times"][timed[place[have]]]
    rows["times"][untimed] = drawn
    return len(timed) > 0


def _dealt_times(rows: Rows) -> np.ndarray:
    """``(rows,)`` times of each user's rows, dealt to these rows at random.

    What users do comes in sessions of things alike. A row with its own time follows what is like
    it, one with a drawn time does not: where the times of one label were drawn, a history would
    tell the label, in training alone. So all rows of the training part are asked at drawn times.
    """
    order = np.lexsort((np.random.default_rng(1).random(len(rows["users"])), rows["users"]))
    of_users = np.argsort(rows["users"], kind="stable")
    dealt = np.empty_like(rows["times"])
    dealt[of_users] = rows["times"][order]
    return dealt
