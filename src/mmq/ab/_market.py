"""A market in which the true effect is known: shoppers of the generated shop and two recommenders.

A recommender is how much it sees of a shopper's taste: its scores are popularity, that share of
taste, and noise of its own. Shoppers visit by their habit, look at a slate, and buy by a
multinomial logit over it and buying nothing; the more a toy costs beside their budget, the less
they want it. New toys come every week. What a visit is worth on average follows from the slate, so
the true effect is computed and not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field

from mmq.ab._slates import draw_slates
from mmq.data._datasets.toyshop import Toyshop, ToyshopSettings, toyshop
from mmq.data._datasets.toyshop.shoppers import taste
from mmq.settings import Settings

_BLOCK = 2048
_NOTHING = 7.5
"""What buying nothing is worth beside a toy of the usual utility."""
_CLICK = 1.0
_THRIFT = 1.5
_WEEK = 7


class MarketSettings(Settings):
    """What market to simulate.

    Attributes:
        items: toys of the shop.
        shoppers: of the shop.
        days: of the experiment.
        habit_days: days before it of which the log of events is kept.
        visits: of a shopper on an average day.
        slate: toys shown at a visit.
        sight: arm -> share of a shopper's taste that its recommender sees.
        new_share: share of the toys that come on sale while the experiment runs.
        seed: of everything random.
    """

    items: int = Field(300, ge=20, le=100_000)
    shoppers: int = Field(20_000, ge=100, le=10_000_000)
    days: int = Field(28, ge=7, le=365)
    habit_days: int = Field(28, ge=1, le=365)
    visits: float = Field(0.12, gt=0, le=10)
    slate: int = Field(4, ge=1, le=50)
    sight: Mapping[str, float] = {"control": 0.35, "treatment": 0.45}
    new_share: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class Market:
    """A market, before anything is sold.

    Attributes:
        settings: that it was made from.
        utilities: ``(shoppers, items)`` float32 what a toy is worth to a shopper, price included.
        scores: arm -> ``(shoppers, items)`` float32 scores of its recommender.
        prices: ``(items,)``.
        launch_days: ``(items,)`` day of the experiment on which a toy comes on sale; 0 before it.
        habits: ``(shoppers,)`` visits a day.
    """

    settings: MarketSettings
    utilities: np.ndarray
    scores: Mapping[str, np.ndarray]
    prices: np.ndarray
    launch_days: np.ndarray
    habits: np.ndarray


class Slates(NamedTuple):
    """What visitors are shown.

    Attributes:
        items: ``(v, k)`` rows of toys, in order.
        scores: ``(v, k)`` of each.
        propensities: ``(v, k)`` of each in its place; NaN where the slate was not drawn.
    """

    items: np.ndarray
    scores: np.ndarray
    propensities: np.ndarray


class Worth(NamedTuple):
    """What visits are worth on average, given their slates.

    Attributes:
        choice: ``(v, k)`` probability that each toy of the slate is bought.
        buys: ``(v,)`` probability that any is.
        revenue: ``(v,)`` expected.
    """

    choice: np.ndarray
    buys: np.ndarray
    revenue: np.ndarray


def open_market(settings: MarketSettings) -> Market:
    """The market of some settings; the same settings give the same market."""
    shop = toyshop(ToyshopSettings(items=settings.items, shoppers=settings.shoppers, purchases=5,
                                   seed=settings.seed))  # fmt: skip
    rng = np.random.default_rng([settings.seed, 1])
    tastes = _tastes(shop)
    popularity = (shop.shoppers.popularity - shop.shoppers.popularity.mean()).astype(np.float32)
    prices = np.round(rng.lognormal(3.0, 0.6, settings.items), 2)
    budgets = rng.lognormal(3.2, 0.5, settings.shoppers)
    dear = np.log(prices / budgets[:, None]).clip(0).astype(np.float32)
    launches = np.zeros(settings.items, np.int64)
    new = rng.permutation(settings.items)[: int(settings.items * settings.new_share)]
    launches[new] = _WEEK * rng.integers(1, max(2, settings.days // _WEEK), len(new))
    scores = {
        arm: popularity + sight * tastes
        + (1 - sight) * rng.standard_normal(tastes.shape, np.float32)
        for arm, sight in settings.sight.items()
    }  # fmt: skip
    habits = settings.visits * rng.gamma(0.8, 1 / 0.8, settings.shoppers)
    utilities = popularity / 2 + tastes - np.float32(_THRIFT) * dear
    return Market(settings, utilities, scores, prices, launches, habits)


def _tastes(shop: Toyshop) -> np.ndarray:
    """``(shoppers, items)`` float32."""
    blocks = np.array_split(np.arange(shop.settings.shoppers), -(-shop.settings.shoppers // _BLOCK))
    return np.concatenate(
        [taste(shop.shoppers.tastes, shop.factors, rows).astype(np.float32) for rows in blocks]
    )


class Visits(NamedTuple):
    """Visits in the order of time.

    Attributes:
        shoppers: ``(v,)`` rows of shoppers.
        days: ``(v,)`` float64 days since the start of the experiment.
    """

    shoppers: np.ndarray
    days: np.ndarray


def draw_visits(market: Market, begin: float, end: float, rng: np.random.Generator) -> Visits:
    """Visits between two days, by each shopper's habit; they depend on nothing that is shown."""
    counts = rng.poisson(market.habits * (end - begin))
    shoppers = np.repeat(np.arange(len(counts)), counts)
    days = rng.uniform(begin, end, len(shoppers))
    order = np.argsort(days, kind="stable")
    return Visits(shoppers[order], days[order])


