from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.metrics.rate import gaussian_fvu, noise_fvu


@given(
    st.lists(st.floats(0.001, 100), min_size=1, max_size=8),
    st.floats(0, 40),
)
def test_the_water_level_is_that_of_a_search(variances: list[float], bits: float) -> None:
    """By halving: the level at which the directions above it take all the bits."""
    low, high = 0.0, max(variances)
    for _ in range(200):
        level = (low + high) / 2
        spent = sum(0.5 * math.log2(v / level) for v in variances if v > level) if level else 1e9
        low, high = (level, high) if spent > bits else (low, level)
    expected = sum(min(v, high) for v in variances) / sum(variances)
    assert gaussian_fvu(np.array(variances), bits) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_noise_of_one_width() -> None:
    assert noise_fvu({"text": 112}, [32] * 6) == pytest.approx(2 ** (-2 * 30 / 112))
    assert noise_fvu({"text": 64}, [1]) == 1


def test_noise_of_two_widths_is_coded_where_it_is_widest_spread_first() -> None:
    """One bit goes to the narrow modality, whose directions vary more."""
    assert noise_fvu({"text": 4, "image": 2}, [2]) == pytest.approx((1 + 2 * 0.5 * 0.5) / 2)


def test_nothing_that_varies() -> None:
    assert math.isnan(gaussian_fvu(np.zeros(3), 5))
