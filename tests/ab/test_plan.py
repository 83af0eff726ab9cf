import math
from pathlib import Path

import numpy as np
import pytest
from ab_cases import at, write_logs

from mmq.ab import Baseline, Event, Windows, measured, plan
from mmq.ab._power import users_needed
from mmq.errors import DataError, SettingsError


def test_users_and_days_of_a_conversion_rate() -> None:
    found = plan(Baseline.of_rate(0.05, 4000), 0.1, coverage=0.5, window_days=7)
    need = users_needed(0.05 * 0.95, 0.005)
    assert found["users"] == need._asdict()
    assert found["days"]["fixed"] == math.ceil(need.fixed / 2000 + 7)
    assert found["days"]["anytime"] > found["days"]["fixed"]
    assert plan(Baseline(1.0, 2.0), 0.1)["days"]["fixed"] is None


def test_four_weeks_of_users_show_the_effect_that_takes_as_many() -> None:
    baseline = Baseline(2.0, 5.0, 0.6, 1000)
    effect = plan(baseline, 0.1)["effect_in_four_weeks"]
    assert plan(baseline, effect)["users"]["fixed"] == pytest.approx(28_000, abs=2)


def test_a_covariate_saves_its_share() -> None:
    plain, adjusted = (plan(Baseline(2.0, 5.0, rho), 0.1) for rho in (0.0, 0.6))
    ratio = adjusted["users"]["fixed"] / plain["users"]["fixed"]
    assert ratio == pytest.approx(1 - 0.36, abs=1e-3)


def test_a_log_is_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[tuple[int, float, float]] = []
    habit = rng.gamma(1.0, 1.0, 400)
    for user in range(400):
        rows += [(user, day, 5.0) for day in rng.uniform(0, 10, rng.poisson(4 * habit[user]))]
    rows.append((0, 10.0, 5.0))
    events = [Event(str(n), user, 1, at(day), "order", value)
              for n, (user, day, value) in enumerate(rows)]  # fmt: skip
    path = write_logs(tmp_path, [], events)[1]
    found = measured(path, "orders", Windows(window_days=5, before_days=5))
    late = np.bincount([user for user, day, _ in rows if day > 5], minlength=400)
    early = np.bincount([user for user, day, _ in rows if day <= 5], minlength=400)
    there = late > 0
    assert found.mean == pytest.approx(late[there].mean())
    assert found.sd == pytest.approx(late[there].std(ddof=1))
    assert found.correlation == pytest.approx(np.corrcoef(late[there], early[there])[0, 1])
    assert found.users_per_day == pytest.approx(there.sum() / 5)
    revenue = measured(path, "revenue", Windows(window_days=5, before_days=5))
    assert revenue.mean == pytest.approx(5 * found.mean)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no share of users"):
        Baseline.of_rate(1.2)
    with pytest.raises(SettingsError, match="--share 1"):
        plan(Baseline(1.0, 1.0), 0.1, share=1.0)
    click = Event("a", 1, 1, at(0), "click")
    path = write_logs(tmp_path, [], [click])[1]
    with pytest.raises(DataError, match="too few users or orders"):
        measured(path, "revenue", Windows())
