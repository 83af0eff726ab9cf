import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ab_cases import experiment
from hypothesis import given
from hypothesis import strategies as st

from mmq.ab import NOBODY, assign, assign_all, bucket_ranges
from mmq.ab._hashing import fnv1a32, layer_position, layer_positions, position, positions

CASES = json.loads((Path(__file__).parent / "growthbook_cases.json").read_text())
USERS = pa.array([f"user-{number}" for number in range(20_000)])


@pytest.mark.parametrize("case", [each for each in CASES["hash"] if each[2] == 2])
def test_positions_are_those_of_growthbook(case) -> None:
    seed, user, _, expected = case
    assert position(seed, user) == pytest.approx(expected, abs=1e-12)
    assert positions(seed, pa.array([user])) == pytest.approx([expected], abs=1e-12)


@pytest.mark.parametrize("case", CASES["inNamespace"], ids=lambda case: case[0])
def test_layers_are_namespaces_of_growthbook(case) -> None:
    _, user, (layer, low, high), inside = case
    assert (low <= layer_position(layer, user) < high) is inside
    assert (low <= layer_positions(layer, pa.array([user]))[0] < high) == inside


def accepted(case) -> bool:
    """Whether the settings of an experiment allow what the case asks for."""
    _, (arms, coverage, weights), _ = case
    return 0 <= coverage <= 1 and (weights is None or (len(weights) == arms and sum(weights) == 1))


@pytest.mark.parametrize("case", [each for each in CASES["getBucketRange"] if accepted(each)])
def test_ranges_are_those_of_growthbook(case) -> None:
    _, (arms, coverage, weights), expected = case
    found = bucket_ranges(weights or [1 / arms] * arms, coverage)
    assert np.array(found) == pytest.approx(np.array(expected))


@given(st.lists(st.text(max_size=12), max_size=30), st.text(max_size=5))
def test_many_users_at_once_are_as_one_by_one(users: list[str], seed: str) -> None:
    array = pa.array(users, pa.string())
    assert positions(seed, array).tolist() == [position(seed, user) for user in users]
    assert layer_positions(seed, array).tolist() == [layer_position(seed, user) for user in users]


def test_a_number_is_hashed_as_its_text() -> None:
    numbers = pa.array([7, 12, 2**40])
    assert positions("s", numbers).tolist() == [position("s", str(n)) for n in (7, 12, 2**40)]


def test_fnv_of_known_texts() -> None:
    # the vectors that the authors of FNV publish for FNV-1a with 32 bits
    assert fnv1a32("") == 0x811C9DC5
    assert fnv1a32("a") == 0xE40C292C
    assert fnv1a32("foobar") == 0xBF9CF968


def test_assign_all_is_assign_of_each() -> None:
    trial = experiment(
        coverage=0.3, layer="home", layer_range=(0.2, 0.9), forced={"user-1": "control"}
    )
    arms = assign_all(trial, USERS)
    for number, user in enumerate(USERS.to_pylist()):
        found = assign(trial, user)
        name = None if found is None or found.forced else found.arm
        expected = NOBODY if name is None else trial.arm_names.index(name)
        assert arms[number] == expected


def test_a_tester_sees_the_forced_arm_outside_of_the_coverage() -> None:
    trial = experiment(coverage=0.0, forced={"tester": "treatment"})
    assert assign(trial, "tester") == ("treatment", True)
    assert assign(trial, "other") is None


def test_more_coverage_moves_no_one() -> None:
    before = assign_all(experiment(coverage=0.1), USERS)
    for coverage in (0.2, 0.5, 1.0):
        after = assign_all(experiment(coverage=coverage), USERS)
        assert (after[before != NOBODY] == before[before != NOBODY]).all()
        assert (after != NOBODY).mean() == pytest.approx(coverage, abs=0.02)
        before = after


def test_arms_have_their_weights_and_experiments_are_independent() -> None:
    weights = [{"name": "a", "weight": 0.2}, {"name": "b", "weight": 0.8}]
    first = assign_all(experiment(arms=weights), USERS)
    second = assign_all(experiment(arms=weights, seed="other"), USERS)
    assert (first == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert ((first == 0) & (second == 0)).mean() == pytest.approx(0.04, abs=0.006)


def test_experiments_of_a_layer_share_no_user() -> None:
    first = assign_all(experiment(layer="home", layer_range=(0, 0.5)), USERS)
    second = assign_all(experiment(layer="home", layer_range=(0.5, 1), seed="x"), USERS)
    assert ((first != NOBODY) ^ (second != NOBODY)).all()
