"""Slates drawn at random, with the probabilities that a replay of the log needs.

The draw is Plackett and Luce's: item by item, each with probability proportional to
``exp(score / temperature)`` among those not yet taken.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmq.errors import SettingsError


class DrawnSlates(NamedTuple):
    """Slates of a draw.

    Attributes:
        places: ``(b, k)`` int64 candidates shown, in order.
        propensities: ``(b, k)`` float64 probability of each in its place, given those before it;
            their product is the slate's.
    """

    places: np.ndarray
    propensities: np.ndarray


def draw_slates(
    scores: np.ndarray, k: int, temperature: float, rng: np.random.Generator
) -> DrawnSlates:
    """One slate for each row of scores, drawn at random with their propensities.

    The largest of ``score / temperature`` plus Gumbel noise are such a draw (Yellott 1977).

    Args:
        scores: ``(b, c)`` of each candidate; ``-inf`` keeps one out.
        k: items of a slate.
        temperature: small keeps to the order of scores, large hardly knows it.
        rng: the source of chance.

    Raises:
        SettingsError: a row has fewer than k candidates, or the temperature is not above 0.

    >>> scores = np.log([[0.7, 0.2, 0.1]])
    >>> drawn = draw_slates(scores, 1, 1.0, np.random.default_rng(0))
    >>> bool(np.isclose(drawn.propensities[0, 0], np.exp(scores[0, drawn.places[0, 0]])))
    True
    """
    scaled = _scaled(scores, temperature)
    if (np.isfinite(scaled).sum(axis=1) < k).any():
        raise SettingsError(f"a slate of {k} items cannot be drawn from fewer candidates")
    noisy = scaled + rng.gumbel(size=scaled.shape)
    best = np.argpartition(-noisy, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(noisy, best, axis=1), axis=1)
    places = np.take_along_axis(best, order, axis=1)
    return DrawnSlates(places, slate_propensities(scores, places, temperature))


def slate_propensities(scores: np.ndarray, places: np.ndarray, temperature: float) -> np.ndarray:
    """``(b, k)`` probability of each item of a slate in its place, given those before it.

    Args:
        scores: ``(b, c)`` of each candidate.
        places: ``(b, k)`` the candidates shown, in order.
        temperature: of the draw.
    """
    left = _scaled(scores, temperature)
    left = np.exp(left - left.max(axis=1, keepdims=True))
    found = np.empty(places.shape)
    for rank in range(places.shape[1]):
        taken = places[:, rank, None]
        found[:, rank] = np.take_along_axis(left, taken, axis=1)[:, 0] / left.sum(axis=1)
        np.put_along_axis(left, taken, 0.0, axis=1)
    return found


def _scaled(scores: np.ndarray, temperature: float) -> np.ndarray:
    if not temperature > 0:
        raise SettingsError(f"the temperature {temperature:g} should be above 0, such as 1")
    return np.asarray(scores, np.float64) / temperature
