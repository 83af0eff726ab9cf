"""Tables and codes in turn: least squares given the codes, sweeps given the tables.

An item that helped to make a table finds codes in it that are better than those of a new item, and
tables made of such codes flatter themselves, round after round. So items are coded by tables that
have not seen them: the others' (cross-fitting). Tables of several rounds, each of other noise and
other folds, are averaged; that takes off what the draw of a single round left in them.

Where noise is added codes are those of disturbed items and targets the items as they are (a
denoising autoencoder in closed form; the noise is that of stochastic relaxation in LSQ++: Martinez,
Zakhmi, Hoos and Little, ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.nn.least_squares import DENSE, NormalEquations, solve_in_steps
from mmq.tokenizers._additive.problem import Problem, folds

FOLDS = 5
"""Parts of the items, each coded by the tables of the others."""

_SWEEPS = 2  # over the codes in a round
_FOLDS_IN_STEPS = 2  # where tables are too large to be solved directly


class Tables(NamedTuple):
    """What a round leaves.

    Attributes:
        last: ``(n, k, d)`` of this round.
        mean: of all rounds and the start.
    """

    last: Tensor
    mean: Tensor


@torch.no_grad()
def rounds(
    problem: Problem,
    table: Tensor,
    smoothing: float,
    copies: int,
    penalty: float,
    generator: np.random.Generator,
) -> Iterator[Tables]:
    """Tables after one round, two, and so on without end.

    Args:
        problem: the items.
        table: ``(n, k, d)`` to start from.
        smoothing: see :meth:`Problem.disturbed`.
        copies: how often each item is disturbed.
        penalty: pseudo-members at the mean of each codeword.
        generator: source of randomness.
    """
    many = problem._replace(
        x=problem.x.repeat(copies, 1), present=problem.present.repeat(copies, 1)
    )
    codes: Tensor | None = None
    mean, count = table.clone(), 1
    while True:
        noisy = torch.cat([problem.disturbed(smoothing, generator) for _ in range(copies)])
        if codes is None:
            codes = problem.encode(table, noisy, many.present, None, _SWEEPS)
        else:
            _recode(many, noisy, codes, table, (penalty * copies, copies), generator)
        table = solve(many, codes, penalty * copies, table)
        count += 1
        mean = mean + (table - mean) / count
        yield Tables(table, mean)


def _recode(
    many: Problem,
    noisy: Tensor,
    codes: Tensor,
    table: Tensor,
    weights: tuple[float, int],
    generator: np.random.Generator,
) -> None:
    """Sweep over the codes of every fold, in place, by tables of the others.

    Args:
        many: the items, as often as they are disturbed.
        noisy: ``(b, d)`` disturbed.
        codes: ``(b, n)``.
        table: ``(n, k, d)`` to start from where tables are solved in steps.
        weights: penalty, and how often the items stand in ``many``.
        generator: source of the folds.
    """
    penalty, copies = weights
    items = len(many.x) // copies
    count = FOLDS if _dense(many) else _FOLDS_IN_STEPS
    parts = [
        torch.cat([rows + copy * items for copy in range(copies)]).to(codes.device)
        for rows in folds(items, count, generator)
    ]
    sums = []
    if _dense(many):
        for block in blocks(many):
            per_fold = [block.sums(many, codes, rows) for rows in parts]
            sums.append((block, per_fold, NormalEquations.total(per_fold)))
    fresh = []
    for fold, rows in enumerate(parts):
        if _dense(many):
            own = torch.zeros_like(table)
            for block, per_fold, total in sums:
                block.put(own, total.minus(per_fold[fold]).solve(penalty))
        else:
            rest = torch.cat([each for f, each in enumerate(parts) if f != fold])
            own = solve(many.take(rest), codes[rest], penalty, table)
        fresh.append(many.encode(own, noisy[rows], many.present[rows], codes[rows], _SWEEPS))
    for rows, found in zip(parts, fresh, strict=True):
        codes[rows] = found


def solve(problem: Problem, codes: Tensor, penalty: float, start: Tensor) -> Tensor:
    """Tables ``(n, k, d)`` for codes ``(b, n)``, each modality from the items that have it."""
    table = torch.zeros_like(start)
    for block in blocks(problem):
        if _dense(problem):
            block.put(table, block.sums(problem, codes, None).solve(penalty))
        else:
            rows, own = block.rows(problem, None), codes[:, block.positions]
            first = start[block.positions][:, :, block.columns].flatten(0, 1)
            targets = problem.x[rows][:, block.columns]
            block.put(table, solve_in_steps(own[rows], targets, problem.size, penalty, first))
    return table


class Block(NamedTuple):
    """Coordinates that the same positions speak of, and the same items have.

    Attributes:
        positions: places in the ID.
        columns: coordinates.
        modality: one of those that they belong to.
    """

    positions: list[int]
    columns: list[int]
    modality: int

    def rows(self, problem: Problem, among: Tensor | None) -> Tensor:
        """The items that have them, among some or all."""
        seen = problem.present[:, self.modality] > 0
        if among is None:
            return torch.nonzero(seen).flatten()
        return among[seen[among]]

    def sums(self, problem: Problem, codes: Tensor, among: Tensor | None) -> NormalEquations:
        """The normal equations of these coordinates, over some of the items."""
        rows = self.rows(problem, among)
        own = codes[rows][:, self.positions]
        return NormalEquations.of(own, problem.x[rows][:, self.columns], problem.size)

    def put(self, table: Tensor, solved: Tensor) -> None:
        """Write tables ``(n k, d)`` of these positions and coordinates into all, in place."""
        place = torch.tensor(self.positions)[:, None], torch.tensor(self.columns)[None]
        table[place[0], :, place[1]] = solved.view(
            len(self.positions), -1, len(self.columns)
        ).transpose(1, 2)


def blocks(problem: Problem) -> list[Block]:
    """The coordinates, those together that can be solved together."""
    found: dict[tuple[bytes, bytes], Block] = {}
    for m, column in enumerate(problem.columns):
        positions = np.flatnonzero(problem.scopes[:, m]).tolist()
        seen = problem.present[:, m].cpu().numpy().tobytes()
        own = Block(positions, list(range(column.start, column.stop)), m)
        known = found.setdefault((problem.scopes[:, m].tobytes(), seen), own)
        if known is not own:
            known.columns.extend(own.columns)
    return [each for each in found.values() if each.positions]


def _dense(problem: Problem) -> bool:
    return len(problem.scopes) * problem.size <= DENSE
