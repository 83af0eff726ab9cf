import numpy as np
import pytest
from scipy import optimize, stats

from mmq.ab._sequential import anytime_p_value, mixture_precision, mixture_widths


def test_widths_are_those_of_the_formula() -> None:
    t, planned, alpha = 5000, 20_000, 0.05
    rho2 = mixture_precision(planned, alpha)
    # Waudby-Smith et al. 2024, Theorem 2.2, times sqrt(t) / sigma
    expected = np.sqrt(t) * np.sqrt(
        (t * rho2 + 1) / (t**2 * rho2) * np.log((t * rho2 + 1) / alpha**2)
    )
    assert mixture_widths(np.array([t]), planned, alpha)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("planned", [100, 10_000, 3_000_000])
def test_no_other_precision_is_narrower_where_it_is_planned(planned: int) -> None:
    def width(log_rho2: float) -> float:
        scale = planned * np.exp(log_rho2)
        return float((scale + 1) / scale * np.log((scale + 1) / 0.05**2))

    best = optimize.minimize_scalar(width, bracket=(-np.log(planned), 3 - np.log(planned)))
    assert np.exp(best.x) == pytest.approx(mixture_precision(planned, 0.05), rel=1e-4)


def test_the_p_value_is_alpha_where_the_interval_touches_zero() -> None:
    width = float(mixture_widths(np.array(7000), 7000, 0.05))
    assert anytime_p_value(width, 7000, 7000) == pytest.approx(0.05)
    assert anytime_p_value(0.0, 7000, 7000) == 1


def test_a_random_walk_leaves_it_at_most_as_often_as_alpha() -> None:
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.standard_normal((2000, 1000)), axis=1)
    t = np.arange(1, 1001)
    z = np.abs(walks) / np.sqrt(t)
    assert (z > mixture_widths(t, 300, 0.05)).any(axis=1).mean() <= 0.05
    assert (z > stats.norm.isf(0.025)).any(axis=1).mean() > 0.3, "the interval of one look"
