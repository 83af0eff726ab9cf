"""From the sums over users to differences between arms: whole, by stratum, by day."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from mmq.ab._experiment import Experiment
from mmq.ab._metrics import ALPHA, METRICS, Difference, Metric, compare
from mmq.ab._mismatch import Mismatch, sample_ratio
from mmq.ab._moments import Moments
from mmq.ab._power import Need, users_needed
from mmq.ab._users import COLUMNS, DAY, Cell, UserSums, Windows, sum_users

LEAST_USERS = 100
"""Users of an arm below which intervals are not given: they hold in the limit of many."""


class Look(NamedTuple):
    """The difference as it stood after a day.

    Attributes:
        day: counted from the day on which the first user's window was over.
        users: of both arms until then.
        difference: in the metric of the verdict.
    """

    day: int
    users: int
    difference: Difference


class Wait(NamedTuple):
    """How long the experiment would run to show the effect that is worth knowing.

    Attributes:
        effect: that effect, relative.
        needed: users of both arms.
        users: that there are.
        days: from now on, at the present pace, for one look and for a look every day; 0 where
            there are enough.
    """

    effect: float
    needed: Need
    users: int
    days: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ArmResult:
    """How an arm does beside the control.

    Attributes:
        arm: its name.
        differences: metric -> difference, with CUPED where the metric has a covariate.
        plain: metric -> the same without CUPED.
        strata: stratum -> metric -> difference.
        looks: one a day, in the metric of the verdict.
        wait: how long yet; None where the metric does not vary.
    """

    arm: str
    differences: Mapping[str, Difference]
    plain: Mapping[str, Difference]
    strata: Mapping[str, Mapping[str, Difference]]
    looks: Sequence[Look]
    wait: Wait | None


@dataclass(frozen=True, eq=False)
class Analysis:
    """What an experiment has shown so far.

    Attributes:
        experiment: that is analysed.
        windows: what counted of users' events.
        primary: metric of the verdict.
        sums: over the users.
        mismatch: of users in arms.
        arms: arm -> moments of its users, the control first.
        results: one for each arm but the control.
    """

    experiment: Experiment
    windows: Windows
    primary: Metric
    sums: UserSums
    mismatch: Mismatch
    arms: Mapping[str, Moments]
    results: Sequence[ArmResult]


def analyse(
    experiment: Experiment,
    exposures: str | Path,
    events: str | Path,
    windows: Windows | None = None,
    *,
    primary: Metric | None = None,
    strata: str | Path | None = None,
    now: datetime | None = None,
    threads: int | None = None,
) -> Analysis:
    """Compare the arms of an experiment.

    Args:
        experiment: whose exposures are read.
        exposures: Parquet of :class:`~mmq.ab.Exposure` rows.
        events: Parquet of :class:`~mmq.ab.Event` rows.
        windows: what counts.
        primary: metric of the verdict; revenue per user if None.
        strata: Parquet of ``user_id, stratum``; new and known users if None.
        now: no event is later; the present moment if None.
        threads: of the database; all cores if None.

    Raises:
        DataError: a file or a column is missing, or what it holds cannot be compared.
        FormatError: a file is damaged.
        MissingExtraError: DuckDB is not installed.
    """
    windows, primary = windows or Windows(), primary or METRICS[2]
    sums = sum_users(
        experiment, exposures, events, windows, strata=strata, now=now, threads=threads
    )
    return from_sums(experiment, windows, primary, sums)


def from_sums(
    experiment: Experiment, windows: Windows, primary: Metric, sums: UserSums
) -> Analysis:
    """The analysis of sums over users."""
    weights = {arm.name: arm.weight for arm in experiment.arms}
    arms = {arm: gathered(sums.cells, arm) for arm in experiment.arm_names}
    results = [_result(experiment, primary, sums, arm) for arm in experiment.arm_names[1:]]
    mismatch = sample_ratio(sums.exposed, weights)
    return Analysis(experiment, windows, primary, sums, mismatch, arms, results)


def gathered(
    cells: Mapping[Cell, Moments], arm: str, of: Callable[[Cell], bool] = lambda _: True
) -> Moments:
    """Moments of the users of an arm, of those cells alone that a condition picks."""
    picked = (each for cell, each in cells.items() if cell.arm == arm and of(cell))
    return sum(picked, Moments.none(COLUMNS))


def _result(experiment: Experiment, primary: Metric, sums: UserSums, arm: str) -> ArmResult:
    names, alpha = (experiment.arm_names[0], arm), ALPHA / (len(experiment.arms) - 1)
    planned = experiment.planned_users

    def differences(of: Callable[[Cell], bool], cuped: bool = True) -> dict[str, Difference]:
        pair = [gathered(sums.cells, name, of) for name in names]
        if min(each.users for each in pair) < LEAST_USERS:
            return {}
        return {each.name: compare(each, *pair, planned, cuped, alpha) for each in METRICS}

    strata = sorted({cell.stratum for cell in sums.cells})
    return ArmResult(
        arm,
        differences(lambda _: True),
        differences(lambda _: True, cuped=False),
        {each: differences(lambda cell, own=each: cell.stratum == own) for each in strata},  # type: ignore[misc]
        _looks(sums, names, primary, planned, alpha),
        _wait(experiment, primary, sums, names, alpha),
    )


def _looks(
    sums: UserSums, names: tuple[str, str], metric: Metric, planned: int, alpha: float
) -> list[Look]:
    """The difference at the end of every day, as whoever looked then would have seen it."""
    so_far = [Moments.none(COLUMNS)] * 2
    looks = []
    for day in sorted({cell.day for cell in sums.cells}):
        so_far = [
            before + gathered(sums.cells, name, lambda cell, day=day: cell.day == day)  # type: ignore[misc]
            for before, name in zip(so_far, names, strict=True)
        ]
        if min(each.users for each in so_far) >= LEAST_USERS:
            found = compare(metric, so_far[0], so_far[1], planned, alpha=alpha)
            looks.append(Look(day, so_far[0].users + so_far[1].users, found))
    return looks


def _wait(
    experiment: Experiment, metric: Metric, sums: UserSums, names: tuple[str, str], alpha: float
) -> Wait | None:
    pair = [gathered(sums.cells, name) for name in names]
    if min(each.users for each in pair) < LEAST_USERS:
        return None
    found = compare(metric, *pair, experiment.planned_users, alpha=alpha)
    users, share = sum(each.users for each in pair), pair[1].users / sum(e.users for e in pair)
    variance = found.standard_error**2 * users * share * (1 - share)
    effect = experiment.effect * abs(found.control)
    if not variance > 0 or not effect > 0:
        return None
    needed = users_needed(variance, effect, share, alpha=alpha)
    pace = users / max((sums.days[1] - sums.days[0]) / DAY, 1.0)
    fixed, anytime = (max(0.0, math.ceil((each - users) / pace)) for each in needed)
    return Wait(experiment.effect, needed, users, (fixed, anytime))
