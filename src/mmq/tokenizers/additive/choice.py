"""What the data choose before a fit: how to start, how much noise, which penalty, how many rounds.

A rule found on one catalogue is a guess on the next. So a tenth of the items is kept out, and what
codes it best is taken; the fit then sees all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.tokenizers.additive.alternate import rounds
from mmq.tokenizers.additive.problem import Problem

SMOOTHINGS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Noise that is tried, in deviations of the data."""

PENALTIES = (1.0, 8.0)
"""Pseudo-members that are tried."""

MOST_ROUNDS = 10
"""Rounds at most; they end earlier where validation items gain no more."""

_SHARE = 0.1  # of the items is for validation
_MOST_HELD = 5000  # items of it
_TRIED_ON = 300  # items a codeword that a trial learns from at most
_TRIAL_ROWS = 10_000  # disturbed items of a trial
_ROWS = 40_000  # disturbed items of a fit
_COPIES = 8  # of an item at most
_QUICK = 2  # rounds of a trial
_PATIENCE = 2  # rounds without a gain
_WORSE = 1.01  # times the best: then more noise is not tried

Start = Callable[[Problem, float, int, np.random.Generator], Tensor]
"""Tables to start from, of (items, smoothing, copies, source of randomness)."""


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
        start: name of the start.
        smoothing: noise, see :meth:`~mmq.tokenizers.additive.problem.Problem.disturbed`.
        penalty: pseudo-members at the mean of each codeword.
        rounds: of least squares and sweeps.
        averaged: whether tables are the mean over the rounds, or those of the last one.
    """

    start: str
    smoothing: float
    penalty: float = PENALTIES[0]
    rounds: int = _QUICK
    averaged: bool = True


class Trial(NamedTuple):
    """A choice and the fraction of variance that it left unexplained, of the validation items."""

    choice: Choice
    error: float

    def line(self) -> dict[str, Any]:
        """For the log of the fit."""
        return {**self.choice._asdict(), "validation_fvu": self.error}


def parts(items: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to learn from and rows for validation."""
    order = torch.from_numpy(np.random.default_rng([seed, 1]).permutation(items))
    held = min(_MOST_HELD, max(1, int(items * _SHARE)))
    return order[held:].sort().values, order[:held].sort().values


def copies_of(items: int, smoothing: float, rows: int = _ROWS) -> int:
    """How often each item is disturbed."""
    return 1 if smoothing == 0 else min(_COPIES, max(1, round(rows / items)))


def choose(
    problem: Problem,
    starts: Mapping[str, Start],
    sweeps: int,
    seed: int,
    smoothings: Sequence[float] = SMOOTHINGS,
) -> list[Trial]:
    """All that was tried, the best first.

    Args:
        problem: the items of the fit.
        starts: name -> how to start.
        sweeps: over the codes of new items.
        seed: of the parts and of all randomness.
        smoothings: noise to try, ascending.
    """
    learn, held = parts(len(problem.x), seed)
    drawn = np.random.default_rng([seed, 2]).permutation(len(learn))
    learn = learn[torch.from_numpy(drawn[: _TRIED_ON * problem.size])]
    inner, validation = problem.take(learn), problem.take(held)

    def tried(choice: Choice, most: int) -> Iterator[Trial]:
        generator = np.random.default_rng([seed, 3])
        copies = copies_of(len(learn), choice.smoothing, _TRIAL_ROWS)
        table = starts[choice.start](inner, choice.smoothing, copies, generator)
        yield Trial(choice._replace(rounds=0, averaged=False), validation.held_error(table, sweeps))
        run = rounds(inner, table, choice.smoothing, copies, choice.penalty, generator)
        for number, tables in enumerate(islice(run, most), start=1):
            for averaged, own in ((True, tables.mean), (False, tables.last)):
                made = choice._replace(rounds=number, averaged=averaged)
                yield Trial(made, validation.held_error(own, sweeps))

    trials: list[Trial] = []
    for name in starts:
        least = float("inf")
        for smoothing in smoothings:
            best = min(tried(Choice(name, smoothing), _QUICK), key=_error)
            trials.append(best)
            if best.error > _WORSE * least:
                break
            least = min(least, best.error)
    first = min(trials, key=_error).choice
    longer = (tried(first._replace(penalty=penalty), MOST_ROUNDS) for penalty in PENALTIES)
    trials.extend(_patient(each) for each in longer)
    return sorted(trials, key=_error)


def _patient(trials: Iterator[Trial]) -> Trial:
    """The best trial; they end when rounds gain no more."""
    best = next(trials)
    for trial in trials:
        if trial.error < best.error:
            best = trial
        elif trial.choice.rounds - best.choice.rounds > _PATIENCE:
            break
    return best


def _error(trial: Trial) -> float:
    return trial.error
