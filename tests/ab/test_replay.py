"""Replay against a plain loop, and against a world in which the answer is known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ab_cases import at, write_logs

from mmq.ab import (
    Event,
    Exposure,
    Target,
    draw_slates,
    replay,
    replay_log,
    slate_propensities,
    write_table,
)
from mmq.ab._replay import Replayed, item_rewards
from mmq.errors import DataError

SCORES, OTHER = np.array([1.0, 0.5, 0.0, -0.5]), np.array([-0.5, 0.0, 0.5, 1.0])
APPEAL = np.array([0.1, 0.2, 0.3, 0.6])


def world(slates: int, seed: int) -> Replayed:
    """Slates of two of four items; a slate earns 1 with its items' mean appeal."""
    rng = np.random.default_rng(seed)
    scores = np.tile(SCORES, (slates, 1))
    drawn = draw_slates(scores, 2, 1.0, rng)
    rewards = (rng.random(slates) < APPEAL[drawn.places].mean(axis=1)) * 1.0
    targets = slate_propensities(np.tile(OTHER, (slates, 1)), drawn.places, 1.0).prod(axis=1)
    predicted = APPEAL[drawn.places].mean(axis=1)
    expected = np.full(slates, truth())
    users = rng.integers(0, slates // 3, slates)
    return Replayed(users, rewards, drawn.propensities.prod(axis=1), targets, predicted, expected)


def truth() -> float:
    pairs = np.array(list(itertools.permutations(range(4), 2)))
    shares = slate_propensities(np.tile(OTHER, (len(pairs), 1)), pairs, 1.0).prod(axis=1)
    return float(shares @ APPEAL[pairs].mean(axis=1))


def test_estimates_are_those_of_their_definitions() -> None:
    log = world(400, 0)
    found = replay(log)
    w, r = log.weights, log.rewards
    assert found.logged == pytest.approx(r.mean())
    assert found.estimates["ips"].value == pytest.approx((w * r).mean())
    assert found.estimates["snips"].value == pytest.approx((w * r).sum() / w.sum())
    robust = log.expected + w * (r - log.predicted)
    assert found.estimates["doubly_robust"].value == pytest.approx(robust.mean())
    assert found.effective_slates == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert found.estimates["ips"].effect == pytest.approx((w * r).mean() - r.mean())
    assert found.mean_weight == pytest.approx(w.mean())


def test_an_interval_of_one_slate_a_user_is_that_of_the_mean() -> None:
    log = world(500, 1)._replace(users=np.arange(500))
    interval = replay(log).estimates["ips"].interval
    gains = log.weights * log.rewards
    margin = 1.9647 * gains.std(ddof=1) / np.sqrt(500)
    assert interval.high - gains.mean() == pytest.approx(margin, rel=1e-3)


def test_intervals_hold_the_truth() -> None:
    held = dict.fromkeys(("ips", "snips", "doubly_robust"), 0)
    for seed in range(200):
        for name, each in replay(world(600, seed)).estimates.items():
            held[name] += each.interval.low <= truth() <= each.interval.high
    assert all(180 <= count <= 199 for count in held.values()), held


def test_a_log_that_cannot_show_what_the_target_shows_is_doubted() -> None:
    log = world(2000, 0)
    assert replay(log).doubts == []
    wrong = log._replace(propensities=log.propensities * 2)
    assert any("a mean of 0.5" in each for each in replay(wrong).doubts)
    thin = log._replace(targets=np.where(np.arange(2000) < 40, log.targets * 50, 0.0))
    assert any("too few to rest on" in each for each in replay(thin).doubts)


def test_items_are_predicted_without_their_own_users() -> None:
    items = np.array([[0, 1], [0, 1], [1, -1]])
    rewards = np.array([[4.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    found = item_rewards(items, rewards, np.array([0, 1, 1]), 2, prior=1.0)
    mean = 2 / 3  # of slates of the other half: rewards 0, 2 and 0
    assert found[0] == pytest.approx([(0 + mean) / 2, (2 + 0 + mean) / 3])
    assert found[1] == pytest.approx([(4 + 2) / 2, (0 + 2) / 2])


def exposure(number: int, user: int, day: float, slate: list[int], drawn: bool = True) -> Exposure:
    chances = [0.5, 1.0] if drawn else None
    return Exposure(f"x{number}", user, at(day), "trial", "control", "old", slate, [], chances)


def click(number: int, user: int, item: int, day: float) -> Event:
    return Event(f"c{number}", user, item, at(day), "click")


def write_target(folder: Path, **columns: list) -> Path:
    write_table(pa.table(columns), folder / "target.parquet")
    return folder / "target.parquet"


def test_events_belong_to_the_last_slate_that_showed_their_item(tmp_path: Path) -> None:
    exposures = [exposure(0, 1, 0, [1, 2]), exposure(1, 1, 0.2, [2, 3]),
                 exposure(2, 2, 0, [1, 2]), exposure(3, 2, 0.1, [1, 2], drawn=False)]  # fmt: skip
    events = [click(0, 1, 1, 0.3), click(1, 1, 2, 0.3), click(2, 1, 3, 5.0), click(3, 2, 1, 0.2),
              click(4, 1, 2, -1)]  # fmt: skip
    paths = write_logs(tmp_path, exposures, [*events, events[0]])
    target = write_target(tmp_path, event_id=["x2", "x1", "x0"], probability=[0.5, 0.25, 1.0])
    found = replay_log(None, *paths, Target(target), reward="clicks")
    # x0 has the click on 1, x1 that on 2 (5 days are too late), x2's item was shown again by x3
    assert found.slates == 3
    assert found.logged == pytest.approx(2 / 3)
    assert found.estimates["ips"].value == pytest.approx((2.0 * 1 + 0.5 * 1 + 1.0 * 0) / 3)
    assert set(found.estimates) == {"ips", "snips"}


def test_scores_give_the_probability_of_the_logged_slate(tmp_path: Path) -> None:
    exposures = [exposure(number, number, 0, [1, 2]) for number in range(4)]
    events = [click(number, number, 1, 0.01) for number in range(2)]
    scores = {"event_id": ["x0", "x1", "x2", "x3"], "items": [[2, 1, 3]] * 3 + [[3, 4]],
              "scores": [[0.3, 0.1, -1.0]] * 3 + [[1.0, 1.0]]}  # fmt: skip
    target = write_target(tmp_path, **scores)
    paths = write_logs(tmp_path, exposures, events)
    found = replay_log(None, *paths, Target(target, 0.5), reward="clicks")
    chance = slate_propensities(np.array([[0.3, 0.1, -1.0]]), np.array([[1, 0]]), 0.5).prod()
    assert found.estimates["ips"].value == pytest.approx(2 * (chance / 0.5) / 4)
    assert found.mean_weight == pytest.approx(3 * (chance / 0.5) / 4), "x3 cannot show 1 and 2"
    assert "doubly_robust" in found.estimates


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    exposures = [exposure(0, 1, 0, [1, 2]), exposure(1, 2, 0, [1, 2])]
    paths = write_logs(tmp_path, exposures, [click(0, 1, 1, 0.1)])
    target = write_target(tmp_path, event_id=["x0"], probability=[0.5])
    with pytest.raises(DataError, match="lacks 1 of the 2 slates"):
        replay_log(None, *paths, Target(target))
    target = write_target(tmp_path, event_id=["x0", "x1"], probability=[0.5, 1.5])
    with pytest.raises(DataError, match="not between 0 and 1"):
        replay_log(None, *paths, Target(target))
    target = write_target(tmp_path, event_id=["x0", "x1"], likelihood=[0.5, 1.0])
    with pytest.raises(DataError, match="neither 'probability' nor 'items'"):
        replay_log(None, *paths, Target(target))


def test_a_log_without_propensities_is_refused(tmp_path: Path) -> None:
    target = write_target(tmp_path, event_id=["x0"], probability=[0.5])
    paths = write_logs(tmp_path, [exposure(0, 1, 0, [1, 2], drawn=False)], [click(0, 1, 1, 0.1)])
    with pytest.raises(DataError, match="no slate with its propensity"):
        replay_log(None, *paths, Target(target))
    pq.write_table(pq.read_table(paths[0]).drop_columns("propensity"), paths[0])
    with pytest.raises(DataError, match="no slate with its propensity"):
        replay_log(None, *paths, Target(target))


def test_slates_of_several_lengths_and_a_propensity_of_zero(tmp_path: Path) -> None:
    target = write_target(tmp_path, event_id=["x0", "x1"], probability=[0.5, 0.5])
    longer = exposure(1, 1, 1, [1, 2])._replace(slate=[1], propensity=[0.5])
    paths = write_logs(tmp_path, [exposure(0, 1, 0, [1, 2]), longer], [click(0, 1, 1, 0.1)])
    with pytest.raises(DataError, match="slates of 1 to 2 items"):
        replay_log(None, *paths, Target(target))
    never = exposure(1, 1, 1, [1, 2])._replace(propensity=[0.0, 1.0])
    paths = write_logs(tmp_path, [exposure(0, 1, 0, [1, 2]), never], [click(0, 1, 1, 0.1)])
    with pytest.raises(DataError, match="propensity is not above 0"):
        replay_log(None, *paths, Target(target))
