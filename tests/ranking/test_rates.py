"""Smoothed rates by plain loops."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmq.ranking._rates import base_rate, count, log_odds, with_unknown


def rows_of(seed):
    rng = np.random.default_rng(seed)
    numbers = np.stack([rng.integers(0, 4, 30), rng.integers(0, 6, 30)], 1)
    return numbers, rng.integers(0, 2, 30)


def counts_of(numbers, labels):
    counts = [np.zeros((size, 2), np.int64) for size in (5, 6)]  # the last user is met by no row
    for place, each in enumerate(counts):
        count(each, numbers[:20, place], labels[:20])
        count(each, numbers[20:, place], labels[20:])
    return counts


@given(st.integers(0, 1000), st.booleans())
def test_log_odds_are_those_of_plain_loops(seed, left_out):
    numbers, labels = rows_of(seed)
    counts = counts_of(numbers, labels)
    base = (labels.sum() + 1) / (len(labels) + 2)
    assert base_rate(counts[0]) == base
    found = log_odds(counts, numbers, 3.0, labels if left_out else None)
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
    counts = [with_unknown(each) for each in counts_of(numbers, labels)]
    unmet = np.array([[0, 0], [5, 0]])  # an unknown one, and a user without rows
    np.testing.assert_allclose(log_odds(counts, unmet, 10.0), 0, atol=1e-6)
    assert np.count_nonzero(counts[0][:, 0]) == len(np.unique(numbers[:, 0]))
