"""How long an experiment will run, from what users do without it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from mmq.ab._power import POWER, detectable_effect, users_needed
from mmq.ab._sources import Source, database, one_row
from mmq.ab._users import DAY, Windows
from mmq.errors import DataError, SettingsError

_FIGURES = {
    "conversion": "CAST(count(*) FILTER ({part}) > 0 AS DOUBLE)",
    "orders": "CAST(count(*) FILTER ({part}) AS DOUBLE)",
    "revenue": "coalesce(sum(CAST(value AS DOUBLE)) FILTER ({part}), 0.0)",
}
PLANNED = tuple(_FIGURES)
"""Metrics whose need of users can be planned."""


class Baseline(NamedTuple):
    """What users do without the experiment.

    Attributes:
        mean: of the metric.
        sd: of it over users.
        correlation: of it with the same before the window; 0 where CUPED is not used.
        users_per_day: new to an experiment that covers everybody; None where it is not known.
    """

    mean: float
    sd: float
    correlation: float = 0.0
    users_per_day: float | None = None

    @classmethod
    def of_rate(cls, rate: float, users_per_day: float | None = None) -> Baseline:
        """Of a share of users, such as a conversion rate.

        Raises:
            SettingsError: it is no share.
        """
        if not 0 < rate < 1:
            raise SettingsError(f"a rate of {rate:g} is no share of users; give one such as 0.05")
        return cls(rate, math.sqrt(rate * (1 - rate)), 0.0, users_per_day)


def measured(events: str | Path, metric: str, windows: Windows) -> Baseline:
    """What users did in the last window of a log of events.

    Users are those with an event in the window; what they did in the days before it is the
    covariate.

    Raises:
        DataError: a file or column is missing, or the log has no user in two windows.
    """
    source = Source.open(events, ("event_id", "user_id", "time", "kind", "value"), "events")
    window, before = int(windows.window_days * DAY), int(windows.before_days * DAY)
    with database() as base:
        (end,) = one_row(base, f"SELECT max(epoch_us(time)) FROM {source.sql}")
        start = end - window
        now, earlier = (
            _FIGURES[metric].format(part=f"kind = 'order' AND {part}")
            for part in (f"moment > {start}", f"moment <= {start} AND moment > {start - before}")
        )
        users, mean, sd, correlation = one_row(
            base,
            f"""SELECT count(*), avg(y), stddev_samp(y), corr(y, x) FROM (
                SELECT {now} AS y, {earlier} AS x FROM
                    (SELECT *, epoch_us(time) AS moment FROM {source.sql})
                GROUP BY user_id HAVING count(*) FILTER (moment > {start}) > 0)""",
        )
    if users < 2 or not sd > 0:
        raise DataError(
            f"{events} has too few users or orders in its last {windows.window_days:g} days to "
            "plan by; give --mean and --sd"
        )
    known = 0.0 if math.isnan(correlation) else correlation
    return Baseline(mean, sd, known, users / windows.window_days)


def plan(
    baseline: Baseline,
    effect: float,
    *,
    share: float = 0.5,
    coverage: float = 1.0,
    window_days: float = 7.0,
    power: float = POWER,
) -> dict[str, Any]:
    """Users and days that an experiment needs.

    Args:
        baseline: what users do without it.
        effect: relative, the smallest that is to be shown.
        share: of its users in the treatment.
        coverage: of all users in the experiment.
        window_days: until a user's outcome is known.
        power: the probability to show it.

    Raises:
        SettingsError: a share is none.
        DataError: the baseline does not vary, or its mean is 0.
    """
    for name, value in {"share": share, "coverage": coverage, "power": power}.items():
        if not 0 < value < 1 + (name == "coverage") * 1e-9:
            raise SettingsError(f"--{name} {value:g} should be between 0 and 1, such as 0.5")
    variance = baseline.sd**2 * (1 - baseline.correlation**2)
    need = users_needed(variance, effect * baseline.mean, share, power)
    pace = baseline.users_per_day and baseline.users_per_day * coverage
    days = {
        name: None if not pace else math.ceil(users / pace + window_days)
        for name, users in need._asdict().items()
    }
    return {
        "baseline": baseline._asdict(),
        "effect": effect,
        "power": power,
        "share": share,
        "coverage": coverage,
        "users": need._asdict(),
        "days": days,
        "effect_in_four_weeks": None if not pace else _in_four_weeks(baseline, pace, share, power),
    }


def _in_four_weeks(baseline: Baseline, pace: float, share: float, power: float) -> float:
    """The relative effect that four weeks of users show."""
    variance = baseline.sd**2 * (1 - baseline.correlation**2)
    found = detectable_effect(variance, math.ceil(28 * pace), share, power)
    return found / abs(baseline.mean)
