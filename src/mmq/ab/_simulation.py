"""An experiment in the simulated market, by the functions that a service calls: log and truth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.ab._assignment import NOBODY, assign_all
from mmq.ab._experiment import Experiment
from mmq.ab._log import TIME
from mmq.ab._market import (
    Market,
    Slates,
    Visits,
    Worth,
    bought,
    clicked,
    draw_visits,
    on_sale,
    show,
    worth,
)
from mmq.ab._users import DAY, Windows
from mmq.errors import SettingsError

START = datetime(2026, 3, 2, tzinfo=UTC)
"""When a simulated experiment starts, where it does not say."""


class Simulated(NamedTuple):
    """What a simulated experiment leaves behind.

    Attributes:
        exposures: rows of :class:`~mmq.ab.Exposure`.
        events: rows of :class:`~mmq.ab.Event`, from before the experiment too.
        truth: arm -> metric -> its mean over the users who take part, were all of them in the arm.
    """

    exposures: pa.Table
    events: pa.Table
    truth: Mapping[str, Mapping[str, float]]


class _Served(NamedTuple):
    """Visits of the users who take part."""

    visits: Visits
    arms: np.ndarray
    slates: Slates


def simulate(market: Market, experiment: Experiment, windows: Windows, seed: int = 0) -> Simulated:
    """Weeks of shoppers in an experiment, and its true effect.

    Args:
        market: whose recommenders have the names of the experiment's arms.
        experiment: who sees which; its share of slates is drawn at random.
        windows: in which the truth is told.
        seed: of visits and purchases.

    Raises:
        SettingsError: an arm has no recommender in the market.
    """
    for arm in experiment.arm_names:
        if arm not in market.scores:
            raise SettingsError(
                f"the market has no recommender for the arm '{arm}'; give its sight"
            )
    rng = np.random.default_rng([seed, 2])
    start = experiment.start or START
    before = _habits(market, rng)
    served = _serve(market, experiment, rng)
    events = [_events(market, start, *before, rng, "before")]
    value = worth(market, served.visits, served.slates)
    events.append(_events(market, start, served.visits, served.slates, value, rng, "since"))
    truth = {
        arm: _truth(market, arm, experiment, served.visits, windows, rng)
        for arm in experiment.arm_names
    }
    return Simulated(_exposures(experiment, start, served), pa.concat_tables(events), truth)


def _habits(market: Market, rng: np.random.Generator) -> tuple[Visits, Slates, Worth]:
    """Visits before the experiment: shoppers look at what they like, without a recommender."""
    visits = draw_visits(market, -float(market.settings.habit_days), 0.0, rng)
    items = np.empty((len(visits.days), market.settings.slate), np.int64)
    for start in range(0, len(items), 4096):
        rows = slice(start, start + 4096)
        utilities = market.utilities[visits.shoppers[rows]]
        noisy = on_sale(market, utilities / 2, visits.days[rows].clip(0))
        noisy = noisy + rng.gumbel(size=noisy.shape)
        items[rows] = np.argpartition(-noisy, items.shape[1], axis=1)[:, : items.shape[1]]
    nothing = np.full(items.shape, np.nan)
    slates = Slates(items, nothing, nothing)
    return visits, slates, worth(market, visits, slates)


def _serve(market: Market, experiment: Experiment, rng: np.random.Generator) -> _Served:
    """Visits of the users who take part, each with the slate of their arm."""
    everybody = draw_visits(market, 0.0, float(market.settings.days), rng)
    users = assign_all(experiment, pa.array(np.arange(market.settings.shoppers)))
    inside = users[everybody.shoppers] != NOBODY
    visits = Visits(*(each[inside] for each in everybody))
    arms = users[visits.shoppers]
    drawn = rng.random(len(arms)) < experiment.random_share
    shape = len(arms), market.settings.slate
    slates = Slates(np.empty(shape, np.int64), np.empty(shape), np.empty(shape))
    for number, arm in enumerate(experiment.arm_names):
        rows = np.flatnonzero(arms == number)
        of_arm = Visits(*(each[rows] for each in visits))
        found = show(market, arm, of_arm, drawn[rows], experiment.temperature, rng)
        for whole, part in zip(slates, found, strict=True):
            whole[rows] = part
    return _Served(visits, arms, slates)


def _truth(
    market: Market, arm: str, experiment: Experiment, visits: Visits, windows: Windows,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Means over all who take part and whose window ends in time, were everybody in an arm.

    Visits depend on nothing that is shown, so what remains is the mean over purchases.
    """
    drawn = rng.random(len(visits.days)) < experiment.random_share
    value = worth(market, visits, show(market, arm, visits, drawn, experiment.temperature, rng))
    users, first, groups = np.unique(visits.shoppers, return_index=True, return_inverse=True)
    since = visits.days - visits.days[first][groups]  # visits are in the order of time
    inside = since < windows.window_days
    ready = visits.days[first] + windows.window_days <= market.settings.days
    orders, revenue, none = (
        np.bincount(groups[inside], each[inside], len(users))[ready]
        for each in (value.buys, value.revenue, np.log1p(-value.buys))
    )
    conversion = float(-np.expm1(none).mean())
    return {
        "conversion": conversion,
        "orders": float(orders.mean()),
        "revenue": float(revenue.mean()),
    }


