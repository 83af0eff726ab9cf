"""What another release would have earned, from slates that were drawn at random and logged.

A logged slate counts by how much likelier the other release shows it than the log did: the weight
``target / propensity`` of whole slates. Nothing is assumed of how users look at a slate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from mmq.ab._metrics import ALPHA, Range
from mmq.ab._moments import Linear, Moments

LEAST_EFFECTIVE = 100
"""Effective slates below which a replay says nothing."""
_DOUBT = 1e-3


class Replayed(NamedTuple):
    """Logged slates, and what the target thinks of them.

    Attributes:
        users: ``(b,)`` who saw it; slates of a user are not independent.
        rewards: ``(b,)`` what came of it.
        propensities: ``(b,)`` probability of the slate in the log.
        targets: ``(b,)`` probability of the slate under the target.
        predicted: ``(b,)`` reward that a model predicts of the slate; None for no model.
        expected: ``(b,)`` reward that it predicts of the slate that the target shows, on average.
    """

    users: np.ndarray
    rewards: np.ndarray
    propensities: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray | None = None
    expected: np.ndarray | None = None

    @property
    def weights(self) -> np.ndarray:
        """``(b,)`` how much likelier the target shows each slate."""
        return np.asarray(self.targets / self.propensities)


class Value(NamedTuple):
    """Reward of a slate, on average.

    Attributes:
        value: of the target.
        interval: 95%, by the delta method over users.
        effect: the target's value less that of the log's slates.
        effect_interval: of this.
    """

    value: float
    interval: Range
    effect: float
    effect_interval: Range


class Replay(NamedTuple):
    """The replay of a log.

    Attributes:
        slates: that were drawn at random.
        users: who saw them.
        logged: mean reward of them.
        estimates: ``ips``, ``snips`` and, with a model of rewards, ``doubly_robust``.
        effective_slates: ``(sum w)^2 / sum w^2``: as many slates of the target would tell as much.
        largest_weight: the largest share of all weight that one slate has.
        mean_weight: 1 but for chance, where the log can show all that the target shows.
        doubts: a sentence for each reason not to believe the estimates.
    """

    slates: int
    users: int
    logged: float
    estimates: dict[str, Value]
    effective_slates: float
    largest_weight: float
    mean_weight: float
    doubts: list[str]


def replay(log: Replayed) -> Replay:
    """The value of the target by importance weights, normalised ones, and with a model of rewards.

    IPS is ``mean(w r)`` (Horvitz & Thompson 1952), SNIPS ``sum(w r) / sum(w)`` (Swaminathan &
    Joachims 2015), the doubly robust one ``mean(expected + w (r - predicted))`` (Dudik, Langford &
    Li 2011): right where the propensities are, and narrower the better the model is.
    """
    weights = log.weights
    columns = {"slates": np.ones(len(weights)), "logged": log.rewards, "weights": weights}
    columns["weighted"] = weights * log.rewards
    pairs = {"ips": ("weighted", "slates"), "snips": ("weighted", "weights")}
    if log.predicted is not None and log.expected is not None:
        columns["robust"] = log.expected + weights * (log.rewards - log.predicted)
        pairs["doubly_robust"] = ("robust", "slates")
    users, groups = np.unique(log.users, return_inverse=True)
    sums = {name: np.bincount(groups, each, len(users)) for name, each in columns.items()}
    moments = Moments.of(sums)
    total, squares = float(weights.sum()), float((weights**2).sum())
    effective = total**2 / squares if squares else 0.0
    return Replay(
        len(weights),
        len(users),
        moments.quotient("logged", "slates").value,
        {name: _value(moments, *pair) for name, pair in pairs.items()},
        effective,
        float(weights.max(initial=0.0)) / total if total else 0.0,
        total / len(weights),
        list(_doubts(moments, effective)),
    )


def _value(moments: Moments, above: str, below: str) -> Value:
    target, logged = moments.quotient(above, below), moments.quotient("logged", "slates")
    gain = Linear(target.value - logged.value, target.weights - logged.weights)
    intervals = [_interval(moments, each) for each in (target, gain)]
    return Value(target.value, intervals[0], gain.value, intervals[1])


def _error(moments: Moments, linear: Linear) -> float:
    variance = float(linear.weights @ moments.covariances() @ linear.weights)
    return math.sqrt(max(variance, 0.0) / moments.users)


def _interval(moments: Moments, linear: Linear) -> Range:
    margin = float(stats.t.isf(ALPHA / 2, moments.users - 1)) * _error(moments, linear)
    return Range(linear.value - margin, linear.value + margin)


def _doubts(moments: Moments, effective: float) -> Iterator[str]:
    if effective < LEAST_EFFECTIVE:
        yield (
            f"the slates tell as much as {effective:,.0f} of the target's own would, too few to "
            "rest on; log more slates at random, nearer to the target, or shorter ones"
        )
    mean = moments.quotient("weights", "slates")
    error = _error(moments, mean)
    if error and 2 * stats.norm.sf(abs(mean.value - 1) / error) < _DOUBT:
        yield (
            f"the weights have a mean of {mean.value:.2f} in place of 1: the target shows slates "
            "that the log could not have, or the propensities are not those of the draw"
        )


def item_rewards(
    items: np.ndarray, rewards: np.ndarray, users: np.ndarray, count: int, prior: float = 20.0
) -> np.ndarray:
    """``(2, count)`` mean reward of each item where it was shown, learned without half the users.

    Row h is for the users of half h, and learned from the others, so that no slate is predicted by
    its own reward.

    Args:
        items: ``(b, k)`` rows of the items shown; -1 for none.
        rewards: ``(b, k)`` of each of them.
        users: ``(b,)`` half of each slate's user, 0 or 1.
        count: of all items.
        prior: slates' worth of the mean over all items that each begins with.
    """
    found = np.empty((2, count))
    for half in (0, 1):
        rows = users != half
        shown, gained = items[rows].ravel(), rewards[rows].ravel()
        gained, shown = gained[shown >= 0], shown[shown >= 0]
        mean = gained.mean() if len(gained) else 0.0
        sums = np.bincount(shown, gained, count) + prior * mean
        found[half] = sums / (np.bincount(shown, minlength=count) + prior)
    return found
