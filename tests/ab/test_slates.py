import itertools
import math

import numpy as np
import pytest

from mmq.ab import draw_slates, slate_propensities
from mmq.errors import SettingsError


def by_hand(scores: list[float], slate: tuple[int, ...], temperature: float) -> float:
    left, total = list(range(len(scores))), 1.0
    for item in slate:
        weights = {each: math.exp(scores[each] / temperature) for each in left}
        total *= weights[item] / sum(weights.values())
        left.remove(item)
    return total


def test_propensities_are_those_of_the_definition_and_add_up_to_one() -> None:
    scores, temperature = [1.0, -0.5, 0.2, 3.0], 0.7
    slates = list(itertools.permutations(range(4), 2))
    rows = np.tile(scores, (len(slates), 1))
    found = slate_propensities(rows, np.array(slates), temperature).prod(axis=1)
    assert found == pytest.approx([by_hand(scores, each, temperature) for each in slates])
    assert found.sum() == pytest.approx(1)


def test_slates_are_drawn_as_often_as_their_propensities_say() -> None:
    scores = np.tile([1.0, 0.0, -1.0, 0.5], (40_000, 1))
    drawn = draw_slates(scores, 2, 0.8, np.random.default_rng(1))
    for slate in itertools.permutations(range(4), 2):
        share = (drawn.places == slate).all(axis=1).mean()
        assert share == pytest.approx(by_hand([1.0, 0.0, -1.0, 0.5], slate, 0.8), abs=0.008)


def test_scores_of_any_size_and_candidates_kept_out() -> None:
    scores = np.array([[1e4, 1e4 - 1, -np.inf]])
    drawn = draw_slates(scores, 2, 1.0, np.random.default_rng(0))
    assert sorted(drawn.places[0]) == [0, 1]
    assert np.isfinite(drawn.propensities).all()
    assert drawn.propensities[0, 1] == 1.0


def test_too_few_candidates_and_a_temperature_of_zero() -> None:
    with pytest.raises(SettingsError, match="fewer candidates"):
        draw_slates(np.array([[1.0, -np.inf]]), 2, 1.0, np.random.default_rng(0))
    with pytest.raises(SettingsError, match="above 0"):
        draw_slates(np.ones((1, 3)), 2, 0.0, np.random.default_rng(0))
