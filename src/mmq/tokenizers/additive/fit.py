"""A fit of additive codes from start to end: choose, start, alternate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmq.nn.loop import Log, Trained
from mmq.progress import bar
from mmq.tokenizers.additive.alternate import rounds
from mmq.tokenizers.additive.choice import SMOOTHINGS, Choice, Start, choose, copies_of
from mmq.tokenizers.additive.network import AdditiveNetwork
from mmq.tokenizers.additive.problem import Problem
from mmq.tokenizers.additive.start import Layout, layouts, residual_start

_ITERATIONS = 25  # of k-means in the start of a fit
_MOST_ITEMS = 1024  # items a codeword that a fit learns from at most


@torch.no_grad()
def fit_additive(
    network: AdditiveNetwork,
    x: Tensor,
    present: Tensor,
    seed: int,
    smoothing: float | None = None,
    table: Tensor | None = None,
) -> Trained:
    """Set the tables of a network, and what its positions have to say.

    Args:
        network: not fitted yet; its scopes and sizes say what is wanted.
        x: ``(items, d)``, zero where missing.
        present: ``(items, m)`` presence.
        seed: of everything random.
        smoothing: noise; None tries some.
        table: ``(n, k, d)`` to start from, learned without the validation items of
            :func:`~mmq.tokenizers.additive.choice.parts`; None starts by k-means of residuals.
    """
    started = time.monotonic()
    size = network.codebook_sizes[0]
    scopes = network.scopes.cpu().numpy() > 0
    widths = tuple(network.dimensions.values())
    problem = Problem(x.to(network.device), present.to(network.device), widths, scopes, size)
    problem = _sample(problem, seed)
    starts = _starts(scopes, table)
    tried = SMOOTHINGS if smoothing is None else (smoothing,)
    with bar("choose", len(starts) * len(tried), unit="trials"):
        trials = choose(problem, starts, network.sweeps, seed, tried)
    found = trials[0].choice
    log: Log = [trial.line() for trial in trials]
    network.table.copy_(_fitted(problem, starts[found.start], found, seed))
    block = slice(0, 20_000)
    codes = problem.encode(
        network.tables(), problem.x[block], problem.present[block], None, network.sweeps
    )
    network.set_mean_squares(problem.x[block], codes)
    seconds = time.monotonic() - started
    return Trained(found.rounds, seconds, len(x) / max(seconds, 1e-9), log)


def _fitted(problem: Problem, start: Start, found: Choice, seed: int) -> Tensor:
    """The tables of a choice, from all items."""
    generator = np.random.default_rng([seed, 4])
    copies = copies_of(len(problem.x), found.smoothing)
    with bar("fit", found.rounds + 1, unit="rounds") as advance:
        table = start(problem, found.smoothing, copies, generator)
        advance(1)
        run = rounds(problem, table, found.smoothing, copies, found.penalty, generator)
        for tables in islice(run, found.rounds):
            table = tables.mean if found.averaged else tables.last
            advance(1)
    return table


def _starts(scopes: np.ndarray, table: Tensor | None) -> Mapping[str, Start]:
    if table is not None:
        return {"given": lambda *_: table}
    return {name: partial(_by_residuals, layout) for name, layout in layouts(scopes).items()}


def _by_residuals(
    layout: Layout, problem: Problem, smoothing: float, copies: int, generator: np.random.Generator
) -> Tensor:
    return residual_start(problem, layout, smoothing, copies, _ITERATIONS, generator)


def _sample(problem: Problem, seed: int) -> Problem:
    """The items, or a sample of as many as there is something to learn from."""
    limit = _MOST_ITEMS * problem.size
    if len(problem.x) <= limit:
        return problem
    rows = np.random.default_rng([seed, 5]).choice(len(problem.x), limit, replace=False)
    return problem.take(torch.from_numpy(np.sort(rows)))


def chosen(log: Log) -> dict[str, Any]:
    """What was chosen, of the log of a fit; empty if nothing was."""
    return dict(log[0]) if log and "validation_fvu" in log[0] else {}
