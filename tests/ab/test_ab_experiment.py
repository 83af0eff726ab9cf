from datetime import UTC, datetime
from pathlib import Path

import pytest
from ab_cases import experiment

from mmq.ab import read_experiment, read_experiments
from mmq.errors import FormatError, SettingsError
from mmq.settings import to_toml

TOML = """
[[experiments]]
name = "new-ids"
coverage = 0.1
start = 2026-12-01T00:00:00Z
arms = [
  { name = "control", weight = 0.5, release = "2026-11" },
  { name = "bonus", weight = 0.5, release = "2026-12", settings = { new_item_bonus = 0.2 } },
]
forced = { ann = "bonus" }

[[experiments]]
name = "order"
arms = [{ name = "a", weight = 0.5 }, { name = "b", weight = 0.5 }]
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "experiments.toml"
    path.write_text(TOML)
    first, second = read_experiments(path)
    assert first.arms[1].settings == {"new_item_bonus": 0.2}
    assert first.hash_seed == "new-ids"
    assert not first.runs_at(datetime(2026, 11, 30, tzinfo=UTC))
    assert first.runs_at(datetime(2027, 1, 1, tzinfo=UTC))
    assert second.runs_at(datetime(1999, 1, 1, tzinfo=UTC))
    assert read_experiment(path, "order") == second
    with pytest.raises(SettingsError, match="several experiments"):
        read_experiment(path)
    with pytest.raises(SettingsError, match="did you mean 'order'"):
        read_experiment(path, "ordr")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"arms": [{"name": "a", "weight": 0.5}, {"name": "b", "weight": 0.4}]}, "add up to 0.9"),
        ({"arms": [{"name": "a", "weight": 0.5}, {"name": "a", "weight": 0.5}]}, "named 'a'"),
        ({"arms": [{"name": "a", "weight": 1.0}]}, "at least 2"),
        ({"coverage": 1.2}, "less than or equal to 1"),
        ({"layer_range": (0.6, 0.4)}, "a part of 0 to 1"),
        ({"start": "2026-12-01T00:00:00"}, "no time zone"),
        ({"start": "2026-12-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}, "ends before"),
        ({"forced": {"ann": "contrl"}}, "did you mean 'control'"),
        ({"covrage": 1.0}, "did you mean 'coverage'"),
    ],
)
def test_a_mistake_is_one_sentence(values, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        experiment(**values)


def test_a_file_that_is_no_toml_or_absent(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[[")
    with pytest.raises(FormatError, match="not valid TOML"):
        read_experiments(tmp_path / "x.toml")
    with pytest.raises(SettingsError, match="no settings file"):
        read_experiments(tmp_path / "y.toml")


def two_of_a_layer(second: str, end: str = "") -> str:
    arms = 'arms = [{ name = "a", weight = 0.5 }, { name = "b", weight = 0.5 }]\nlayer = "home"\n'
    return f'[[experiments]]\nname = "x"\n{arms}{end}\n[[experiments]]\nname = "y"\n{arms}{second}'


def test_two_experiments_on_one_part_of_a_layer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "experiments.toml"
    path.write_text(two_of_a_layer("layer_range = [0.5, 1.0]"))
    with pytest.raises(SettingsError, match="'x' and 'y' share a part of the layer 'home'"):
        read_experiments(path)
    path.write_text(two_of_a_layer("layer_range = [0.5, 1]", "layer_range = [0, 0.5]"))
    assert len(read_experiments(path)) == 2
    later = ("start = 2026-12-01T00:00:00Z", "end = 2026-12-01T00:00:00Z")
    path.write_text(two_of_a_layer(*later))
    assert len(read_experiments(path)) == 2, "one follows the other"


def test_an_experiment_comes_back_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "experiments.toml"
    arms = [{"name": "a", "weight": 0.5, "settings": {"bonus": 0.2}}, {"name": "b", "weight": 0.5}]
    trial = experiment(arms=arms, start="2026-12-01T00:00:00Z", forced={"ann": "b"})
    path.write_text(to_toml({"experiments": [trial.to_dict()]}))
    assert read_experiment(path) == trial
