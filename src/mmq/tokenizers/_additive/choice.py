"""What the data choose before a fit: how to start, how much noise, which penalty, how many rounds.

A rule found on one catalogue is a guess on the next. So a tenth of the items is kept out, and what
codes it best is taken; the fit then sees all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.tokenizers._additive.alternate import rounds
from mmq.tokenizers._additive.problem import Problem
from mmq.tokenizers._additive.start import Effort, Start

SMOOTHINGS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Noise that is tried, in deviations of the data."""

FIRST_SMOOTHING = 1
"""Place among them of the one that starts are compared under."""

PENALTIES = (1.0, 8.0)
"""Pseudo-members that are tried."""

MOST_ROUNDS = 25
"""Rounds at most; they end earlier where validation items gain no more."""

PREFERENCE = 1.03
"""The first plan is taken of those that leave at most so many times as much unexplained as the
best: what its codes say counts too, and rounds make up for some of it."""

_SHARE = 0.1  # of the items is for validation
_MOST_HELD = 5000  # items of it
_TRIED_ON = 300  # items a codeword that a trial learns from at most
_TRIAL_ROWS = 10_000  # disturbed items of a trial
_ROWS = 40_000  # disturbed items of a fit
_COPIES = 8  # of an item at most
_ITERATIONS = 10  # of k-means in a trial
_QUICK = 2  # rounds of a trial
_PATIENCE = 2  # rounds without a gain


class Plan(NamedTuple):
    """A way to begin.

    Attributes:
        name: for the log.
        scopes: ``(n, m)`` bool: the modalities that each position codes.
        start: makes the first tables.
    """

    name: str
    scopes: np.ndarray
    start: Start


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
        plan: its name.
        smoothing: noise, see :meth:`~mmq.tokenizers._additive.problem.Problem.disturbed`.
        penalty: pseudo-members at the mean of each codeword.
        rounds: of least squares and sweeps.
        averaged: whether tables are the mean over the rounds, or those of the last one.
    """

    plan: str
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


class Trials:
    """Choices tried on validation items.

    Args:
        problem: the items of the fit.
        plans: the ways to begin; of those that do about as well the first is taken.
        sweeps: over the codes of new items.
        seed: of the parts and of all randomness.
    """

    def __init__(self, problem: Problem, plans: Sequence[Plan], sweeps: int, seed: int) -> None:
        learn, held = parts(len(problem.x), seed)
        drawn = np.random.default_rng([seed, 2]).permutation(len(learn))
        learn = learn[torch.from_numpy(drawn[: _TRIED_ON * problem.size])]
        self.inner, self.validation = problem.take(learn), problem.take(held)
        self.plans = {plan.name: plan for plan in plans}
        self.sweeps, self.seed = sweeps, seed
        self.done: list[Trial] = []

    def choose(self, smoothings: Sequence[float], advance: Callable[..., None]) -> Choice:
        """The best of plans, then of noise, then of penalty and rounds.

        Args:
            smoothings: noise to try, ascending.
            advance: called with every trial done.
        """
        self.advance = advance
        first = min(FIRST_SMOOTHING, len(smoothings) - 1)
        by_plan = [self._quick(Choice(name, smoothings[first])) for name in self.plans]
        least = min(trial.error for trial in by_plan)
        best = next(trial for trial in by_plan if trial.error <= PREFERENCE * least)
        best = self._along([*smoothings[first + 1 :]], best)
        if best.choice.smoothing == smoothings[first]:
            best = self._along([*smoothings[:first]][::-1], best)
        for penalty in PENALTIES[1:]:
            best = min(best, self._quick(best.choice._replace(penalty=penalty)), key=_error)
        return self._long(best.choice).choice

    def _along(self, smoothings: Iterable[float], best: Trial) -> Trial:
        """Go on with more noise, or with less, while it gains."""
        for smoothing in smoothings:
            trial = self._quick(best.choice._replace(smoothing=smoothing))
            if trial.error >= best.error:
                break
            best = trial
        return best

    def _quick(self, choice: Choice) -> Trial:
        return self._keep(min(self._tried(choice, _QUICK), key=_error))

    def _long(self, choice: Choice) -> Trial:
        """The best after any number of rounds; they end when more of them gain nothing."""
        run = self._tried(choice, MOST_ROUNDS)
        best = next(run)
        for trial in run:
            if trial.error < best.error:
                best = trial
            elif trial.choice.rounds - best.choice.rounds > _PATIENCE:
                break
        return self._keep(best)

    def _keep(self, trial: Trial) -> Trial:
        self.done.append(trial)
        self.advance(1, note=f"{trial.choice.plan}: {trial.error:.4f}")
        return trial

    def _tried(self, choice: Choice, most: int) -> Iterator[Trial]:
        """The choice after no round, one, two..., with the last tables and with their mean."""
        plan, generator = self.plans[choice.plan], np.random.default_rng([self.seed, 3])
        inner = self.inner._replace(scopes=plan.scopes)
        held = self.validation._replace(scopes=plan.scopes)
        copies = copies_of(len(inner.x), choice.smoothing, _TRIAL_ROWS)
        effort = Effort(choice.smoothing, copies, _ITERATIONS)
        table = plan.start(inner, effort, generator)
        none = choice._replace(rounds=0, averaged=False)
        yield Trial(none, held.held_error(table, self.sweeps))
        run = rounds(inner, table, choice.smoothing, copies, choice.penalty, generator)
        for number, tables in enumerate(islice(run, most), start=1):
            for averaged, own in ((True, tables.mean), (False, tables.last)):
                made = choice._replace(rounds=number, averaged=averaged)
                yield Trial(made, held.held_error(own, self.sweeps))


def _error(trial: Trial) -> float:
    return trial.error
