"""Small catalogues, a brute-force search in plain loops and scores that depend on the prefix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from mmq.decoding import Decoded, Excluded, Filters, ParallelScores, PrefixIndex


class Case(NamedTuple):
    """A catalogue, a batch of users and what is asked for."""

    codes: np.ndarray
    sizes: list[int]
    log_probs: list[Tensor]
    k: int
    filters: Filters | None
    ties: Tensor | None

    @property
    def scores(self) -> ParallelScores:
        return ParallelScores(self.log_probs)

    @property
    def index(self) -> PrefixIndex:
        """Of its codes; items that share an ID by its ties, or by row."""
        index = PrefixIndex.build(self.codes, self.sizes)
        return index if self.ties is None else index.ordered(self.ties)

    def of_user(self, user: int) -> Case:
        """The same with one user alone."""
        filters = self.filters
        if filters is not None:
            allowed, excluded = filters.allowed, filters.excluded
            if allowed is not None and allowed.ndim == 2:
                allowed = allowed[user : user + 1]
            if excluded is not None:
                first, end = excluded.offsets[user : user + 2].tolist()
                excluded = Excluded(excluded.rows[first:end], torch.tensor([0, end - first]))
            filters = Filters(allowed, excluded)
        log_probs = [each[user : user + 1] for each in self.log_probs]
        return self._replace(log_probs=log_probs, filters=filters)


class PrefixScores:
    """Scores that depend on every code taken so far, as an autoregressive head's do."""

    def __init__(self, users: Tensor, sizes: list[int]) -> None:
        self.users, self.sizes = users, sizes
        self.state = users[:, None]

    def of(self, state: Tensor, level: int) -> Tensor:
        steps = torch.arange(1, self.sizes[level] + 1)
        return torch.sin(state[..., None] * steps).log_softmax(-1)

    def first(self) -> Tensor:
        self.state = self.users[:, None]
        return self.of(self.users, 0)

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        self.state = self.state.gather(1, parents) * 1.7 + codes + level
        return self.of(self.state, level)


def item_scores(case: Case, user: int, autoregressive: Tensor | None = None) -> list[float]:
    """Score of every item, summed in float32 from the first code on."""
    result = []
    for row in case.codes.tolist():
        total = np.float32(0)
        scores = None
        if autoregressive is not None:
            scores = PrefixScores(autoregressive[user : user + 1], case.sizes)
        for level, code in enumerate(row):
            if scores is None:
                step = case.log_probs[level][user, code]
            elif level == 0:
                step = scores.first()[0, code]
            else:
                before = torch.tensor([[row[level - 1]]])
                step = scores.next(level, torch.zeros(1, 1, dtype=torch.int64), before)[0, 0, code]
            total = np.float32(total + np.float32(step.item()))
        result.append(float(total))
    return result


def may_be_given(case: Case, user: int) -> list[int]:
    rows = range(len(case.codes))
    if case.filters is None:
        return list(rows)
    allowed, excluded = case.filters.allowed, case.filters.excluded
    if allowed is not None:
        mine = allowed if allowed.ndim == 1 else allowed[user]
        rows = [row for row in rows if mine[row]]
    if excluded is not None:
        seen = excluded.rows[excluded.offsets[user] : excluded.offsets[user + 1]].tolist()
        rows = [row for row in rows if row not in seen]
    return list(rows)


def brute_force(case: Case, autoregressive: Tensor | None = None) -> Decoded:
    """Everything scored, filtered and sorted by score, ID, ties, row, in plain loops."""
    rows, found = [], []
    users = len(case.log_probs[0])
    for user in range(users):
        scores = item_scores(case, user, autoregressive)

        def key(row: int, scores=scores) -> tuple:
            tie = 0.0 if case.ties is None else -float(case.ties[row])
            return (-scores[row], tuple(case.codes[row].tolist()), tie, row)

        best = sorted(may_be_given(case, user), key=key)[: case.k]
        missing = case.k - len(best)
        rows.append(best + [-1] * missing)
        found.append([scores[row] for row in best] + [-np.inf] * missing)
    return Decoded(torch.tensor(rows), torch.tensor(found, dtype=torch.float32))


def assert_same(found: Decoded, expected: Decoded) -> None:
    assert found.rows.tolist() == expected.rows.tolist()
    assert torch.equal(found.scores, expected.scores)


@st.composite
def cases(draw: st.DrawFn, filtered: bool = False) -> Case:
    """Few items of any length, codes often the same, scores often equal."""
    length = draw(st.integers(1, 7))
    sizes = draw(st.lists(st.integers(1, 9), min_size=length, max_size=length))
    items, users = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    skew = draw(st.sampled_from([1.0, 3.0]))
    codes = np.stack([(rng.random(items) ** skew * size).astype(np.int32) for size in sizes], 1)
    codes = codes[rng.integers(0, items, items)] if draw(st.booleans()) else codes
    coarse = draw(st.booleans())
    log_probs = []
    for size in sizes:
        logits = rng.standard_normal((users, size)).astype(np.float32)
        logits = np.round(logits) / 4 if coarse else logits
        log_probs.append(torch.from_numpy(-np.abs(logits)))
    tied = draw(st.booleans())
    return Case(
        codes,
        sizes,
        log_probs,
        draw(st.integers(1, 12)),
        draw_filters(draw, rng, users, items) if filtered else None,
        torch.from_numpy(rng.integers(0, 3, items)).float() if tied else None,
    )


def draw_filters(draw: st.DrawFn, rng: np.random.Generator, users: int, items: int) -> Filters:
    shape = draw(st.sampled_from([None, (items,), (users, items)]))
    share = draw(st.sampled_from([0.0, 0.1, 0.7]))
    allowed = None if shape is None else torch.from_numpy(rng.random(shape) < share)
    if draw(st.booleans()):
        return Filters(allowed)
    counts = rng.integers(0, 2 * items, users)
    rows = torch.from_numpy(rng.integers(-1, items, counts.sum()))
    return Filters(allowed, Excluded(rows, torch.from_numpy(np.append(0, counts.cumsum()))))
