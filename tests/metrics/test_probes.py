from __future__ import annotations

import numpy as np
import pytest

from mmq.metrics.probes import (
    chance_accuracy,
    dense_probe_accuracy,
    dense_probe_table,
    probe_accuracy,
    probe_table,
)

RNG = np.random.default_rng(0)
CODES = RNG.integers([8, 5, 6], size=(900, 3))
SIZES = [8, 5, 6]


def test_a_factor_that_one_position_carries_is_read() -> None:
    assert probe_accuracy(CODES, SIZES, CODES[:, 1] % 3) == 1.0


def test_a_factor_that_positions_tell_additively_is_read_from_both_only() -> None:
    target = (CODES[:, 0] >= 4).astype(int) + (CODES[:, 1] >= 3)
    assert probe_accuracy(CODES, SIZES, target) > 0.9
    assert probe_accuracy(CODES[:, :1], SIZES[:1], target) < 0.75


def test_a_combination_of_positions_is_not_read_but_a_joint_code_is() -> None:
    target = (CODES[:, 0] % 2) ^ (CODES[:, 2] % 2)
    assert probe_accuracy(CODES, SIZES, target) < 0.62
    joint = (CODES[:, 0] * 6 + CODES[:, 2])[:, None]
    assert probe_accuracy(joint, [48], target) == 1.0


def test_noise_is_at_chance() -> None:
    target = np.random.default_rng(1).integers(4, size=900)
    assert probe_accuracy(CODES, SIZES, target) == pytest.approx(0.25, abs=0.08)


def test_more_codes_than_items_are_solved_alike() -> None:
    """Codes that nobody uses add columns of zeros: the other Gram matrix, the same answer."""
    target = CODES[:, 0] // 3
    narrow = probe_accuracy(CODES, SIZES, target)
    wide = probe_accuracy(CODES, [1000, 1000, 1000], target)
    assert narrow == wide == 1.0


def test_the_ridge_is_the_textbook_solution() -> None:
    """Against a plain solve of the normal equations on the same split."""
    x = np.random.default_rng(2).standard_normal((200, 6))
    target = (x @ np.arange(6) + np.random.default_rng(3).standard_normal(200) > 0).astype(int)
    order = np.random.default_rng(0).permutation(200)
    fit, held = order[:140], order[140:]
    z = (x - x.mean(0)) / x.std(0)
    centred, onehot = z[fit] - z[fit].mean(0), np.eye(2)[target[fit]]
    weights = np.linalg.inv(centred.T @ centred + np.eye(6)) @ centred.T @ (onehot - onehot.mean(0))
    scores = (z[held] - z[fit].mean(0)) @ weights + onehot.mean(0)
    expected = np.mean(scores.argmax(1) == target[held])
    assert dense_probe_accuracy(x, target) == expected > 0.8


def test_the_scale_of_an_embedding_does_not_matter() -> None:
    x = np.random.default_rng(2).standard_normal((300, 5))
    target = (x[:, 0] > 0).astype(int)
    assert dense_probe_accuracy(x, target) == dense_probe_accuracy(x * [1e3, 1, 1, 1e-3, 1], target)
    assert dense_probe_accuracy(np.c_[x, np.ones(300)], target) > 0.9


def test_chance_is_the_most_frequent_level() -> None:
    target = np.repeat([0, 1], [700, 200])
    assert chance_accuracy(target) == pytest.approx(7 / 9, abs=0.05)


def test_tables_have_a_cell_for_each_factor_and_group() -> None:
    factors = {"first": CODES[:, 0] % 2, "last": CODES[:, 2] % 3}
    table = probe_table(CODES, SIZES, {"front": [0, 1], "back": [2]}, factors)
    assert table["first"]["front"] == table["last"]["back"] == 1.0
    assert table["first"]["back"] < 0.65
    assert set(table["last"]) == {"front", "back", "chance"}
    dense = dense_probe_table({"codes": np.eye(8)[CODES[:, 0]]}, factors)
    assert dense["first"] == {"codes": 1.0, "chance": table["first"]["chance"]}


def test_another_seed_is_another_split() -> None:
    target = np.random.default_rng(1).integers(4, size=900)
    scores = {probe_accuracy(CODES, SIZES, target, seed=seed) for seed in range(4)}
    assert len(scores) > 1