def _exposures(experiment: Experiment, start: datetime, served: _Served) -> pa.Table:
    visits, arms, slates = served
    drawn = np.isfinite(slates.propensities[:, 0])
    names = pa.array(experiment.arm_names)
    return pa.table(
        {
            "event_id": _ids("slate", len(arms)),
            "user_id": visits.shoppers,
            "time": _times(start, visits.days),
            "experiment": pa.array([experiment.name]).take(pa.array(np.zeros(len(arms), int))),
            "arm": names.take(pa.array(arms)),
            "release": names.take(pa.array(arms)),
            "slate": _lists(slates.items),
            "scores": _lists(slates.scores),
            "propensity": _lists(slates.propensities, ~drawn),
        }
    )


def _events(
    market: Market, start: datetime, visits: Visits, slates: Slates, value: Worth,
    rng: np.random.Generator, name: str,
) -> pa.Table:  # fmt: skip
    """Clicks a minute after the visit and orders five minutes after it."""
    places = bought(value, rng)
    rows, columns = np.nonzero(clicked(market, visits, slates, places, rng))
    buys = np.flatnonzero(places >= 0)
    items = np.concatenate([slates.items[rows, columns], slates.items[buys, places[buys]]])
    order = np.arange(len(items)) >= len(rows)
    visit = np.concatenate([rows, buys])
    return pa.table(
        {
            "event_id": _ids(name, len(items)),
            "user_id": visits.shoppers[visit],
            "item_id": items,
            "time": _times(start, visits.days[visit] + np.where(order, 5, 1) / 1440),
            "kind": pa.array(["click", "order"]).take(pa.array(order.astype(int))),
            "value": pa.array(market.prices[items], mask=~order),
        }
    )


def target_scores(market: Market, arm: str, log: pa.Table, start: datetime = START) -> pa.Table:
    """What an arm's recommender would score for each random slate of a log, for a replay.

    Args:
        market: with its recommenders.
        arm: whose.
        log: exposures of the market.
        start: of the experiment.
    """
    rows = log.filter(pc.is_valid(log["propensity"]))
    micros = np.asarray(rows["time"].cast(pa.int64())) - int(start.timestamp() * 1e6)
    users, days = np.asarray(rows["user_id"]), micros / DAY
    scores = on_sale(market, market.scores[arm][users], days).astype(np.float64)
    there = np.isfinite(scores)
    ends = np.concatenate([[0], there.sum(axis=1).cumsum()])
    items = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)[there]
    lists = [pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(each))
             for each in (items, scores[there])]  # fmt: skip
    return pa.table({"event_id": rows["event_id"], "items": lists[0], "scores": lists[1]})


def _ids(name: str, count: int) -> pa.Array:
    return pa.array([f"{name}-{number}" for number in range(count)])


def _times(start: datetime, days: np.ndarray) -> pa.Array:
    micros = int(start.timestamp() * 1e6) + (days * DAY).astype(np.int64)
    return pa.array(micros).cast(TIME)


def _lists(matrix: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """A list a row; null where a row is missing."""
    ends = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    found = pa.ListArray.from_arrays(pa.array(ends), pa.array(matrix.ravel()))
    if missing is None:
        return found
    return pc.if_else(pa.array(missing), pa.scalar(None, found.type), found)
