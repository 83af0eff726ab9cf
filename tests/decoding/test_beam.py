from __future__ import annotations

import numpy as np
import torch
from decoding_cases import Case, PrefixScores, assert_same, brute_force, cases
from hypothesis import given
from hypothesis import strategies as st

from mmq.decoding import Decoded, ParallelScores, PrefixIndex, beam_search, exact_search


@given(cases())
def test_a_wide_beam_finds_what_brute_force_finds(case: Case) -> None:
    index = case.index
    found = beam_search(case.scores, index, case.k, len(case.codes))
    assert_same(found, brute_force(case))


@given(cases(filtered=True))
def test_scores_that_depend_on_the_prefix(case: Case) -> None:
    users = torch.linspace(0.3, 2.0, len(case.log_probs[0]))
    index = case.index
    expected = brute_force(case, users)
    for found in (
        beam_search(PrefixScores(users, case.sizes), index, case.k, 40, case.filters),
        exact_search(PrefixScores(users, case.sizes), index, case.k, case.filters),
    ):
        assert found.rows.tolist() == expected.rows.tolist()
        assert torch.allclose(found.scores, expected.scores)


def narrow_search(case: Case, user: int, beams: int) -> list[float]:
    """Scores that a beam search in plain loops comes to, level by level, best first."""
    kept = {(): np.float32(0)}
    rows = [tuple(row) for row in case.codes.tolist()]
    for level, log_probs in enumerate(case.log_probs):
        children = {row[: level + 1] for row in rows if row[:level] in kept}
        scored = {
            child: np.float32(kept[child[:-1]] + np.float32(log_probs[user, child[-1]].item()))
            for child in children
        }
        best = sorted(scored, key=lambda child: (-scored[child], child))[: max(beams, case.k)]
        kept = {child: scored[child] for child in best}
    scores = [float(score) for row in rows for leaf, score in kept.items() if leaf == row]
    return sorted(scores, reverse=True)[: case.k]


@given(cases(), st.integers(1, 6))
def test_a_narrow_beam_keeps_the_best_of_every_level(case: Case, beams: int) -> None:
    rng = np.random.default_rng(len(case.codes))  # without ties, which are broken by group
    case = case._replace(
        log_probs=[
            torch.from_numpy(-rng.random(tuple(each.shape), np.float32)) for each in case.log_probs
        ]
    )
    index = case.index
    found = beam_search(case.scores, index, case.k, beams)
    for user, scores in enumerate(found.scores.tolist()):
        expected = narrow_search(case, user, beams)
        assert scores == expected + [-np.inf] * (case.k - len(expected))


def random_case(items: int, size: int, length: int, users: int) -> tuple[PrefixIndex, Case]:
    rng = np.random.default_rng(items)
    codes = (rng.random((items, length)) ** 2 * size).astype(np.int32)
    log_probs = [
        torch.from_numpy(rng.standard_normal((users, size)).astype(np.float32)).log_softmax(1)
        for _ in range(length)
    ]
    sizes = [size] * length
    return PrefixIndex.build(codes, sizes), Case(codes, sizes, log_probs, 10, None, None)


def test_a_million_decoded_ids_are_all_those_of_items() -> None:
    index, case = random_case(items=12_101, size=100, length=6, users=1000)
    known = {row.tobytes() for row in case.codes}
    decoded = 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        log_probs = [torch.randn(1000, 100, generator=generator) * 2 for _ in range(6)]
        found = beam_search(ParallelScores([p.log_softmax(1) for p in log_probs]), index, 50, 50)
        assert (found.rows >= 0).all()
        assert all(len(set(rows)) == 50 for rows in found.rows.tolist())
        taken = case.codes[found.rows.numpy()]
        assert {row.tobytes() for row in taken.reshape(-1, 6)} <= known
        total = sum(
            p.log_softmax(1).gather(1, torch.from_numpy(taken[:, :, level]).long())
            for level, p in enumerate(log_probs)
        )
        assert torch.allclose(total, found.scores, atol=1e-3)
        decoded += found.rows.numel()
    assert decoded == 1_000_000


def test_wide_levels_by_groups_and_by_lists() -> None:
    """Large enough for dense tables, for selection by groups, and for levels that are listed."""
    index, case = random_case(items=5000, size=60, length=4, users=7)
    assert {level.dense for level in index.levels} == {True, False}
    wide = beam_search(case.scores, index, 10, 5000)
    assert_same(wide, exact_search(case.scores, index, 10))
    for user in range(7):
        one = case._replace(log_probs=[each[user : user + 1] for each in case.log_probs])
        narrow = beam_search(one.scores, index, 10, 30)
        expected = torch.tensor([narrow_search(one, 0, 30)])
        assert torch.equal(narrow.scores, expected)


@given(cases(filtered=True), st.integers(1, 5))
def test_a_result_does_not_depend_on_who_else_is_in_the_batch(case: Case, beams: int) -> None:
    index = case.index
    whole = beam_search(case.scores, index, case.k, beams, case.filters)
    for user in range(len(case.log_probs[0])):
        one = case.of_user(user)
        alone = beam_search(one.scores, index, case.k, beams, one.filters)
        part = Decoded(*(each[user : user + 1] for each in whole))
        assert_same(alone, part)


def test_codes_that_a_model_rules_out_stay_items() -> None:
    index = PrefixIndex.build(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), [2, 2])
    out = torch.tensor([[0.0, -torch.inf]])
    for found in (
        beam_search(ParallelScores([out, out]), index, 5, 5),
        exact_search(ParallelScores([out, out]), index, 5),
    ):
        assert found.rows[0, 0] == 0
        assert sorted(found.rows[0].tolist()) == [-1, 0, 1, 2, 3]
        assert found.scores.tolist() == [[0.0, *[-torch.inf] * 4]]


def test_a_level_with_more_nodes_than_a_group_search_takes() -> None:
    """Equal scores everywhere: the first IDs in order win, however many beams there are."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.stack(np.unravel_index(np.arange(4000), (20, 200)), axis=1))
    index = PrefixIndex.build(codes, [20, 200])
    flat = ParallelScores([torch.zeros(2, 20), torch.zeros(2, 200)])
    for found in (beam_search(flat, index, 7, 20), exact_search(flat, index, 7)):
        assert codes[found.rows[0].numpy()].tolist() == [[0, code] for code in range(7)]


def test_scores_straight_from_a_network_need_no_detaching() -> None:
    index, case = random_case(items=50, size=5, length=3, users=2)
    learned = ParallelScores([each.clone().requires_grad_() for each in case.log_probs])
    assert_same(beam_search(learned, index, 5, 50), exact_search(case.scores, index, 5))
    assert_same(exact_search(learned, index, 5), exact_search(case.scores, index, 5))
