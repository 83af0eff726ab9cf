from __future__ import annotations

import numpy as np
import torch
from decoding_cases import Case, assert_same, brute_force, cases, item_scores
from hypothesis import given
from hypothesis import strategies as st

from mmq.decoding import Decoded, ParallelScores, PrefixIndex, exact_search, score_items
from mmq.decoding._running import NONE, RunningBest
from mmq.decoding._selection import pack


@given(cases())
def test_exact_search_is_brute_force(case: Case) -> None:
    index = case.index
    found = exact_search(case.scores, index, case.k)
    assert_same(found, brute_force(case))


@given(cases())
def test_scores_of_all_items(case: Case) -> None:
    scores = score_items(case.log_probs, torch.from_numpy(case.codes))
    for user, own in enumerate(scores.tolist()):
        assert own == item_scores(case, user)


def test_many_blocks_of_items_and_users() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 30, (20_000, 5)).astype(np.int32)
    index = PrefixIndex.build(codes, [30] * 5)
    logits = rng.standard_normal((5, 130, 30)).astype(np.float32)
    log_probs = [each.log_softmax(1) for each in torch.from_numpy(logits)]
    scores = score_items(log_probs, torch.from_numpy(codes))
    order = np.lexsort((np.arange(len(codes)), *codes.T[::-1]))  # by ID, then row
    best = scores[:, order].sort(dim=1, descending=True, stable=True)
    expected = Decoded(torch.from_numpy(order)[best.indices[:, :20]], best.values[:, :20])
    assert_same(exact_search(ParallelScores(log_probs), index, 20), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans())
def test_the_running_best_of_blocks(seed: int, kept: int, rising: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(-9, 9, (200, 3)).astype(np.float32))
    scores = scores.sort(dim=0).values if rising else scores
    scores[torch.from_numpy(rng.random((200, 3)) < 0.3)] = -torch.inf
    running = RunningBest(3, kept, scores.device)
    for first in range(0, 200, 48):
        running.add(scores[first : first + 48], first)
    packed = pack(scores.t().contiguous(), torch.arange(200))
    packed[scores.t() == -torch.inf] = NONE
    assert torch.equal(running.best(), packed.sort(dim=1, descending=True).values[:, :kept])
