"""From exposures and events to sums over users, in bounded memory: DuckDB does the work.

A user's outcome is what they do within a window that begins with their own first exposure; what
they did before it is the covariate. So users are alike however late they came, and a user whose
window is over never changes: intervals that hold at every look may rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import Field

from mmq.ab._actions import act
from mmq.ab._counts import Counts
from mmq.ab._enrolment import enrol
from mmq.ab._experiment import Experiment
from mmq.ab._moments import Moments
from mmq.ab._sources import Source, database, every_row, one_row
from mmq.errors import DataError
from mmq.settings import Settings

if TYPE_CHECKING:
    import duckdb

DAY = 86_400_000_000
"""Microseconds."""
_HALF_DAY = DAY // 2


class Windows(Settings):
    """What of a user's events counts, and how.

    Attributes:
        window_days: days from the first exposure within which events are a user's outcome.
        before_days: days before it whose events are the covariate of CUPED.
        cap_at: quantile of the revenue of buying users above which it is capped (winsorised).
        head_share: share of the earlier orders that makes the head of the items; the others, and
            items that nobody had ordered, are the long tail.
    """

    window_days: float = Field(7.0, gt=0, le=3650)
    before_days: float = Field(28.0, gt=0, le=3650)
    cap_at: float = Field(0.99, gt=0.5, le=1)
    head_share: float = Field(0.8, gt=0, lt=1)


class Cell(NamedTuple):
    """Whose users some sums are of: an arm, the day their window was over, a stratum."""

    arm: str
    day: int
    stratum: str


class UserSums(NamedTuple):
    """Everything that an analysis needs of the logs.

    Attributes:
        cells: moments of the users of each arm, day and stratum.
        exposed: arm -> users who saw it and no other.
        counts: what was counted and what was not.
        cap: revenue above which a user's is capped.
        days: first and last moment, in microseconds since 1970, of the days of ``cells``.
    """

    cells: Mapping[Cell, Moments]
    exposed: Mapping[str, int]
    counts: Counts
    cap: float
    days: tuple[int, int]


COLUMNS = (
    "converted", "orders", "revenue", "revenue_capped", "clicks", "slates", "tail_orders",
    "converted_before", "orders_before", "revenue_before", "capped_before",
)  # fmt: skip
"""Columns of a user."""


def sum_users(
    experiment: Experiment,
    exposures: str | Path,
    events: str | Path,
    windows: Windows,
    *,
    strata: str | Path | None = None,
    now: datetime | None = None,
    threads: int | None = None,
) -> UserSums:
    """Sums over the users of an experiment.

    Args:
        experiment: whose exposures are read.
        exposures: Parquet of :class:`~mmq.ab.Exposure` rows.
        events: Parquet of :class:`~mmq.ab.Event` rows.
        windows: what counts.
        strata: Parquet of ``user_id, stratum``; without it users are new or known, by whether
            there is an event of theirs within ``before_days`` before their exposure.
        now: no event is later; the present moment if None.
        threads: of the database; all cores if None.

    Raises:
        DataError: a file or a column is missing, an arm is not the experiment's or nobody saw it,
            a kind is not known, or nobody's window is over.
        FormatError: a file is damaged.
        MissingExtraError: DuckDB is not installed.
    """
    needed = ("event_id", "user_id", "time")
    shown = Source.open(exposures, (*needed, "experiment", "arm"), "exposures")
    done = Source.open(events, (*needed, "item_id", "kind", "value"), "events")
    groups = strata and Source.open(strata, ("user_id", "stratum"), "strata")
    moment = int((now or datetime.now(UTC)).timestamp() * 1e6)
    with database(threads) as base:
        counted = enrol(base, shown, experiment) | act(base, done, moment)
        _divide(base, groups or None)
        _head(base, windows.head_share)
        end = _outcomes(base, windows)
        counted |= _users(base, end, windows) | _around_exposure(base, windows)
        exposed = dict.fromkeys(experiment.arm_names, 0) | dict(
            every_row(base, "SELECT arm, count(*) FROM enrolled WHERE NOT several GROUP BY arm")
        )
        cap = _cap(base, windows.cap_at)
        cells, days = _cells(base)
        return UserSums(cells, exposed, Counts(**counted), cap, days)


def _divide(base: duckdb.DuckDBPyConnection, source: Source | None) -> None:
    """Table ``divided``: the stratum of users, where it is given."""
    rows = "(SELECT NULL AS user_id, NULL AS stratum LIMIT 0)" if source is None else source.sql
    base.execute(
        f"""CREATE TABLE divided AS SELECT CAST(user_id AS VARCHAR) AS user_id,
            any_value(CAST(stratum AS VARCHAR)) AS stratum FROM {rows} GROUP BY ALL"""
    )


def _head(base: duckdb.DuckDBPyConnection, share: float) -> None:
    """Table ``head``: items with most of the orders made before their buyers' exposure."""
    base.execute(
        f"""CREATE TABLE head AS SELECT item_id FROM (
            SELECT item_id, count(*) AS orders,
                sum(count(*)) OVER (ORDER BY count(*) DESC, item_id) AS so_far,
                sum(count(*)) OVER () AS all_orders
            FROM actions JOIN enrolled USING (user_id)
            WHERE kind = 'order' AND time < first AND item_id IS NOT NULL GROUP BY item_id
        ) WHERE so_far - orders < {share} * all_orders"""
    )


