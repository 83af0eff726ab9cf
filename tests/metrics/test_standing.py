"""Where one model stands beside another, by a figure and a test."""

import math

import pytest

from mmq.metrics.standing import Standing


@pytest.mark.parametrize(
    ("difference", "p_value", "sign", "word"),
    [
        (0.1, 0.01, 1, "ahead of"),
        (-0.1, 0.01, -1, "behind"),
        (0.1, 0.2, 0, "not significantly different from"),
        (0.1, math.nan, 0, "not significantly different from"),
    ],
)
def test_it_takes_a_test_to_be_ahead(difference, p_value, sign, word):
    found = Standing.of(0.6, 0.5, difference, p_value)
    assert found == Standing(0.6, 0.5, sign)
    assert found.word == word
    assert found.figures == "0.6000 against 0.5000"
