"""The simulated market: its truth, its log, and an experiment that finds the one from the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from ab_cases import experiment

from mmq.ab import (
    Experiment,
    Market,
    MarketSettings,
    Simulated,
    Windows,
    analyse,
    assign,
    open_market,
    simulate,
    slate_propensities,
    target_scores,
    write_table,
)
from mmq.ab._market import Visits, draw_visits, on_sale, show, worth
from mmq.errors import SettingsError

SETTINGS = MarketSettings(items=40, shoppers=3000, days=21, visits=0.3, slate=3, seed=2)


def trial(**values) -> Experiment:
    return experiment(start="2026-03-02T00:00:00Z", planned_users=2000, **values)


@pytest.fixture(scope="module")
def market() -> Market:
    return open_market(SETTINGS)


@pytest.fixture(scope="module")
def found(market: Market) -> Simulated:
    return simulate(market, trial(random_share=0.3), Windows(), seed=4)


def test_a_market_is_that_of_its_settings(market: Market) -> None:
    again = open_market(SETTINGS)
    assert (again.utilities == market.utilities).all()
    assert (again.prices == market.prices).all()
    other = open_market(SETTINGS.model_copy(update={"seed": 3}))
    assert (other.utilities != market.utilities).any()


def test_slates_are_the_best_of_what_is_on_sale(market: Market) -> None:
    visits = Visits(np.arange(50), np.linspace(0, 20, 50))
    drawn = np.arange(50) % 2 == 0
    slates = show(market, "control", visits, drawn, 0.7, np.random.default_rng(0))
    scores = on_sale(market, market.scores["control"][:50], visits.days)
    assert (market.launch_days[slates.items] <= visits.days[:, None]).all()
    assert (slates.items[~drawn] == np.argsort(-scores[~drawn], axis=1)[:, :3]).all()
    assert np.isnan(slates.propensities[~drawn]).all()
    expected = slate_propensities(scores[drawn], slates.items[drawn], 0.7)
    assert slates.propensities[drawn] == pytest.approx(expected)


def test_what_visits_are_worth_is_what_is_bought_on_average(market: Market) -> None:
    visits = draw_visits(market, 0.0, 21.0, np.random.default_rng(1))
    slates = show(market, "treatment", visits, np.zeros(len(visits.days), bool), 1.0,
                  np.random.default_rng(1))  # fmt: skip
    value = worth(market, visits, slates)
    utility = np.exp(market.utilities[visits.shoppers[0], slates.items[0]].astype(float))
    assert value.choice[0] == pytest.approx(utility / (np.exp(7.5) + utility.sum()))
    assert value.revenue[0] == pytest.approx(value.choice[0] @ market.prices[slates.items[0]])


def test_the_log_is_that_of_the_assignment(market: Market, found: Simulated) -> None:
    rows = found.exposures.slice(0, 300).to_pylist()
    for row in rows:
        assigned = assign(trial(), str(row["user_id"]))
        assert assigned is not None
        assert assigned.arm == row["arm"]
    shares = pc.is_valid(found.exposures["propensity"]).to_numpy()
    assert shares.mean() == pytest.approx(0.3, abs=0.02)
    assert found.events.num_rows > 1000


def test_the_experiment_finds_the_true_effect(
    market: Market, found: Simulated, tmp_path: Path
) -> None:
    paths = tmp_path / "x.parquet", tmp_path / "e.parquet"
    write_table(found.exposures, paths[0])
    write_table(found.events, paths[1])
    result = analyse(trial(), *paths, threads=1)
    assert not list(result.sums.counts.doubts())
    for name in ("conversion", "orders", "revenue"):
        difference = result.results[0].differences[name]
        effect = found.truth["treatment"][name] - found.truth["control"][name]
        assert difference.anytime.low < effect < difference.anytime.high
        assert difference.variance_saved > 0.02, "habits are known from before"
    assert found.truth["treatment"]["revenue"] > found.truth["control"]["revenue"]


def test_scores_of_a_target_are_those_of_its_recommender(market: Market, found: Simulated) -> None:
    scores = target_scores(market, "treatment", found.exposures).to_pylist()
    drawn = {row["event_id"]: row for row in found.exposures.to_pylist() if row["propensity"]}
    assert {row["event_id"] for row in scores} == set(drawn)
    for row in scores[:50]:
        user = drawn[row["event_id"]]["user_id"]
        assert row["scores"] == pytest.approx(market.scores["treatment"][user][row["items"]])


def test_an_arm_without_a_recommender_is_refused(market: Market) -> None:
    arms = [{"name": "control", "weight": 0.5}, {"name": "bonus", "weight": 0.5}]
    with pytest.raises(SettingsError, match="no recommender for the arm 'bonus'"):
        simulate(market, trial(arms=arms), Windows())
