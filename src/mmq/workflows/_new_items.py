"""Which items a verb takes for new, and what it says of them."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._interactions import Interactions
from mmq.data._item_ids import ItemIndex
from mmq.data._times import as_times
from mmq.errors import DataError, SettingsError
from mmq.recommenders import Recommender
from mmq.workflows._choice import Shown
from mmq.workflows._files import LogFile, ModelFolder

FIRST_SEEN = "first_seen"
"""Column of a catalogue: when an item came."""
_DAYS = 5
"""Digits that a number of days has at most; more are a date."""


def show_new_items(
    recommender: Recommender[Any],
    asked: ModelFolder,
    log: Interactions | LogFile | None,
    shown: Shown | None,
) -> None:
    """Make a recommender show new items as was asked for.

    Args:
        recommender: that :meth:`ModelFolder.recommender` gave.
        asked: the share, and since when items are new.
        log: whose first interaction with an item tells when it came, where ``shown`` does not.
        shown: a catalogue, perhaps with a column ``first_seen``.

    Raises:
        SettingsError: the share is not between 0 and 1, no item is new, ``new_since`` is no moment,
            or nothing tells when items came.
        DataError: the column ``first_seen`` cannot be read.
    """
    recent = None
    if asked.new_since is not None:
        recent = _recent(_arrivals(recommender.items.item_ids, log, shown), asked.new_since)
    recommender.show_new_items(asked.new_item_share, recent)


class _Arrivals(NamedTuple):
    """When items came.

    Attributes:
        moments: ``(items,)`` of each, null where unknown.
        newest: the last moment that catalogue or log tell of.
    """

    moments: pa.Array
    newest: pa.Scalar


def _arrivals(
    item_ids: pa.Array, log: Interactions | LogFile | None, shown: Shown | None
) -> _Arrivals:
    if shown is not None and FIRST_SEEN in shown.attributes.column_names:
        moments = _microseconds(as_times(shown.column(FIRST_SEEN, item_ids)))
        return _Arrivals(moments, pc.max(moments))
    events = log.read() if isinstance(log, LogFile) else log
    if events is None or not events.has_moments:
        raise SettingsError(
            "--new-since needs to know when items came; give a log with times (--interactions), or "
            f"a catalogue with a column {FIRST_SEEN} (--catalogue)"
        )
    first = np.full(len(events.items.ids), np.iinfo(np.int64).max)
    known = events.has_time
    np.minimum.at(first, events.items.codes[known], events.times[known])
    came = pa.array(first, mask=first == first.dtype.type(2**63 - 1))
    rows = ItemIndex(events.items.ids).find(item_ids)
    moments = came.cast(pa.timestamp(events.time_unit)).take(pa.array(rows, mask=rows < 0))
    return _Arrivals(_microseconds(moments), _microseconds(pc.max(events.table["timestamp"])))


def _microseconds(moments: Any) -> Any:
    return moments.cast(pa.timestamp("us"), safe=False)


def _recent(arrivals: _Arrivals, since: str) -> np.ndarray:
    """``(items,)`` bool: items that were first seen at ``since`` or after it."""
    if since.isascii() and since.isdigit() and len(since) <= _DAYS:
        days = pa.scalar(datetime.timedelta(days=int(since)), pa.duration("us"))
        start = pc.subtract(arrivals.newest, days)
    else:
        start = _moment(since)
    found: np.ndarray = pc.greater_equal(arrivals.moments, start).fill_null(False).to_numpy(False)
    return found


def _moment(since: str) -> pa.Scalar:
    try:
        return _microseconds(as_times(pa.array([since])))[0]
    except DataError:
        raise SettingsError(
            f"--new-since {since!r} is neither a date, such as 2026-11-01, nor a number of days"
        ) from None
