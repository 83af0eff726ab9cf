"""How often users, items and values had a positive: smoothed rates, the simplest strong feature.

Counts are ``(n, 2)`` int64: of each user, item or value its impressions, and those among them that
were positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def count(counts: np.ndarray, numbers: np.ndarray, labels: np.ndarray) -> None:
    """Add impressions to counts.

    Args:
        counts: ``(n, 2)``.
        numbers: ``(rows,)`` which of the n.
        labels: ``(rows,)``, 1 for a positive.
    """
    counts[:, 0] += np.bincount(numbers, minlength=len(counts))
    counts[:, 1] += np.bincount(numbers[labels == 1], minlength=len(counts))


def with_unknown(counts: np.ndarray) -> np.ndarray:
    """``(n + 1, 2)``: the same behind one, number 0, that training did not see."""
    return np.concatenate([np.zeros((1, 2), np.int64), counts])


def base_rate(counts: np.ndarray) -> float:
    """Share of positives among all impressions, kept from 0 and 1."""
    shown, positive = counts.sum(axis=0).tolist()
    return float((positive + 1) / (shown + 2))


def log_odds(
    counts: Sequence[np.ndarray],
    numbers: np.ndarray,
    smoothing: float,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """``(rows, kinds)`` float32: how far each rate is from that of all, in log-odds.

    ``logit((positive + smoothing * base) / (shown + smoothing)) - logit(base)``: 0 for what
    training did not see.

    Args:
        counts: of users, items and further columns, the first of them of users.
        numbers: ``(rows, kinds)`` who and what is asked for.
        smoothing: impressions at the rate of all that are added to everything's own.
        labels: ``(rows,)`` of impressions that were counted themselves: left out of their own
            rates, or a rate would tell the label.
    """
    base = base_rate(counts[0])
    found = np.empty(numbers.shape, np.float32)
    for place, each in enumerate(counts):
        shown, positive = each[numbers[:, place]].T
        if labels is not None:
            shown, positive = shown - 1, positive - labels
        rate = (positive + smoothing * base) / (shown + smoothing)
        found[:, place] = np.log(rate / (1 - rate))
    return found - np.float32(np.log(base / (1 - base)))
