"""What an experiment leaves behind: exposures and events, and their form in Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from mmq._artifacts import write_file
from mmq.errors import DataError

Id: TypeAlias = int | str
Kind = Literal["click", "order"]
KINDS = ("click", "order")

TIME = pa.timestamp("us", "UTC")
_EXPOSURES = {"time": TIME, "experiment": pa.string(), "arm": pa.string(), "release": pa.string()}
_LISTS = {"scores": pa.list_(pa.float64()), "propensity": pa.list_(pa.float64())}
EXPOSURE_COLUMNS = ("event_id", "user_id", *_EXPOSURES, "slate", *_LISTS)
EVENT_COLUMNS = ("event_id", "user_id", "item_id", "time", "kind", "value")


class Exposure(NamedTuple):
    """A slate that a user of an experiment was shown; a row of exposures. A tester leaves none.

    Attributes:
        event_id: told once; a row that repeats it is not counted.
        user_id: who saw it.
        time: when, with a time zone.
        experiment: its name.
        arm: its name.
        release: that made the slate.
        slate: the items, in order.
        scores: of each item.
        propensity: probability of each item in its place, given those before it, where the slate
            was drawn at random; None where it was not.
    """

    event_id: str
    user_id: Id
    time: datetime
    experiment: str
    arm: str
    release: str
    slate: Sequence[Id] = ()
    scores: Sequence[float] = ()
    propensity: Sequence[float] | None = None


class Event(NamedTuple):
    """Something a user did; a row of events.

    Attributes:
        event_id: told once; a row that repeats it is not counted.
        user_id: who did it.
        item_id: with which item; None for an order of no single one.
        time: when, with a time zone.
        kind: ``click`` or ``order``.
        value: of an order, in the shop's currency; of a click None.
    """

    event_id: str
    user_id: Id
    item_id: Id | None
    time: datetime
    kind: Kind
    value: float | None = None


def exposure_table(exposures: Sequence[Exposure]) -> pa.Table:
    """A table of exposures; ids are int64 where all are whole numbers, else text.

    Raises:
        DataError: a time has no zone, or a slate has not a score or a propensity for each item.
    """
    for each in exposures:
        _check_time(each.event_id, each.time)
        for name, values in (("scores", each.scores), ("propensity", each.propensity or ())):
            if len(values) not in (0, len(each.slate)):
                raise DataError(
                    f"exposure {each.event_id} shows {len(each.slate)} items and has {len(values)} "
                    f"{name}; give one for each item"
                )
    items = _id_type([item for each in exposures for item in each.slate])
    return _table(exposures, Exposure, {**_EXPOSURES, "slate": pa.list_(items), **_LISTS})


def event_table(events: Sequence[Event]) -> pa.Table:
    """A table of events; ids are int64 where all are whole numbers, else text.

    Raises:
        DataError: a time has no zone, or a kind is not known.
    """
    for each in events:
        _check_time(each.event_id, each.time)
        if each.kind not in KINDS:
            raise DataError(f"event {each.event_id} is of kind '{each.kind}'; give click or order")
    items = _id_type([each.item_id for each in events if each.item_id is not None])
    types = {"item_id": items, "time": TIME, "kind": pa.string(), "value": pa.float64()}
    return _table(events, Event, types)


def write_table(table: pa.Table, path: str | Path) -> None:
    """Write exposures or events as Parquet, whole or not at all."""
    with write_file(path) as temporary:
        pq.write_table(table, temporary)


def _table(
    rows: Sequence[Exposure] | Sequence[Event], row: type, types: dict[str, pa.DataType]
) -> pa.Table:
    types = {"event_id": pa.string(), "user_id": _id_type([r.user_id for r in rows]), **types}
    names: Sequence[str] = row._fields  # type: ignore[attr-defined]
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    arrays = {
        name: pa.array(_as(types[name], column), types[name])
        for name, column in zip(names, columns, strict=True)
    }
    return pa.table(arrays)


def _as(kind: pa.DataType, column: Sequence[Any]) -> Sequence[Any]:
    """Ids as text where they are mixed."""
    if kind == pa.string():
        return [None if each is None else str(each) for each in column]
    if kind == pa.list_(pa.string()):
        return [None if each is None else list(map(str, each)) for each in column]
    return list(column)


def _id_type(ids: Sequence[Id]) -> pa.DataType:
    return pa.int64() if all(isinstance(each, Integral) for each in ids) else pa.string()


def _check_time(event_id: str, time: datetime) -> None:
    if time.tzinfo is None:
        raise DataError(f"the time of event {event_id} has no zone; give it in UTC")
