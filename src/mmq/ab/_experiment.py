"""What an experiment is: its arms, who takes part, and since when; read from a small TOML file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from mmq.errors import SettingsError, nearest
from mmq.settings import Settings, gather


class Arm(Settings):
    """One of the ways in which users are served.

    Attributes:
        name: in exposures and results.
        weight: its share of the users who take part.
        release: that serves it; None for the one that serves everybody.
        settings: of the service, where they differ (``{new_item_bonus = 0.2}``).
    """

    name: str = Field(min_length=1)
    weight: float = Field(gt=0, le=1)
    release: str | None = None
    settings: Mapping[str, Any] = {}


class Experiment(Settings):
    """An experiment; its first arm is the control, which the others are compared with.

    Attributes:
        name: in exposures and results.
        arms: two or more; their weights add up to 1.
        seed: of the assignment, the name where it is empty. Another seed deals users anew.
        unit: what is assigned: ``user_id``, or another name that the service knows.
        coverage: share of the users who take part. It may grow while the experiment runs: no one
            changes arms.
        layer: experiments of one layer share no user.
        layer_range: the part of the layer that this one has, from 0 to 1.
        start: first moment of the experiment; with a time zone.
        end: moment after the last one.
        forced: id of a tester -> the arm that they see; they are counted in none.
        random_share: share of the slates that are drawn at random, to be replayed.
        temperature: of this draw: 0.1 stays near the order of scores, 10 hardly knows it.
        effect: the smallest relative effect worth knowing, such as 0.02.
        planned_users: users the experiment is planned for; anytime-valid intervals are narrowest
            there.
    """

    name: str = Field(min_length=1)
    arms: tuple[Arm, ...] = Field(min_length=2)
    seed: str = ""
    unit: str = "user_id"
    coverage: float = Field(1.0, ge=0, le=1)
    layer: str | None = None
    layer_range: tuple[float, float] = (0.0, 1.0)
    start: datetime | None = None
    end: datetime | None = None
    forced: Mapping[str, str] = {}
    random_share: float = Field(0.0, ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    effect: float = Field(0.02, gt=0, le=10)
    planned_users: int = Field(100_000, ge=100)

    @field_validator("start", "end")
    @classmethod
    def _has_zone(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"the moment has no time zone; write {moment.isoformat()}Z for UTC")
        return moment

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(f"experiment '{self.name}': {problem}")
        return self

    def _problems(self) -> Iterator[str]:
        names, total = self.arm_names, math.fsum(arm.weight for arm in self.arms)
        if len(set(names)) < len(names):
            yield f"two arms are named '{max(names, key=names.count)}'; name them apart"
        if abs(total - 1) > 1e-6:
            yield f"the weights of its arms add up to {total:g}; let them add up to 1"
        low, high = self.layer_range
        if not 0 <= low < high <= 1:
            yield f"layer_range [{low:g}, {high:g}] should be a part of 0 to 1, such as [0, 0.5]"
        if self.start and self.end and self.start >= self.end:
            yield "it ends before it starts; give an end after the start"
        for tester, arm in self.forced.items():
            if arm not in names:
                yield f"'{tester}' is forced into the arm '{arm}'; {nearest(arm, names)}"

    @property
    def arm_names(self) -> list[str]:
        """Names of the arms, the control first."""
        return [arm.name for arm in self.arms]

    @property
    def hash_seed(self) -> str:
        """What users are hashed with."""
        return self.seed or self.name

    def arm(self, name: str) -> Arm:
        """The arm of a name.

        Raises:
            SettingsError: there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise SettingsError(
            f"experiment '{self.name}' has no arm '{name}'; {nearest(name, self.arm_names)}"
        )

    def runs_at(self, moment: datetime) -> bool:
        """Whether the experiment runs at a moment (with a time zone)."""
        return (self.start is None or self.start <= moment) and (
            self.end is None or moment < self.end
        )


class _File(Settings):
    """A file of experiments."""

    experiments: tuple[Experiment, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = [each.name for each in self.experiments]
        if len(set(names)) < len(names):
            raise ValueError(f"two experiments are named '{max(names, key=names.count)}'")
        for layer in {each.layer for each in self.experiments} - {None}:
            _require_apart(layer, [each for each in self.experiments if each.layer == layer])
        return self


def _require_apart(layer: str | None, experiments: Sequence[Experiment]) -> None:
    """Raise unless no two experiments of a layer run at one time on one part of it."""
    ordered = sorted(experiments, key=lambda each: each.layer_range)
    for first, second in pairwise(ordered):
        shared = second.layer_range[0] < first.layer_range[1]
        if shared and _overlap(first, second):
            raise ValueError(
                f"'{first.name}' and '{second.name}' share a part of the layer '{layer}'; give "
                "them a layer_range each, such as [0, 0.5] and [0.5, 1]"
            )


def _overlap(first: Experiment, second: Experiment) -> bool:
    """Whether there is a moment at which both run."""
    least, most = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    begins = max(first.start or least, second.start or least)
    return begins < min(first.end or most, second.end or most)


def read_experiments(path: str | Path) -> list[Experiment]:
    """The experiments of a TOML file, checked.

    Raises:
        SettingsError: no such file, an unknown name or a value out of range, weights that do not
            add up to 1, or two experiments that share a part of a layer at one time.
        FormatError: it is no TOML.
    """
    return list(_File.parse(gather(path, ())).experiments)


def read_experiment(path: str | Path, name: str | None = None) -> Experiment:
    """One experiment of a file: that of a name, or the only one.

    Raises:
        SettingsError: as :func:`read_experiments`; or there is none of that name, or the file has
            several and no name is given.
    """
    experiments = {each.name: each for each in read_experiments(path)}
    if name is None and len(experiments) > 1:
        names = ", ".join(experiments)
        raise SettingsError(f"{path} holds several experiments ({names}); say which is meant")
    if name is not None and name not in experiments:
        raise SettingsError(f"{path} has no experiment '{name}'; {nearest(name, experiments)}")
    return experiments[name] if name is not None else next(iter(experiments.values()))
