"""Experiments and logs of the tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mmq.ab import Event, Experiment, Exposure, event_table, exposure_table, write_table


def experiment(**values: Any) -> Experiment:
    arms = [
        {"name": "control", "weight": 0.5, "release": "old"},
        {"name": "treatment", "weight": 0.5, "release": "new"},
    ]
    return Experiment.parse({"name": "trial", "arms": arms, **values})


START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def at(days: float) -> datetime:
    """A moment of the experiment."""
    return START + timedelta(days=days)


def shown(user: int, day: float, arm: str, number: int = 0) -> Exposure:
    return Exposure(f"x{user}-{number}", user, at(day), "trial", arm, arm)


def ordered(user: int, day: float, value: float | None, number: int = 0, item: int = 1) -> Event:
    return Event(f"o{user}-{number}", user, item, at(day), "order", value)


def clicked(user: int, day: float, number: int = 0) -> Event:
    return Event(f"c{user}-{number}", user, 1, at(day), "click")


def random_logs(users: int, seed: int) -> tuple[list[Exposure], list[Event]]:
    """Users of both arms over 20 days, with orders and clicks before and after."""
    rng = np.random.default_rng(seed)
    exposures, events = [], []
    for user in range(users):
        arm, first = ("control", "treatment")[rng.integers(2)], rng.uniform(0, 20)
        days = [first, *(first + rng.exponential(5, rng.poisson(1)))]
        exposures += [shown(user, day, arm, n) for n, day in enumerate(days)]
        for number, day in enumerate(first + rng.uniform(-30, 15, rng.poisson(3))):
            item = int(rng.integers(1, 8))
            events.append(ordered(user, day, round(float(rng.lognormal(3)), 2), number, item))
        for number, day in enumerate(first + rng.uniform(-5, 10, rng.poisson(4))):
            events.append(clicked(user, day, number))
    return exposures, events


def write_logs(folder: Path, exposures: list[Exposure], events: list[Event]) -> tuple[Path, Path]:
    paths = folder / "exposures.parquet", folder / "events.parquet"
    write_table(exposure_table(exposures), paths[0])
    write_table(event_table(events), paths[1])
    return paths
