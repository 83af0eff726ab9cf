from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from mmq.data._datasets.toyshop import (
    FACTORS,
    PICTURE_SIZE,
    Toyshop,
    ToyshopSettings,
    toyshop,
)
from mmq.data._datasets.toyshop.shoppers import START, YEAR
from mmq.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def shop() -> Toyshop:
    return toyshop(ToyshopSettings(items=1000, shoppers=600, seed=3))


def _column(shop: Toyshop, name: str) -> np.ndarray:
    return shop.interactions.column(name).to_numpy()


def _levels(shop: Toyshop, name: str) -> np.ndarray:
    """Level of a factor at each purchase."""
    return shop.factors[name][_column(shop, "item_id") - 1]


def _chi_square(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    return float(((counts - expected) ** 2 / expected).sum()), (len(counts) - 1) * (
        counts.shape[1] - 1
    )


def test_the_same_settings_give_the_same_bytes() -> None:
    settings = ToyshopSettings(items=60, shoppers=20, seed=5)
    one, two = toyshop(settings), toyshop(settings)
    assert one.items.equals(two.items)
    assert one.interactions.equals(two.interactions)
    assert [p.tobytes() for p in one.pictures()] == [p.tobytes() for p in two.pictures()]


def test_another_seed_gives_another_shop() -> None:
    one = toyshop(ToyshopSettings(items=60, shoppers=20, seed=5))
    two = toyshop(ToyshopSettings(items=60, shoppers=20, seed=6))
    assert not one.items.equals(two.items)
    assert not one.interactions.equals(two.interactions)
    assert one.picture(0).tobytes() != two.picture(0).tobytes()


def test_sizes(shop: Toyshop) -> None:
    assert len(shop) == 1000
    assert shop.items.column_names == ["item_id", "title", "description"]
    assert shop.interactions.column_names == ["user_id", "item_id", "timestamp", "rating"]
    assert set(shop.factors) == set(FACTORS)
    for name, levels in shop.factors.items():
        assert levels.shape == (1000,)
        assert set(np.unique(levels)) == set(range(len(FACTORS[name].levels)))


def test_no_two_pictures_and_hardly_two_texts_are_equal(shop: Toyshop) -> None:
    pictures = [shop.picture(row) for row in range(200)]
    assert {(p.mode, p.size) for p in pictures} == {("RGB", (PICTURE_SIZE, PICTURE_SIZE))}
    assert len({p.tobytes() for p in pictures}) == 200
    assert len(set(shop.texts)) > 990


def test_the_words_name_every_text_factor_and_no_image_factor(shop: Toyshop) -> None:
    for row, text in enumerate(shop.texts):
        words = text.lower()
        assert FACTORS["maker"].levels[shop.factors["maker"][row]].lower() in words
        team = FACTORS["team"].levels[shop.factors["team"][row]]
        assert set(FACTORS["team"].levels) & set(re.findall(r"\w+", words)) == {team}
        for name in ("colour", "background"):
            assert not any(level in words for level in FACTORS[name].levels)


def test_the_picture_ignores_what_only_the_words_tell() -> None:
    shop = toyshop(ToyshopSettings(items=12, shoppers=1))
    changed = {**shop.factors, "material": np.zeros(12, int), "team": np.zeros(12, int)}
    other = Toyshop(shop.settings, changed, shop.items, shop.shoppers)
    assert [p.tobytes() for p in shop.pictures()] == [p.tobytes() for p in other.pictures()]


def test_the_pairing_follows_from_both_parts_and_from_neither_alone() -> None:
    factors = toyshop(ToyshopSettings(items=20_000, shoppers=1)).factors
    assert np.array_equal((factors["badge"] - factors["team"]) % 3, factors["pairing"])
    for name, factor in FACTORS.items():
        if factor.source != "synergy":
            statistic, freedom = _chi_square(factors[name], factors["pairing"])
            # mean + 5 standard deviations of chi-square: independence is not to be rejected
            assert statistic < freedom + 5 * np.sqrt(2 * freedom), name
    statistic, freedom = _chi_square(factors["badge"], factors["team"])
    assert statistic > 1000  # half of the toys match, so the parts do know of each other


def test_the_match_share_is_a_setting() -> None:
    factors = toyshop(ToyshopSettings(items=20_000, shoppers=1, match_share=0.8)).factors
    shares = np.bincount(factors["pairing"]) / 20_000
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.015)


