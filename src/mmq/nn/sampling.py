"""A partition sum over many items, estimated without bias from some of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Sample(NamedTuple):
    """Items that stand for all others in a sum over ``exp(score)``.

    ``sum_c exp(score_c + log_weight_c)`` is the sum over all items on average over draws, and
    equal to it if all were drawn.

    Attributes:
        rows: ``(c,)`` int64, ascending.
        log_weights: ``(c,)`` float32: log of how many items each stands for.
    """

    rows: Tensor
    log_weights: Tensor

    def places(self, rows: Tensor) -> Tensor:
        """Where items, all of them in the sample, stand in it."""
        return torch.searchsorted(self.rows, rows)

    def to(self, device: torch.device) -> Sample:
        """The same on a device."""
        return Sample(self.rows.to(device), self.log_weights.to(device))


def draw_sample(
    targets: np.ndarray, items: int, count: int, generator: np.random.Generator
) -> Sample:
    """All targets, each for itself alone, and ``count`` of the other items, evenly drawn.

    The others are drawn without replacement: each is in the sample with probability
    ``count / others``, so that ``others / count`` is its weight. All of them are taken where there
    are no more.

    Args:
        targets: int64 rows, in any order and any number of times.
        items: how many there are.
        count: of others, 1 or more.
        generator: what is drawn from.

    >>> draw_sample(np.array([4, 1, 4]), 5, 3, np.random.default_rng(0)).rows.tolist()
    [0, 1, 2, 3, 4]
    """
    targets = np.unique(targets)
    others = items - len(targets)
    drawn = _without(targets, others, min(count, others), generator)
    rows = np.concatenate([targets, drawn])
    weights = np.zeros(len(rows), np.float32)
    weights[len(targets) :] = math.log(others / len(drawn)) if len(drawn) else 0.0
    order = np.argsort(rows)
    return Sample(torch.from_numpy(rows[order]), torch.from_numpy(weights[order]))


def _without(
    targets: np.ndarray, others: int, count: int, generator: np.random.Generator
) -> np.ndarray:
    """``count`` rows, no two alike, none of them in ``targets``, which ascend without repeats."""
    numbers = generator.choice(others, count, replace=False, shuffle=False)
    # before the i-th target there are targets[i] - i others: so many targets precede each number
    gaps = targets - np.arange(len(targets))
    return numbers + np.searchsorted(gaps, numbers, side="right")
