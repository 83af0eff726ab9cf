import numpy as np
import pytest
import torch

from mmq.nn.least_squares import NormalEquations, solve_in_steps

N, K, D = 3, 5, 4


def case(items=80, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(K, (items, N), generator=generator)
    codes[:, 1] = codes[:, 1].clamp_max(K - 2)  # one codeword without members
    return codes, torch.randn(items, D, generator=generator)


def regressed(codes, targets, penalty):
    """Ridge regression on one-hot codes by numpy."""
    hot = np.zeros((len(codes), N * K))
    for row, own in enumerate(codes.tolist()):
        for position, code in enumerate(own):
            hot[row, position * K + code] = 1
    rows = np.vstack([hot, penalty**0.5 * np.eye(N * K)])
    wanted = np.vstack([targets.numpy(), np.zeros((N * K, D))])
    return np.linalg.lstsq(rows, wanted, rcond=None)[0]


@pytest.mark.parametrize("penalty", [0.1, 1.0, 8.0])
def test_tables_are_those_of_a_regression_on_one_hot_codes(penalty):
    codes, targets = case()
    expected = regressed(codes, targets, penalty)
    solved = NormalEquations.of(codes, targets, K).solve(penalty)
    np.testing.assert_allclose(solved, expected, atol=1e-5)
    steps = solve_in_steps(codes, targets, K, penalty, torch.zeros(N * K, D))
    # they end at a residual of 1e-4, and a small penalty hardly holds what codes share
    np.testing.assert_allclose(steps, expected, atol=5e-4 / penalty)
    assert not solved[K + K - 1].any()
    assert not steps[K + K - 1].any()


def test_sums_of_some_items_are_those_of_all_without_the_others():
    codes, targets = case()
    whole, part, rest = (
        NormalEquations.of(codes[rows], targets[rows], K)
        for rows in (slice(None), slice(0, 30), slice(30, None))
    )
    torch.testing.assert_close(whole.minus(part).gram, rest.gram)
    torch.testing.assert_close(whole.minus(part).moments, rest.moments)


def test_steps_from_the_solution_stay_there():
    codes, targets = case(400, seed=1)
    solved = NormalEquations.of(codes, targets, K).solve(2.0)
    again = solve_in_steps(codes, targets, K, 2.0, solved)
    torch.testing.assert_close(again, solved, atol=1e-5, rtol=1e-4)


def test_a_larger_penalty_makes_shorter_codewords():
    codes, targets = case()
    equations = NormalEquations.of(codes, targets, K)
    lengths = [float(equations.solve(penalty).norm()) for penalty in (0.1, 1.0, 10.0, 1e6)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 1e-3