def _outcomes(base: duckdb.DuckDBPyConnection, windows: Windows) -> int:
    """Tables ``outcomes`` and ``views``, a row a user who has any; the end of the log of events."""
    window, before = (int(days * DAY) for days in (windows.window_days, windows.before_days))
    after = f"time >= first AND time < first + {window}"
    earlier = f"time < first AND time >= first - {before}"
    base.execute(
        f"""CREATE TABLE outcomes AS SELECT user_id,
            count(*) FILTER (kind = 'order' AND {after}) AS orders,
            coalesce(sum(value) FILTER (kind = 'order' AND {after}), 0) AS revenue,
            count(*) FILTER (kind = 'click' AND {after}) AS clicks,
            count(*) FILTER (kind = 'order' AND {after} AND actions.item_id IS NOT NULL
                             AND head.item_id IS NULL) AS tail_orders,
            count(*) FILTER (kind = 'order' AND {earlier}) AS orders_before,
            coalesce(sum(value) FILTER (kind = 'order' AND {earlier}), 0) AS revenue_before,
            count(*) FILTER ({earlier}) AS events_before
        FROM actions JOIN enrolled USING (user_id) LEFT JOIN head ON head.item_id = actions.item_id
        GROUP BY user_id"""
    )
    base.execute(
        f"""CREATE TABLE views AS SELECT user_id, count(*) FILTER ({after}) AS slates
        FROM slates JOIN enrolled USING (user_id) GROUP BY user_id"""
    )
    (last,) = one_row(base, "SELECT last FROM ends")
    return int(last)


def _users(base: duckdb.DuckDBPyConnection, end: int, windows: Windows) -> dict[str, int]:
    """Table ``users``: a row a user whose window is over."""
    window = int(windows.window_days * DAY)
    base.execute(
        f"""CREATE TABLE users AS SELECT arm, first + {window} AS over,
            coalesce(stratum, CASE WHEN (SELECT count(*) FROM divided) > 0 THEN 'not in a stratum'
                WHEN coalesce(events_before, 0) > 0 THEN 'known users'
                ELSE 'new users' END) AS stratum,
            coalesce(orders, 0) AS orders, coalesce(revenue, 0) AS revenue,
            coalesce(clicks, 0) AS clicks, coalesce(tail_orders, 0) AS tail_orders,
            coalesce(slates, 0) AS slates, coalesce(orders_before, 0) AS orders_before,
            coalesce(revenue_before, 0) AS revenue_before
        FROM enrolled LEFT JOIN outcomes USING (user_id) LEFT JOIN views USING (user_id)
            LEFT JOIN divided USING (user_id)
        WHERE NOT several AND first + {window} <= {end}"""
    )
    (ready,) = one_row(base, "SELECT count(*) FROM users")
    (recent,) = one_row(
        base, f"SELECT count(*) FROM enrolled WHERE NOT several AND first + {window} > {end}"
    )
    if not ready:
        raise DataError(
            f"nobody was exposed {windows.window_days:g} days before the last event; wait, or "
            "shorten the window"
        )
    return {"users_too_recent": recent}


