"""A fit of additive codes from start to end: choose, start, alternate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq._progress import bar
from mmq.tokenizers._additive.alternate import rounds
from mmq.tokenizers._additive.choice import SMOOTHINGS, Choice, Plan, Trials, copies_of
from mmq.tokenizers._additive.network import AdditiveNetwork, scopes_of
from mmq.tokenizers._additive.problem import Problem
from mmq.tokenizers._additive.start import Effort, layouts, product_start, residual_start
from mmq.tokenizers._base import ITEMS_PER_CODEWORD
from mmq.training._loop import Log, Trained

_ITERATIONS = 25  # of k-means in the start of a fit
_BLOCK = 20_000  # items that the lengths of what positions have to say are measured on

Positions = Mapping[str, slice]


class Shape(NamedTuple):
    """What an ID should be like.

    Attributes:
        dimensions: modality -> width of its coordinates.
        positions: the ways to share out its positions to groups; the first if they do as well.
        size: K.
        sweeps: over the codes of an item.
        start: "joint" or "separate", what positions that speak of several modalities are first
            clusters of; None tries both.
    """

    dimensions: Mapping[str, int]
    positions: Sequence[Positions]
    size: int
    sweeps: int
    start: str | None = None


@torch.no_grad()
def fit_additive(
    shape: Shape,
    x: Tensor,
    present: Tensor,
    seed: int,
    smoothing: float | None = None,
    table: Tensor | None = None,
) -> tuple[AdditiveNetwork, Trained]:
    """A network whose tables are fitted, and how.

    Args:
        shape: of the ID.
        x: ``(items, d)``, zero where missing.
        present: ``(items, m)`` presence.
        seed: of everything random.
        smoothing: noise; None tries some.
        table: ``(n, k, d)`` to start from, learned without the validation items of
            :func:`~mmq.tokenizers._additive.choice.parts`; None starts in several ways.
    """
    started = time.monotonic()
    pairs = [(plan, own) for own in shape.positions for plan in _plans(shape, own, table)]
    plans, ways = [plan for plan, _ in pairs], {plan.name: own for plan, own in pairs}
    widths = tuple(shape.dimensions.values())
    problem = _sample(Problem(x, present, widths, plans[0].scopes, shape.size), seed)
    trials = Trials(problem, plans, shape.sweeps, seed)
    tried = SMOOTHINGS if smoothing is None else (smoothing,)
    with bar("choose", len(plans) + len(tried), unit="trials") as advance:
        found = trials.choose(tried, advance)
    plan = trials.plans[found.plan]
    problem = problem._replace(scopes=plan.scopes)
    network = AdditiveNetwork(shape.dimensions, ways[found.plan], shape.size, shape.sweeps)
    network.to(x.device).table.copy_(_fitted(problem, plan, found, seed))
    rows = slice(0, _BLOCK)
    some, seen = problem.x[rows], problem.present[rows]
    codes = problem.encode(network.tables(), some, seen, None, shape.sweeps)
    network.set_mean_squares(some, codes)
    log: Log = [trial.line() for trial in sorted(trials.done, key=lambda each: each.error)]
    log.sort(key=lambda line: not _is(line, found))
    seconds = time.monotonic() - started
    return network, Trained(found.rounds, seconds, len(x) / max(seconds, 1e-9), log)


def _fitted(problem: Problem, plan: Plan, found: Choice, seed: int) -> Tensor:
    """The tables of a choice, from all items."""
    generator = np.random.default_rng([seed, 4])
    copies = copies_of(len(problem.x), found.smoothing)
    with bar("fit", found.rounds + 1, unit="rounds") as advance:
        table = plan.start(problem, Effort(found.smoothing, copies, _ITERATIONS), generator)
        advance(1)
        run = rounds(problem, table, found.smoothing, copies, found.penalty, generator)
        for tables in islice(run, found.rounds):
            table = tables.mean if found.averaged else tables.last
            advance(1)
    return table


def _plans(shape: Shape, positions: Positions, table: Tensor | None) -> list[Plan]:
    """The ways to begin with positions that are shared out like that."""
    scopes = scopes_of(positions, shape.dimensions)
    if table is not None:
        return [Plan("given", scopes, lambda *_: table)]
    counts = " + ".join(str(place.stop - place.start) for place in positions.values())
    found = []
    ways = layouts(scopes)
    for name, layout in ways.items():
        if shape.start in ways and name != shape.start:
            continue
        residual, product = partial(residual_start, layout), partial(product_start, layout)
        found.append(Plan(f"{name} residuals, {counts}", scopes, residual))
        if name == "separate" or len(set(layout)) == 1:
            found.append(Plan(f"{name} product, {counts}", scopes, product))
    return found


def _sample(problem: Problem, seed: int) -> Problem:
    """The items, or a sample of as many as there is something to learn from."""
    limit = ITEMS_PER_CODEWORD * problem.size
    if len(problem.x) <= limit:
        return problem
    rows = np.random.default_rng([seed, 5]).choice(len(problem.x), limit, replace=False)
    return problem.take(torch.from_numpy(np.sort(rows)))


def _is(line: Mapping[str, Any], found: Choice) -> bool:
    return all(line[name] == value for name, value in found._asdict().items())


def chosen(log: Log) -> dict[str, Any]:
    """What was chosen, of the log of a fit; empty if nothing was."""
    return dict(log[0]) if log and "validation_fvu" in log[0] else {}
