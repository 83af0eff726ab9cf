"""Who sees which arm: the same user always the same one, with nothing stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.ab._experiment import Experiment
from mmq.ab._hashing import layer_position, layer_positions, position, positions

NOBODY = -1
"""In place of an arm's number: the user takes no part."""


class Assignment(NamedTuple):
    """The arm of a user.

    Attributes:
        arm: its name.
        forced: whether a tester was put there; testers are counted in no result.
    """

    arm: str
    forced: bool


def bucket_ranges(weights: Sequence[float], coverage: float) -> list[tuple[float, float]]:
    """The part of [0, 1) that belongs to each arm, as GrowthBook deals it.

    Each arm has room for its whole weight and takes ``coverage`` of it from the left, so that more
    coverage moves no one.

    >>> bucket_ranges([0.4, 0.6], 0.5)
    [(0.0, 0.2), (0.4, 0.7)]
    """
    starts = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
    return [
        (float(start), float(start + coverage * weight))
        for start, weight in zip(starts, weights, strict=True)
    ]


def assign(experiment: Experiment, user: str) -> Assignment | None:
    """The arm of one user; None for one who takes no part. What a service calls.

    Args:
        experiment: that runs; whether it does is :meth:`~mmq.ab.Experiment.runs_at`.
        user: the id of its unit, as text.
    """
    if user in experiment.forced:
        return Assignment(experiment.forced[user], True)
    if experiment.layer is not None:
        low, high = experiment.layer_range
        if not low <= layer_position(experiment.layer, user) < high:
            return None
    place = position(experiment.hash_seed, user)
    for arm, (low, high) in zip(experiment.arms, _ranges(experiment), strict=True):
        if low <= place < high:
            return Assignment(arm.name, False)
    return None


def assign_all(experiment: Experiment, users: pa.Array) -> np.ndarray:
    """``(users,)`` int8 numbers of arms, :data:`NOBODY` for who takes no part.

    The same as :func:`assign` for each, testers aside, who are nobody here.

    Args:
        experiment: that runs.
        users: ids, as text or numbers.
    """
    places = positions(experiment.hash_seed, users)
    arms = np.full(len(users), NOBODY, np.int8)
    for number, (low, high) in enumerate(_ranges(experiment)):
        arms[(places >= low) & (places < high)] = number
    if experiment.layer is not None:
        low, high = experiment.layer_range
        places = layer_positions(experiment.layer, users)
        arms[(places < low) | (places >= high)] = NOBODY
    if experiment.forced:
        testers = np.isin(np.array(users.cast(pa.string())), list(experiment.forced))
        arms[testers] = NOBODY
    return arms


def _ranges(experiment: Experiment) -> list[tuple[float, float]]:
    return bucket_ranges([arm.weight for arm in experiment.arms], experiment.coverage)
