import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.metrics.rate_distortion import Bound, gaussian_bound, least_error

SPECTRA = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


def poured(values, bits):
    """Water-filling by trying every number of components above the water."""
    values = sorted(values, reverse=True)
    for count in range(len(values), 0, -1):
        logs = sum(math.log(value) for value in values[:count])
        level = math.exp((logs - 2 * bits * math.log(2)) / count)
        if level <= values[count - 1] * (1 + 1e-12):  # all of them stand above it
            return (count * level + sum(values[count:])) / sum(values)
    raise AssertionError


@given(SPECTRA, st.floats(0, 60))
def test_it_is_what_plain_loops_find(values, bits):
    expected = poured(values, bits)
    assert least_error(np.array(values), bits) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("bits", [0, 0.5, 1, 3, 8])
def test_a_gaussian_number(bits):
    assert least_error(np.array([5.0]), bits) == pytest.approx(4.0**-bits)


def test_directions_without_variance_cost_nothing():
    some = np.array([4.0, 1.0, 0.5])
    padded = np.array([0.0, 4.0, -1e-12, 1.0, 0.5, 0.0])
    assert least_error(padded, 5) == pytest.approx(least_error(some, 5), rel=1e-9)
    assert least_error(np.zeros(3), 5) == 0


def correlated(items=400, seed=0):
    rng = np.random.default_rng(seed)
    both = rng.normal(size=(items, 2))
    text = np.hstack([both, rng.normal(size=(items, 3))])
    image = np.hstack([both + 0.3 * rng.normal(size=(items, 2)), rng.normal(size=(items, 1))])
    return np.hstack([text, image]), [5, 3]


def test_coding_together_is_never_worse():
    vectors, widths = correlated()
    found = gaussian_bound(vectors, widths, (16, 16, 16))
    assert found.bits == 12
    assert found.fvu < found.fvu_separate < 1
    assert found.joint_gain == pytest.approx(1 - found.fvu / found.fvu_separate)
    covariance = np.cov(vectors.T, bias=True)
    assert found.fvu == pytest.approx(poured(np.linalg.eigvalsh(covariance), 12))
    blocks = [np.linalg.eigvalsh(covariance[:5, :5]), np.linalg.eigvalsh(covariance[5:, 5:])]
    assert found.fvu_separate == pytest.approx(poured(np.concatenate(blocks), 12))


def test_one_modality_has_nothing_to_gain():
    found = gaussian_bound(correlated()[0], [8], (256, 256))
    assert found.fvu == found.fvu_separate
    assert found.joint_gain == 0
    assert Bound(0.0, 0.0, 4.0).joint_gain == 0


@pytest.mark.parametrize("items", [5, 9, 400])
def test_neither_a_shared_direction_nor_few_items_matter(items):
    """Fewer items than columns have the smaller Gram matrix."""
    vectors, widths = correlated(items)
    plain = gaussian_bound(vectors, widths, (4, 4))
    moved = gaussian_bound(vectors + 7.0, widths, (4, 4))
    assert moved == pytest.approx(plain, rel=1e-6)
    spectrum = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2
    assert plain.fvu == pytest.approx(poured(np.maximum(spectrum, 1e-12), 4), rel=1e-6)
