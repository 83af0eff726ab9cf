"""The second reading of a log: ids become places, and times become histories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mmq.data.item_ids import ItemIndex
from mmq.data.splits import TRAIN
from mmq.data.spool import Spool
from mmq.errors import DataError
from mmq.ranking.impressions import BLOCK, Impressions, Positives
from mmq.ranking.log import Pieces, hashes_of
from mmq.ranking.numbers import number_columns
from mmq.ranking.survey import PARTS, Survey, as_values


class Rows(NamedTuple):
    """A part of the log as it was read.

    Attributes:
        users: ``(rows,)`` int32 place in the users of the log.
        items: ``(rows,)`` int32.
        labels: ``(rows,)`` uint8.
        columns: ``(rows, c)`` int32.
        times: ``(rows,)`` int64, from 1 on.
        numbers: ``(rows, numeric columns)`` float32.
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray
    columns: np.ndarray
    times: np.ndarray
    numbers: np.ndarray

    def by(self, keys: np.ndarray, spool: Spool) -> Rows:
        """The rows in the order of ``keys`` ``(rows,)``."""
        order, found = np.argsort(keys, kind="stable"), []
        for array in self:
            taken = spool.empty(array.shape, array.dtype)
            for start in range(0, len(order), BLOCK):
                taken[start : start + BLOCK] = array[order[start : start + BLOCK]]
            found.append(taken)
        return Rows(*found)

    def impressions(
        self, positives: Positives, spool: Spool, dealt: np.ndarray | None = None
    ) -> Impressions:
        """The rows with their histories, which lie in ``positives``.

        Args:
            positives: of the users, by time.
            spool: makes arrays.
            dealt: ``(rows,)`` times that histories end at, where these are not those of the rows.
        """
        ends = spool.empty(len(self.users), np.int64)
        moments = self.times if dealt is None else dealt
        positives = positives._replace(dealt=dealt is not None)
        for start in range(0, len(ends), BLOCK):
            block = slice(start, start + BLOCK)
            keys = self.users[block].astype(np.int64) * positives.span + moments[block]
            ends[block] = np.searchsorted(positives.keys, keys)
        return Impressions(
            self.users, self.items, self.labels, self.columns, positives, ends, self.numbers
        )


def read_parts(
    pieces: Pieces, known: Survey, spool: Spool, shuffled: bool
) -> tuple[list[Rows], np.ndarray | None]:
    """Read the log once more, into its parts; and times for the histories of the training part.

    The latter are None where they are the rows' own.

    Args:
        pieces: the log.
        known: what the first reading gave.
        spool: makes arrays.
        shuffled: whether rows come in the order of their hashes, not in that of the file.

    Raises:
        DataError: a part is empty, or its rows have a time in part only.
    """
    counts = _counts(known)
    parts = [
        Rows(
            spool.empty(count, np.int32),
            spool.empty(count, np.int32),
            spool.empty(count, np.uint8),
            spool.empty((count, len(known.values)), np.int32),
            spool.empty(count, np.int64),
            spool.empty((count, len(known.numeric)), np.float32),
        )
        for count in counts.tolist()
    ]
    times = _times(known)
    keys = [np.empty(count if shuffled else 0, np.uint64) for count in counts.tolist()]
    filled, start = [0] * len(parts), 0
    for piece in _numbers(pieces, known, shuffled):
        rows = slice(start, start + len(piece.users))
        given = (*piece[:2], known.labels[rows], piece.columns, times[rows], piece.numbers)
        for number, part in enumerate(parts):
            mask = known.parts[rows] == number
            place = slice(filled[number], filled[number] + int(np.count_nonzero(mask)))
            for array, values in zip(part, given, strict=True):
                array[place] = values[mask]
            if shuffled:
                keys[number][place] = piece.keys[mask]
            filled[number] = place.stop
        start = rows.stop
    if shuffled:
        parts = [rows.by(key, spool) for rows, key in zip(parts, keys, strict=True)]
    drawn = _draw_times(parts[TRAIN])
    return parts, _dealt_times(parts[TRAIN]) if drawn else None


