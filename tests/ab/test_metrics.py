"""Estimators against tea-tasting, to 1e-9."""

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt

from mmq.ab._metrics import Metric, compare
from mmq.ab._moments import Moments

CLOSE = {"rel": 1e-9, "abs": 1e-12}


def users(seed: int = 0, n: int = 3000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    before = rng.gamma(0.5, 2.0, n)
    arm = (rng.random(n) < 0.4).astype(int)
    orders = rng.poisson(0.3 + 0.2 * before + 0.05 * arm)
    clicks = orders + rng.poisson(2.0, n)
    revenue = orders * rng.lognormal(2, 1, n)
    return {"arm": arm, "orders": orders, "clicks": clicks, "revenue": revenue, "before": before}


def moments(data: dict[str, np.ndarray]) -> list[Moments]:
    return [
        Moments.of({name: each[data["arm"] == arm] for name, each in data.items() if name != "arm"})
        for arm in (0, 1)
    ]


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (Metric("mean", "", "revenue"), tt.Mean("revenue")),
        (Metric("ratio", "", "revenue", "clicks"), tt.RatioOfMeans("revenue", "clicks")),
        (Metric("cuped", "", "orders", None, "before"), tt.Mean("orders", "before")),
        (
            Metric("ratio_cuped", "", "revenue", "clicks", "before"),
            tt.RatioOfMeans("revenue", "clicks", "before"),
        ),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_differences_are_those_of_tea_tasting(metric: Metric, theirs) -> None:
    data = users()
    expected = theirs.analyze(pd.DataFrame(data), 0, 1, "arm")
    found = compare(metric, *moments(data), planned_users=1000)
    assert found.control == pytest.approx(expected.control, **CLOSE)
    assert found.treatment == pytest.approx(expected.treatment, **CLOSE)
    assert found.effect == pytest.approx(expected.effect_size, **CLOSE)
    assert found.relative == pytest.approx(expected.rel_effect_size, **CLOSE)
    assert found.interval.low == pytest.approx(expected.effect_size_ci_lower, **CLOSE)
    assert found.interval.high == pytest.approx(expected.effect_size_ci_upper, **CLOSE)
    assert found.relative_interval.low == pytest.approx(expected.rel_effect_size_ci_lower, **CLOSE)
    assert found.relative_interval.high == pytest.approx(expected.rel_effect_size_ci_upper, **CLOSE)
    assert found.p_value == pytest.approx(expected.pvalue, **CLOSE)


def test_moments_of_two_groups_are_their_sum() -> None:
    data = users()
    whole = Moments.of({name: each for name, each in data.items() if name != "arm"})
    first, second = moments(data)
    assert (first + second).users == whole.users
    assert (first + second).covariances() == pytest.approx(whole.covariances(), rel=1e-10)
    assert whole.covariances() == pytest.approx(
        np.cov([each for name, each in data.items() if name != "arm"]), rel=1e-10
    )


def test_cuped_saves_what_the_covariate_explains() -> None:
    data = users()
    plain = compare(Metric("m", "", "orders"), *moments(data), planned_users=1000)
    adjusted = compare(Metric("m", "", "orders", None, "before"), *moments(data), 1000)
    saved = 1 - (adjusted.standard_error / plain.standard_error) ** 2
    assert adjusted.variance_saved == pytest.approx(saved)
    assert saved == pytest.approx(np.corrcoef(data["orders"], data["before"])[0, 1] ** 2, abs=0.02)
    assert plain.variance_saved == 0


def test_a_covariate_that_never_varies_changes_nothing() -> None:
    data = {**users(), "before": np.zeros(3000)}
    plain = compare(Metric("m", "", "orders"), *moments(data), planned_users=1000)
    adjusted = compare(Metric("m", "", "orders", None, "before"), *moments(data), 1000)
    assert adjusted == plain


def test_an_arm_without_any_order_has_no_relative_effect() -> None:
    data = {**users(), "orders": users()["arm"] * 1.0}
    found = compare(Metric("m", "", "orders"), *moments(data), planned_users=1000)
    assert found.effect == 1
    assert np.isnan(found.relative)
