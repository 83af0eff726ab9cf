"""From the sums over users to differences between arms: whole, by stratum, by day."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from mmq.ab._experiment import Experiment
from mmq.ab._metrics import ALPHA, METRICS, PRIMARY, Difference, Metric, compare
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
    windows, primary = windows or Windows(), primary or PRIMARY
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
    cells: Mapping[Cell, Moments], arm: str, stratum: str | None = None, day: int | None = None
) -> Moments:
    """Moments of the users of an arm; of one stratum or day alone where it is given."""
    picked = (
        moments
        for cell, moments in cells.items()
        if cell.arm == arm and stratum in (None, cell.stratum) and day in (None, cell.day)
    )
    return sum(picked, Moments.none(COLUMNS))


class _Pair(NamedTuple):
    """The two arms that are compared, and how."""

    control: str
    arm: str
    planned_users: int
    alpha: float

    def moments(self, sums: UserSums, stratum: str | None = None) -> tuple[Moments, Moments] | None:
        """Of both; None where there are too few users for intervals."""
        first, second = (gathered(sums.cells, arm, stratum) for arm in self[:2])
        return (first, second) if min(first.users, second.users) >= LEAST_USERS else None

    def differences(
        self, sums: UserSums, stratum: str | None = None, cuped: bool = True
    ) -> dict[str, Difference]:
        """In every metric; none where there are too few users."""
        arms = self.moments(sums, stratum)
        return {} if arms is None else {e.name: self.compare(e, *arms, cuped) for e in METRICS}

    def compare(
        self, metric: Metric, control: Moments, arm: Moments, cuped: bool = True
    ) -> Difference:
        """In one metric."""
        return compare(metric, control, arm, self.planned_users, cuped, self.alpha)


def _result(experiment: Experiment, primary: Metric, sums: UserSums, arm: str) -> ArmResult:
    # with several arms beside the control each has its share of the errors (Bonferroni)
    alpha = ALPHA / (len(experiment.arms) - 1)
    pair = _Pair(experiment.arm_names[0], arm, experiment.planned_users, alpha)
    strata = sorted({cell.stratum for cell in sums.cells})
    return ArmResult(
        arm,
        pair.differences(sums),
        pair.differences(sums, cuped=False),
        {each: pair.differences(sums, each) for each in strata},
        _looks(sums, pair, primary),
        _wait(experiment, primary, sums, pair),
    )


def _looks(sums: UserSums, pair: _Pair, metric: Metric) -> list[Look]:
    """The difference at the end of every day, as whoever looked then would have seen it."""
    control = arm = Moments.none(COLUMNS)
    looks = []
    for day in sorted({cell.day for cell in sums.cells}):
        control += gathered(sums.cells, pair.control, day=day)
        arm += gathered(sums.cells, pair.arm, day=day)
        if min(control.users, arm.users) >= LEAST_USERS:
            found = pair.compare(metric, control, arm)
            looks.append(Look(day, control.users + arm.users, found))
    return looks


def _wait(experiment: Experiment, metric: Metric, sums: UserSums, pair: _Pair) -> Wait | None:
    arms = pair.moments(sums)
    if arms is None:
        return None
    found, users = pair.compare(metric, *arms), arms[0].users + arms[1].users
    share = arms[1].users / users
    variance = found.standard_error**2 * users * share * (1 - share)
    effect = experiment.effect * abs(found.control)
    if not variance > 0 or not effect > 0:
        return None
    needed = users_needed(variance, effect, share, alpha=pair.alpha)
    pace = users / max((sums.days[1] - sums.days[0]) / DAY, 1.0)
    fixed, anytime = (max(0.0, math.ceil((each - users) / pace)) for each in needed)
    return Wait(experiment.effect, needed, users, (fixed, anytime))
