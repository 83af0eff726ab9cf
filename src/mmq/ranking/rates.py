"""How often users, items and values were liked: smoothed rates, the simplest strong feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Tally(NamedTuple):
    """How it went in the training part, for each of some users, items or values.

    Attributes:
        shown: ``(n,)`` int64 impressions.
        liked: ``(n,)`` int64 those that were liked.
    """

    shown: np.ndarray
    liked: np.ndarray

    @classmethod
    def empty(cls, n: int) -> Tally:
        """Of ``n`` without impressions yet."""
        return cls(np.zeros(n, np.int64), np.zeros(n, np.int64))

    def add(self, numbers: np.ndarray, labels: np.ndarray) -> None:
        """Count impressions: ``(rows,)`` which of the n, and whether it was liked."""
        self.shown[:] += np.bincount(numbers, minlength=len(self.shown))
        self.liked[:] += np.bincount(numbers[labels == 1], minlength=len(self.shown))

    def met(self) -> Tally:
        """Of those that were shown at all."""
        return Tally(*(each[self.shown > 0] for each in self))

    def with_others(self) -> Tally:
        """The same behind one, number 0, that training did not see."""
        return Tally(*(np.concatenate([[0], each]) for each in self))


def base_rate(users: Tally) -> float:
    """Share of all impressions that were liked, kept from 0 and 1."""
    shown, liked = int(users.shown.sum()), int(users.liked.sum())
    return (liked + 1) / (shown + 2)


def log_odds(
    tallies: Sequence[Tally],
    numbers: np.ndarray,
    smoothing: float,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """``(rows, tallies)`` float32: how far each rate is from that of all, in log-odds.

    ``logit((liked + smoothing * base) / (shown + smoothing)) - logit(base)``: 0 for what was never
    met.

    Args:
        tallies: of users, items and further columns, the first of them of users.
        numbers: ``(rows, tallies)`` who and what is asked for.
        smoothing: impressions at the rate of all that are added to everything's own.
        labels: ``(rows,)`` of impressions that were counted themselves: left out of their own
            rates, or a rate would tell the label.
    """
    base = base_rate(tallies[0])
    found = np.empty(numbers.shape, np.float32)
    for place, tally in enumerate(tallies):
        own = numbers[:, place]
        shown, liked = tally.shown[own], tally.liked[own]
        if labels is not None:
            shown, liked = shown - 1, liked - labels
        rate = (liked + smoothing * base) / (shown + smoothing)
        found[:, place] = np.log(rate / (1 - rate))
    return found - np.float32(np.log(base / (1 - base)))
