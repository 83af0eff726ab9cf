import math

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt
from scipy import stats

from mmq.ab._mismatch import sample_ratio
from mmq.ab._power import detectable_effect, standard_error, users_needed
from mmq.ab._sequential import mixture_widths
from mmq.errors import DataError


def test_the_mismatch_is_that_of_tea_tasting() -> None:
    arm = np.repeat([0, 1], [10_300, 9_900])
    theirs = tt.SampleRatio(1, method="norm", correction=False)
    expected = theirs.analyze(pd.DataFrame({"arm": arm}), 0, 1, "arm")
    found = sample_ratio({"a": 10_300, "b": 9_900}, {"a": 0.5, "b": 0.5})
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert not found.alarm


def test_a_mismatch_of_three_arms() -> None:
    users, weights = {"a": 1000, "b": 1100, "c": 2000}, {"a": 0.25, "b": 0.25, "c": 0.5}
    found = sample_ratio(users, weights)
    statistic = 25**2 / 1025 + 75**2 / 1025 + 50**2 / 2050
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(math.exp(-statistic / 2)), "two degrees of freedom"
    assert sample_ratio({"a": 1000, "b": 1300}, {"a": 0.5, "b": 0.5}).alarm
    with pytest.raises(DataError, match="no user"):
        sample_ratio({"a": 0, "b": 0}, {"a": 0.5, "b": 0.5})


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_users_needed_for_one_look_are_those_of_the_closed_form(share: float) -> None:
    need = users_needed(4.0, 0.1, share)
    unit = 4.0 * (1 / share + 1 / (1 - share))
    exact = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 * unit / 0.1**2
    assert need.fixed == math.ceil(exact)
    assert detectable_effect(4.0, need.fixed, share) == pytest.approx(0.1, rel=1e-3)
    theirs = tt.Mean("x", effect_size=0.1, ratio=share / (1 - share), use_t=False).solve_power(
        pd.DataFrame({"x": np.tile([-2.0, 2.0], 500_000)}), "n_obs"
    )
    assert need.fixed == pytest.approx(theirs[0].n_obs, rel=1e-4)


def test_users_needed_for_every_look_reach_the_interval_then() -> None:
    need = users_needed(4.0, 0.1)
    width = float(mixture_widths(np.array(need.anytime), need.anytime, 0.05))
    reach = (width + stats.norm.ppf(0.8)) * standard_error(4.0, need.anytime, 0.5)
    assert reach == pytest.approx(0.1, rel=1e-4)
    assert 1.2 < need.anytime / need.fixed < 2.5
    with pytest.raises(DataError, match="0"):
        users_needed(0.0, 0.1)
