"""The analysis and its verdict, on logs whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ab_cases import NOW, clicked, experiment, ordered, random_logs, shown, write_logs

from mmq.ab import METRICS, Analysis, analyse, as_dict, as_table, decided, trusted, verdict
from mmq.ab._metrics import compare
from mmq.ab._moments import Moments
from mmq.ab._power import users_needed

REVENUE = METRICS[2]


def shop(
    folder: Path, lift: float, users: int = 1200, control_share: float = 0.5, **values
) -> Analysis:
    """An experiment in which treatment's users buy ``lift`` more often."""
    rng = np.random.default_rng(3)
    exposures, events = [], []
    for user in range(users):
        arm = ("control", "treatment")[int(rng.random() > control_share)]
        day = 20 * user / users
        exposures.append(shown(user, day, arm))
        worth = rng.gamma(4.0, size=rng.poisson(1.0 + lift * (arm == "treatment")))
        events += [
            ordered(user, day + 1 + number / 10, float(value), number)
            for number, value in enumerate(worth)
        ]
    events.append(clicked(0, 40))
    paths = write_logs(folder, exposures, events)
    return analyse(experiment(planned_users=1000, **values), *paths, now=NOW, threads=1)


def test_a_large_effect_is_proven_in_words(tmp_path: Path) -> None:
    found = shop(tmp_path, 0.6)
    first, *others = verdict(found)
    assert first.startswith("treatment against control: revenue per user is higher by")
    assert any(each.startswith("Beside it, orders per user is higher") for each in others)
    assert trusted(found)
    assert not any("more days" in each for each in others)


def test_a_loss_is_one(tmp_path: Path) -> None:
    assert "revenue per user is lower by" in verdict(shop(tmp_path, -0.5))[0]


def test_no_effect_says_how_long_yet(tmp_path: Path) -> None:
    found = shop(tmp_path, 0.0)
    first, last = verdict(found)
    assert "no difference in revenue per user is proven" in first
    wait = found.results[0].wait
    assert wait is not None
    assert wait.users == 1200
    assert f"takes {wait.needed.anytime:,} users (1,200 so far)" in last
    assert f"about {wait.days[1]:,.0f} more days" in last
    difference = found.results[0].differences["revenue"]
    variance = difference.standard_error**2 * 1200 / 4
    expected = users_needed(variance, 0.02 * difference.control)
    assert wait.needed.fixed == pytest.approx(expected.fixed, rel=0.01)


def test_an_effect_that_would_have_shown(tmp_path: Path) -> None:
    assert "would probably have shown by now" in verdict(shop(tmp_path, 0.0, effect=1.5))[-1]


def test_a_mismatch_forbids_a_verdict(tmp_path: Path) -> None:
    found = shop(tmp_path, 0.6, control_share=0.4)
    sentences = verdict(found)
    assert sentences[0].startswith("Sample-ratio mismatch: ")
    assert sentences[-1].startswith("No verdict is given")
    assert not trusted(found)
    assert as_dict(found)["sample_ratio"]["alarm"]


def test_every_day_is_what_whoever_looked_then_saw(tmp_path: Path) -> None:
    found = shop(tmp_path, 0.3)
    result = found.results[0]
    days = [look.day for look in result.looks]
    assert days == sorted(set(days))
    last = result.looks[-1]
    assert last.users == 1200
    assert last.difference.effect == pytest.approx(result.differences["revenue"].effect)
    widths = [look.difference.anytime.high - look.difference.anytime.low for look in result.looks]
    assert widths[0] > widths[-1]


def test_too_few_users_get_no_interval(tmp_path: Path) -> None:
    found = shop(tmp_path, 0.0, users=90)
    assert found.results[0].differences == {}
    assert "too few for intervals" in verdict(found)[0]
    assert as_table(found).num_rows == 0


def test_strata_add_up_and_cuped_is_told(tmp_path: Path) -> None:
    exposures, events = random_logs(900, 5)
    paths = write_logs(tmp_path, exposures, [*events, clicked(0, 60)])
    found = analyse(experiment(), *paths, now=NOW, threads=1)
    assert set(found.results[0].strata) == {"known users", "new users"}
    assert found.results[0].plain["revenue"].variance_saved == 0
    table = as_table(found).to_pylist()
    assert {row["stratum"] for row in table} == {"all users", "known users", "new users"} - {
        stratum for stratum, each in found.results[0].strata.items() if not each
    }
    row = next(r for r in table if (r["stratum"], r["metric"]) == ("all users", "revenue"))
    assert row["anytime_low"] == found.results[0].differences["revenue"].anytime.low


def test_several_arms_share_the_errors() -> None:
    rng = np.random.default_rng(0)
    arms = [Moments.of({"revenue": rng.gamma(2.0, size=500)}) for _ in range(2)]
    metric = REVENUE._replace(covariate=None)
    one, two = (compare(metric, *arms, planned_users=1000, alpha=a) for a in (0.05, 0.025))
    assert two.interval.low < one.interval.low
    assert two.anytime.high > one.anytime.high


def test_three_arms_are_compared_with_the_control(tmp_path: Path) -> None:
    arms = [{"name": name, "weight": 1 / 3} for name in ("control", "a", "b")]
    exposures = [shown(user, user / 100, ("control", "a", "b")[user % 3]) for user in range(900)]
    events = [ordered(user, user / 100 + 1, 5.0 + user % 7) for user in range(900)]
    paths = write_logs(tmp_path, exposures, [*events, clicked(0, 60)])
    found = analyse(experiment(arms=arms), *paths, now=NOW, threads=1)
    assert [each.arm for each in found.results] == ["a", "b"]
    pair = [found.arms["control"], found.arms["a"]]
    expected = compare(REVENUE, pair[0], pair[1], 100_000, alpha=0.025)
    assert found.results[0].differences["revenue"] == expected
    assert not decided(expected)
