"""Shoppers: tastes that follow the factors, a long tail, a year of purchases with ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data._datasets.toyshop.factors import FACTORS

START = 1_704_067_200
"""When the shop opens, in seconds since 1970 (1 January 2024)."""
YEAR = 365 * 86_400
"""How long the log runs, in seconds."""

_SPREAD: Mapping[str, float] = {
    "toy": 1.2,
    "size": 0.4,
    "material": 0.5,
    "maker": 0.4,
    "colour": 0.5,
    "background": 0.2,
    "pairing": 1.0,
}
"""How far shoppers differ in taste for the levels of a factor (standard deviation). Team and badge
are absent on purpose: by themselves they sell nothing, only their pairing does."""
_APPEAL: Mapping[str, tuple[float, ...]] = {"pairing": (0.7, -0.7, 0.0)}
"""What everybody prefers."""
_ZIPF = 0.9
_BLOCK = 256  # shoppers at a time


class Shoppers(NamedTuple):
    """Everything known of the shoppers.

    Attributes:
        tastes: factor -> ``(shoppers, levels)`` float64, what a level adds to an item's utility.
        popularity: ``(items,)`` float64, what an item has by itself.
        launches: ``(items,)`` int64 seconds since 1970, when an item came on sale.
        interactions: table ``user_id, item_id, timestamp, rating``, by time.
    """

    tastes: Mapping[str, np.ndarray]
    popularity: np.ndarray
    launches: np.ndarray
    interactions: pa.Table


class _Purchases(NamedTuple):
    shopper: np.ndarray  # (purchases,)
    item: np.ndarray
    time: np.ndarray


def draw_shoppers(
    factors: Mapping[str, np.ndarray],
    shoppers: int,
    purchases: float,
    late_share: float,
    rng: np.random.Generator,
) -> Shoppers:
    """Shoppers and what they buy.

    An item's utility for a shopper is ``popularity[item] + sum_f tastes[f][shopper, level_f]``; at
    each purchase one of the items on sale is chosen with probability proportional to
    ``exp(utility)`` (a multinomial logit), never the same one twice. Popularity is Zipf's,
    ``-0.9 log rank``. The rating, 1 to 5, follows the taste part of the utility, with noise.

    Args:
        factors: factor -> ``(items,)`` levels.
        shoppers: how many.
        purchases: how many each makes on average; at least 5 where there are items enough.
        late_share: share of the items that come on sale only in the last 40% of the year.
        rng: the source of chance.
    """
    items = len(factors["toy"])
    tastes = {
        name: spread * rng.standard_normal((shoppers, len(FACTORS[name].levels)))
        + np.array(_APPEAL.get(name, (0.0,)))
        for name, spread in _SPREAD.items()
    }
    popularity = -_ZIPF * np.log(1.0 + rng.permutation(items))
    launches = np.full(items, START, dtype=np.int64)
    late = rng.permutation(items)[: int(items * late_share)]
    launches[late] += (YEAR * rng.uniform(0.6, 1.0, size=len(late))).astype(np.int64)
    counts = 5 + rng.exponential(purchases - 5, size=shoppers).astype(np.int64)
    counts = np.minimum(counts, items)
    blocks = [
        _buy(rows, popularity + taste(tastes, factors, rows), launches, counts[rows], rng)
        for rows in np.array_split(np.arange(shoppers), -(-shoppers // _BLOCK))
    ]
    bought = _Purchases(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    return Shoppers(tastes, popularity, launches, _log(bought, tastes, factors, rng))


def taste(
    tastes: Mapping[str, np.ndarray], factors: Mapping[str, np.ndarray], rows: np.ndarray
) -> np.ndarray:
    """``(rows, items)`` taste part of the utility."""
    total = np.zeros((len(rows), len(factors["toy"])))
    for name, levels in tastes.items():
        total += levels[rows][:, factors[name]]
    return total


def _buy(
    shoppers: np.ndarray,
    utility: np.ndarray,
    launches: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
) -> _Purchases:
    """The purchases of a block of shoppers with ``utility (shoppers, items)``.

    Items in order of launch make what is on sale a prefix, so a choice is one look-up in the
    shopper's cumulative weights. Twice as many are drawn as wanted, and repeats are dropped.
    """
    order = np.argsort(launches, kind="stable")
    weights = np.exp(utility - utility.max(axis=1, keepdims=True))[:, order].cumsum(axis=1)
    weights /= weights[:, -1:]
    owner = np.repeat(np.arange(len(shoppers)), 2 * counts)
    joined = rng.uniform(0, 0.7, size=len(shoppers))[owner]
    share = joined + (1 - joined) * rng.random(len(owner))
    times = START + (YEAR * share).astype(np.int64)
    last = np.searchsorted(launches[order], times, side="right") - 1
    wanted = rng.random(len(owner)) * weights[owner, last]
    flat = (weights + np.arange(len(shoppers))[:, None]).ravel()  # one sorted row after another
    place = np.searchsorted(flat, wanted + owner) - owner * len(order)
    items = order[np.minimum(place, last)]
    first = np.sort(np.unique(owner * len(order) + items, return_index=True)[1])
    starts = np.searchsorted(owner[first], np.arange(len(shoppers)))
    kept = first[np.arange(len(first)) - starts[owner[first]] < counts[owner[first]]]
    return _Purchases(shoppers[owner[kept]], items[kept], times[kept])


def _log(
    bought: _Purchases,
    tastes: Mapping[str, np.ndarray],
    factors: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> pa.Table:
    liking = np.zeros(len(bought.item))
    for name, levels in tastes.items():
        liking += levels[bought.shopper, factors[name][bought.item]]
    liking = (liking - liking.mean()) / max(float(liking.std()), 1e-9)
    ratings = np.clip(np.rint(3.5 + liking + 0.5 * rng.standard_normal(len(liking))), 1, 5)
    order = np.lexsort((bought.item, bought.shopper, bought.time))
    return pa.table(
        {
            "user_id": bought.shopper[order] + 1,
            "item_id": bought.item[order] + 1,
            "timestamp": bought.time[order],
            "rating": ratings[order].astype(np.float32),
        }
    )