def test_popularity_has_a_long_tail(shop: Toyshop) -> None:
    sales = np.sort(np.bincount(_column(shop, "item_id") - 1, minlength=len(shop)))[::-1]
    assert sales[:100].sum() > 0.45 * sales.sum()
    assert sales[500:].sum() < 0.15 * sales.sum()


def test_a_shopper_buys_a_toy_once_and_five_at_least(shop: Toyshop) -> None:
    users, items = _column(shop, "user_id"), _column(shop, "item_id")
    assert len(np.unique(users * 10_000 + items)) == len(users)
    counts = np.bincount(users)[1:]
    assert len(counts) == 600
    assert counts.min() >= 5
    assert counts.mean() == pytest.approx(15, rel=0.15)


@pytest.mark.parametrize("name", ["toy", "material", "colour", "pairing"])
def test_shoppers_buy_what_they_have_a_taste_for(shop: Toyshop, name: str) -> None:
    taste = shop.shoppers.tastes[name]
    liked = taste[_column(shop, "user_id") - 1, _levels(shop, name)]
    indifferent = taste[_column(shop, "user_id") - 1].mean(axis=1)
    assert liked.mean() > indifferent.mean() + 0.1
    fond = taste[:, 0] > np.median(taste[:, 0])
    bought = _levels(shop, name) == 0
    by_fond = fond[_column(shop, "user_id") - 1]
    assert bought[by_fond].mean() > 1.15 * bought[~by_fond].mean()


def test_items_that_look_alike_sell_differently() -> None:
    shop = toyshop(ToyshopSettings(items=3000, shoppers=1500, late_share=0, seed=1))
    sales = np.bincount(_column(shop, "item_id") - 1, minlength=len(shop)).astype(float)
    sales /= np.exp(shop.shoppers.popularity)  # what popularity does not explain
    means = {
        name: np.array([np.median(sales[levels == level]) for level in range(3)])
        for name, levels in shop.factors.items()
        if name in ("team", "badge", "pairing")
    }
    assert means["pairing"][0] > 1.5 * means["pairing"][1]
    for part in ("team", "badge"):
        assert means[part].max() < 1.25 * means[part].min()


def test_the_rating_follows_the_taste(shop: Toyshop) -> None:
    liking = sum(
        taste[_column(shop, "user_id") - 1, _levels(shop, name)]
        for name, taste in shop.shoppers.tastes.items()
    )
    ratings = _column(shop, "rating")
    assert set(np.unique(ratings)) == {1, 2, 3, 4, 5}
    assert np.corrcoef(liking, ratings)[0, 1] > 0.7
    assert 0.3 < np.mean(ratings > 3) < 0.7


def test_nothing_is_sold_before_its_launch_nor_outside_the_year(shop: Toyshop) -> None:
    times = _column(shop, "timestamp")
    launches = shop.shoppers.launches
    assert (times >= launches[_column(shop, "item_id") - 1]).all()
    assert np.array_equal(times, np.sort(times))
    assert times.min() >= START
    assert times.max() < START + YEAR
    late = launches > START
    assert late.sum() == 150
    assert launches[late].min() >= START + 0.6 * YEAR
    assert np.isin(_column(shop, "item_id") - 1, np.flatnonzero(late)).any()


def test_a_shop_with_fewer_items_than_wanted_purchases() -> None:
    shop = toyshop(ToyshopSettings(items=10, shoppers=30, purchases=50))
    counts = np.bincount(_column(shop, "user_id"))[1:]
    assert counts.max() <= 10


def test_pictures_are_written_whole(tmp_path) -> None:  # type: ignore[no-untyped-def]
    shop = toyshop(ToyshopSettings(items=10, shoppers=1))
    paths = shop.write_pictures(tmp_path / "pictures")
    assert [path.name for path in paths[:2]] == ["1.png", "2.png"]
    with Image.open(paths[3]) as image:
        assert image.tobytes() == shop.picture(3).tobytes()
    assert len(list((tmp_path / "pictures").iterdir())) == 10
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="other files"):
        shop.write_pictures(tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["mine.txt"]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="items"):
        ToyshopSettings.parse({"items": 3})
    with pytest.raises(SettingsError, match="did you mean 'shoppers'"):
        ToyshopSettings.parse({"shopers": 3})
