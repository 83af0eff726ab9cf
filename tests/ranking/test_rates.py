"""Smoothed rates by plain loops."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmq.ranking.rates import Tally, base_rate, log_odds


def rows_of(seed):
    rng = np.random.default_rng(seed)
    numbers = np.stack([rng.integers(0, 4, 30), rng.integers(0, 6, 30)], 1)
    return numbers, rng.integers(0, 2, 30)


def tallies_of(numbers, labels):
    tallies = [Tally.empty(size) for size in (5, 6)]  # the last of the five users is met by no row
    for place, tally in enumerate(tallies):
        tally.add(numbers[:20, place], labels[:20])
        tally.add(numbers[20:, place], labels[20:])
    return tallies


@given(st.integers(0, 1000), st.booleans())
def test_log_odds_are_those_of_plain_loops(seed, left_out):
    numbers, labels = rows_of(seed)
    tallies = tallies_of(numbers, labels)
    base = (labels.sum() + 1) / (len(labels) + 2)
    assert base_rate(tallies[0]) == base
    found = log_odds(tallies, numbers, 3.0, labels if left_out else None)
    for row in range(len(numbers)):
        for place in range(2):
            others = [
                labels[other]
                for other in range(len(numbers))
                if numbers[other, place] == numbers[row, place] and not (left_out and other == row)
            ]
            rate = (sum(others) + 3.0 * base) / (len(others) + 3.0)
            expected = math.log(rate / (1 - rate)) - math.log(base / (1 - base))
            assert math.isclose(found[row, place], expected, rel_tol=1e-4, abs_tol=1e-5)


def test_what_was_never_met_is_like_all_together():
    numbers, labels = rows_of(0)
    tallies = [tally.with_others() for tally in tallies_of(numbers, labels)]
    unmet = np.array([[0, 0], [5, 0]])  # an unknown one, and a user without rows
    np.testing.assert_allclose(log_odds(tallies, unmet, 10.0), 0, atol=1e-6)
    assert len(tallies[0].met().shown) == len(np.unique(numbers[:, 0]))