def show(
    market: Market, arm: str, visits: Visits, drawn: np.ndarray, temperature: float,
    rng: np.random.Generator,
) -> Slates:  # fmt: skip
    """The slates of an arm's recommender.

    Args:
        market: with its recommenders.
        arm: whose recommender.
        visits: v of them.
        drawn: ``(v,)`` bool, where the slate is drawn at random.
        temperature: of the draw.
        rng: the source of chance.
    """
    k, v = market.settings.slate, len(visits.days)
    found = Slates(np.empty((v, k), np.int64), np.empty((v, k)), np.full((v, k), np.nan))
    for start in range(0, v, _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = on_sale(market, market.scores[arm][visits.shoppers[rows]], visits.days[rows])
        places = np.argsort(-scores, axis=1)[:, :k]
        random = np.flatnonzero(drawn[rows])
        picked = draw_slates(scores[random], k, temperature, rng)
        places[random] = picked.places
        found.items[rows], found.scores[rows] = places, np.take_along_axis(scores, places, axis=1)
        found.propensities[start + random] = picked.propensities
    return found


def on_sale(market: Market, scores: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Scores at some days, ``-inf`` for toys that were not yet on sale."""
    return np.where(market.launch_days <= days[:, None], scores, np.float32(-np.inf))


def worth(market: Market, visits: Visits, slates: Slates) -> Worth:
    """What visits with these slates are worth on average."""
    utilities = np.exp(market.utilities[visits.shoppers[:, None], slates.items].astype(np.float64))
    choice = utilities / (np.exp(_NOTHING) + utilities.sum(axis=1, keepdims=True))
    return Worth(choice, choice.sum(axis=1), (choice * market.prices[slates.items]).sum(axis=1))


def bought(value: Worth, rng: np.random.Generator) -> np.ndarray:
    """``(v,)`` place of the toy that each visitor buys, -1 for none."""
    steps = value.choice.cumsum(axis=1)
    places = (steps < rng.random(len(steps))[:, None]).sum(axis=1)
    return np.where(places < steps.shape[1], places, -1)


def clicked(
    market: Market, visits: Visits, slates: Slates, places: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """``(v, k)`` bool: toys that visitors click; what they buy they have clicked."""
    utilities = market.utilities[visits.shoppers[:, None], slates.items].astype(np.float64)
    found = rng.random(utilities.shape) < 1 / (1 + np.exp(_CLICK - utilities)) / 3
    buys = np.flatnonzero(places >= 0)
    found[buys, places[buys]] = True
    return np.asarray(found)