class _Numbers(NamedTuple):
    """A piece of a log as numbers: places in what :func:`survey` found.

    Attributes:
        users: ``(rows,)`` int64.
        items: ``(rows,)`` int64.
        columns: ``(rows, c)`` int64.
        numbers: ``(rows, numeric columns)`` float32.
        keys: ``(rows,)`` uint64 hashes; none where they are not asked for.
    """

    users: np.ndarray
    items: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray
    keys: np.ndarray


def _numbers(pieces: Pieces, known: Survey, hashed: bool) -> Iterator[_Numbers]:
    """Read the log once more, as numbers."""
    users, items = ItemIndex(known.user_ids), ItemIndex(known.item_ids)
    values = {name: ItemIndex(each) for name, each in known.values.items()}
    for log, further in pieces:
        columns = [
            index.find(as_values(further.column(name), name)) for name, index in values.items()
        ]
        shape = (len(log), len(columns))
        stacked = np.stack(columns, 1) if columns else np.empty(shape, np.int64)
        numbers = number_columns(further, known.numeric)
        keys = hashes_of(log, further) if hashed else np.empty(0, np.uint64)
        yield _Numbers(users.find(log.user_ids), items.find(log.item_ids), stacked, numbers, keys)


def positives_of(parts: Sequence[Rows], users: int) -> Positives:
    """The positives of so many users in these parts, by time."""
    masks = [part.labels == 1 for part in parts]
    who, times, items = (
        np.concatenate([each[mask] for each, mask in zip(arrays, masks, strict=True)])
        for arrays in zip(*((part.users, part.times, part.items) for part in parts), strict=True)
    )
    span = max(int(part.times.max()) for part in parts) + 1
    keys = who.astype(np.int64) * span + times
    order = np.argsort(keys, kind="stable")
    starts = np.zeros(users + 1, np.int64)
    np.cumsum(np.bincount(who, minlength=users), out=starts[1:])
    return Positives(items[order], starts, keys[order], span)


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
    if (latest + 3) * len(known.user_ids) >= 2**63:  # their order does as well
        return _times(known._replace(times=_places(known)))
    times = np.where(known.has_time, known.times - first + 1, 0)
    for name, part in PARTS.items():
        mask = (known.parts == part) & ~known.has_time
        if part == TRAIN or not mask.any():
            continue
        if (known.has_time & (known.parts == part)).any():
            raise DataError(
                f"{np.count_nonzero(mask):,} rows of the {name} part have no timestamp and others "
                "have, so what their users liked before is not known; give all of them a time, or "
                "none"
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

    A log may hold times for what was liked alone. Were the history of the other rows all that the
    user ever liked, it would tell their label; drawn so, it is as long as that of a liked row.
    """
    rng = np.random.default_rng(0)
    timed = np.flatnonzero(rows.times > 0)
    untimed = np.flatnonzero(rows.times == 0)
    if not len(untimed):
        return False
    last = int(rows.times.max()) if len(timed) else len(untimed)
    drawn = rng.integers(1, last + 1, len(untimed))
    if len(timed):
        timed = timed[np.argsort(rows.users[timed], kind="stable")]
        users = rows.users[timed]
        first = np.searchsorted(users, rows.users[untimed])
        end = np.searchsorted(users, rows.users[untimed], "right")
        place = first + (rng.random(len(untimed)) * (end - first)).astype(np.int64)
        have = end > first
        drawn[have] = rows.times[timed[place[have]]]
    rows.times[untimed] = drawn
    return len(timed) > 0


def _dealt_times(rows: Rows) -> np.ndarray:
    """``(rows,)`` times of each user's rows, dealt to these rows at random.

    What users do comes in sessions of things alike. A row with its own time follows what is like
    it, one with a drawn time does not: where the times of one label were drawn, a history would
    tell the label, in training alone. So all rows of the training part are asked at drawn times.
    """
    order = np.lexsort((np.random.default_rng(1).random(len(rows.users)), rows.users))
    of_users = np.argsort(rows.users, kind="stable")
    dealt = np.empty_like(rows.times)
    dealt[of_users] = rows.times[order]
    return dealt