def _around_exposure(base: duckdb.DuckDBPyConnection, windows: Windows) -> dict[str, int]:
    """Events by where they lie around the first exposure, and orders by their value."""
    names = ("events_before", "events_late", "orders_without_value", "orders_with_value",
             "just_before", "just_after")  # fmt: skip
    row = one_row(
        base,
        f"""SELECT count(*) FILTER (time < first),
            count(*) FILTER (time >= first + {int(windows.window_days * DAY)}),
            count(*) FILTER (kind = 'order' AND value IS NULL),
            count(*) FILTER (kind = 'order' AND value IS NOT NULL),
            count(*) FILTER (time < first AND time >= first - {_HALF_DAY}),
            count(*) FILTER (time >= first AND time < first + {_HALF_DAY})
        FROM actions JOIN enrolled USING (user_id)""",
    )
    return dict(zip(names, row, strict=True))


def _cap(base: duckdb.DuckDBPyConnection, quantile: float) -> float:
    """Add the capped columns to ``users``; the cap of the outcome is returned."""
    caps = []
    for column in ("revenue", "revenue_before"):
        ((cap,),) = every_row(
            base, f"SELECT quantile_disc({column}, {quantile}) FROM users WHERE {column} > 0"
        )
        caps.append("'infinity'::DOUBLE" if cap is None else repr(float(cap)))
    base.execute(
        f"""CREATE VIEW figures AS SELECT *, least(revenue, {caps[0]}) AS revenue_capped,
            least(revenue_before, {caps[1]}) AS capped_before,
            CAST(orders > 0 AS DOUBLE) AS converted,
            CAST(orders_before > 0 AS DOUBLE) AS converted_before FROM users"""
    )
    return float("inf") if "inf" in caps[0] else float(caps[0])


def _cells(base: duckdb.DuckDBPyConnection) -> tuple[dict[Cell, Moments], tuple[int, int]]:
    """Moments of each arm, day and stratum; the days' ends."""
    size = len(COLUMNS)
    pairs = [(row, column) for row in range(size) for column in range(row, size)]
    sums = [f"sum(CAST({name} AS DOUBLE))" for name in COLUMNS]
    sums += [f"sum(CAST({COLUMNS[a]} AS DOUBLE) * {COLUMNS[b]})" for a, b in pairs]
    first, last = one_row(base, "SELECT min(over), max(over) FROM users")
    start = first - first % DAY
    rows = every_row(
        base,
        f"""SELECT arm, CAST((over - {start}) // {DAY} AS INTEGER) AS day, stratum, count(*),
            {", ".join(sums)} FROM figures GROUP BY arm, day, stratum ORDER BY day, arm, stratum""",
    )
    return {Cell(*row[:3]): _moments(row[3], row[4:], pairs) for row in rows}, (start, last)


def _moments(users: int, sums: Sequence[float], pairs: Sequence[tuple[int, int]]) -> Moments:
    products = np.zeros((len(COLUMNS), len(COLUMNS)))
    for (row, column), value in zip(pairs, sums[len(COLUMNS) :], strict=True):
        products[row, column] = products[column, row] = value
    return Moments(COLUMNS, users, np.array(sums[: len(COLUMNS)], np.float64), products)
