from __future__ import annotations

import numpy as np
import torch
from decoding_cases import Case, assert_same, brute_force, cases, may_be_given
from hypothesis import given
from hypothesis import strategies as st

from mmq.decoding import (
    Excluded,
    Filters,
    ParallelScores,
    PrefixIndex,
    beam_search,
    exact_search,
)


@given(cases(filtered=True))
def test_a_wide_beam_and_exact_search_are_brute_force(case: Case) -> None:
    index = case.index
    expected = brute_force(case)
    wide = beam_search(case.scores, index, case.k, len(case.codes), case.filters)
    assert_same(wide, expected)
    assert_same(exact_search(case.scores, index, case.k, case.filters), expected)


@given(cases(filtered=True), st.integers(1, 4))
def test_k_items_come_back_wherever_k_may_be_given(case: Case, beams: int) -> None:
    index = case.index
    found = beam_search(case.scores, index, case.k, beams, case.filters)
    for user, (rows, scores) in enumerate(
        zip(found.rows.tolist(), found.scores.tolist(), strict=True)
    ):
        may = may_be_given(case, user)
        count = min(case.k, len(may))
        assert len(set(rows[:count])) == count
        assert set(rows[:count]) <= set(may)
        assert rows[count:] == [-1] * (case.k - count)
        assert scores[count:] == [-np.inf] * (case.k - count)
        assert scores == sorted(scores, reverse=True)


def test_filters_at_the_size_of_a_catalogue() -> None:
    """Groups, dense tables and lists under filters; all three kinds of filter say the same."""
    rng = np.random.default_rng(0)
    items, users = 6000, 5
    codes = (rng.random((items, 4)) ** 2 * 50).astype(np.int32)
    index = PrefixIndex.build(codes, [50] * 4)
    scores = ParallelScores(
        [torch.from_numpy(rng.random((users, 50), np.float32)).log_softmax(1)] * 4
    )
    whole = exact_search(scores, index, 300)
    allowed = torch.ones(items, dtype=torch.bool)
    allowed[whole.rows[0, ::2]] = False  # takes half of the best away
    excluded = torch.nonzero(~allowed)[:, 0].repeat(users)
    offsets = torch.arange(users + 1) * int((~allowed).sum())
    for filters in (
        Filters(allowed),
        Filters(allowed.expand(users, -1)),
        Filters(excluded=Excluded(excluded, offsets)),
    ):
        exact = exact_search(scores, index, 50, filters)
        assert allowed[exact.rows].all()
        assert exact.rows[0].tolist() == whole.rows[0, 1:100:2].tolist()
        assert_same(beam_search(scores, index, 50, items, filters), exact)
        narrow = beam_search(scores, index, 50, 50, filters)
        assert allowed[narrow.rows].all()
        assert_same(narrow, beam_search(scores, index.restrict(allowed), 50, 50))


def test_unknown_rows_and_repetitions_are_ignored() -> None:
    index = PrefixIndex.build(np.array([[0], [1], [1]]), [2])
    scores = ParallelScores([torch.tensor([[-1.0, -0.5]])])
    filters = Filters(excluded=Excluded(torch.tensor([1, -1, 1]), torch.tensor([0, 3])))
    for found in (
        beam_search(scores, index, 3, 1, filters),
        exact_search(scores, index, 3, filters),
    ):
        assert found.rows.tolist() == [[2, 0, -1]]


def test_lists_of_users_take_the_allowed_items_of_an_id_that_many_share() -> None:
    """As many slots as items wanted, however many items share the ID and are not allowed."""
    codes = np.zeros((5000, 2), np.int32)
    codes[4000:] = np.arange(1000)[:, None] % 7
    index = PrefixIndex.build(codes, [7, 7])
    logits = torch.zeros(2, 7)
    logits[:, 0] = 9.0  # the ID of thousands goes first
    scores = ParallelScores([logits.log_softmax(1)] * 2)
    allowed = torch.zeros(2, 5000, dtype=torch.bool)
    allowed[0, [3, 1999, 3999]] = True
    allowed[1, 3990:] = True
    found = exact_search(scores, index, 5, Filters(allowed))
    assert found.rows.tolist() == [[3, 1999, 3999, -1, -1], [3990, 3991, 3992, 3993, 3994]]
