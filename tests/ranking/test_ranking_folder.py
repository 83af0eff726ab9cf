import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ranking_shop import SMALL, columns, data, fitted, names, table

from mmq._formats import read_tensors
from mmq._model_folder import CARD, CONFIG, LOG, WEIGHTS, family_of
from mmq.errors import DataError, FormatError, SettingsError
from mmq.ranking import PPNet, Ranker, RankingData
from mmq.ranking._folder import (
    FORMAT,
    IDS,
    VOCABULARY,
)
from mmq.recommenders import Popularity
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_retrieval_data
from tests.rewritten import change_json, write_weights


@pytest.fixture
def saved(tmp_path):
    fitted().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("with_ids", "changes"),
    [
        (True, {}),
        (False, {}),
        (True, {"item_id": False, "codes": "sum"}),
        (True, {"codes": "gated", "code_features": "prefixes", "hidden": (6, 4)}),
    ],
    ids=str,
)
def test_what_is_loaded_predicts_the_same(with_ids, changes, tmp_path):
    made = fitted(with_ids, **changes)
    made.save(tmp_path / "model")
    loaded = Ranker.load(tmp_path / "model")
    assert loaded.settings == made.settings
    assert np.array_equal(loaded.predict(data().test, data()), made.predict(data().test, data()))
    asked = ["item-1", "item-50"]
    assert loaded.score(100, ["item-2"], asked).tolist() == (
        made.score(100, ["item-2"], asked).tolist()
    )
    assert (tmp_path / "model" / IDS).exists() == with_ids
    loaded.save(tmp_path / "again")
    for name in (WEIGHTS, VOCABULARY):
        assert (tmp_path / "again" / name).read_bytes() == (
            (tmp_path / "model" / name).read_bytes()
        )


def test_columns_and_text_and_numbers_come_back(tmp_path):
    """Values that look like numbers stay text, users that are numbers stay numbers."""
    log = pa.table(
        {
            **columns(),
            "page": [str(row % 3) for row in range(2000)],
            "user": [None if row % 5 == 0 else f"ä {row % 2}" for row in range(2000)],
        }
    )
    wide = RankingData.of(log, columns=["page", "user"])
    made = PPNet(**{**SMALL, "epochs": 1})
    made.fit(wide, table())
    made.save(tmp_path / "model")
    loaded = Ranker.load(tmp_path / "model")
    for one, other in (
        (loaded.vocabulary.users, made.vocabulary.users),
        (loaded.vocabulary.items, made.vocabulary.items),
        (loaded.vocabulary.columns["page"], made.vocabulary.columns["page"]),
        (loaded.vocabulary.columns["user"], made.vocabulary.columns["user"]),
    ):
        assert one.equals(other)
    assert pa.types.is_integer(loaded.vocabulary.users.type)
    assert pa.types.is_string(loaded.vocabulary.columns["page"].type)
    assert loaded.vocabulary.shown.tolist() == made.vocabulary.shown.tolist()
    assert list(loaded.vocabulary.columns) == ["page", "user"]
    assert np.array_equal(loaded.predict(wide.test, wide), made.predict(wide.test, wide))


def test_what_a_folder_holds(tmp_path):
    made = PPNet(**SMALL)
    fit = made.fit(data(), table())
    made.save(tmp_path / "model")
    folder = tmp_path / "model"
    assert {each.name for each in folder.iterdir()} == set(FILES)
    config = json.loads((folder / CONFIG).read_text())
    assert config["ranker"] == "ppnet"
    assert config["settings"] == made.settings.to_dict()
    assert config["ids"]["fingerprint"] == table().fingerprint()
    assert config["figures"]["best_epoch"] == fit.best_epoch
    assert Ranker.load(folder).split == made.split == data().split
    card = (folder / CARD).read_text()
    for name, value in fit.validation.items():
        assert f"| {name} | {value:.4f} |" in card
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    assert lines == made.log
    assert SemanticIDs.read(folder / IDS).codes.tolist() == table().codes.tolist()
    assert is_ranker(folder)
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_the_same_training_makes_the_same_files(tmp_path):
    for name in ("a", "b"):
        made = PPNet(**SMALL)
        made.fit(data(), table())
        made.save(tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_was_fitted_is_saved_not_a_table_given_later(tmp_path):
    made = PPNet(**{**SMALL, "epochs": 1})
    made.fit(data(), table())
    made.with_ids(table(80))
    made.save(tmp_path / "model")
    loaded = Ranker.load(tmp_path / "model")
    assert len(loaded.ids) == 60
    loaded.with_ids(table(80))
    asked = [*names(), "item-70"]
    assert loaded.score(100, [], asked).tolist() == made.score(100, [], asked).tolist()


def test_a_folder_of_ours_is_replaced_and_somebodys_is_not(saved, tmp_path):
    fitted(with_ids=False).save(saved)
    assert Ranker.load(saved).ids is None
    assert not (saved / IDS).exists()
    (saved / "notes.txt").write_text("mine")
    for folder in (saved, recommender(tmp_path)):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(DataError, match="holds other files"):
            FORMAT.check_target(folder)
        with pytest.raises(DataError, match="holds other files"):
            fitted().save(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def recommender(folder):
    made = Popularity()
    made.fit(tiny_retrieval_data())
    made.save(folder / "recommender")
    return folder / "recommender"


FILES = (CONFIG, WEIGHTS, CARD, LOG, VOCABULARY, IDS)


def is_ranker(folder):
    return family_of(folder, ["recommender", "ranker"]) == "ranker"


CONFIGS = {
    "newer": (lambda c: c.update(format=3), FormatError, "reads up to 2; upgrade mmq"),
    "older": (lambda c: c.update(format=1), FormatError, "no longer has; train it again with mmq"),
    "newer, other": (
        lambda c: (c.update(format=3, ids=[]), c.pop("settings")),
        FormatError,
        "reads up to 2; upgrade mmq",
    ),
    "format": (lambda c: c.update(format="1"), FormatError, "'format' is not as mmq writes it"),
    "settings": (lambda c: c.pop("settings"), FormatError, "'settings' is not as mmq writes it"),
    "ids": (lambda c: c.update(ids=[]), FormatError, "'ids' is not as mmq writes it"),
    "no mark": (lambda c: c.update(ids={}), FormatError, "not the file that the model was trained"),
    "kind": (lambda c: c.update(ranker="din"), FormatError, "holds a ranker 'din'"),
    "unknown": (lambda c: c["settings"].update(hiden=3), SettingsError, "did you mean 'hidden'"),
    "width": (lambda c: c["settings"].update(embedding_dim=5), FormatError, "asks for"),
    "no table": (lambda c: c.update(ids=None), FormatError, "asks for"),
    "column": (lambda c: c.update(columns=["device"]), FormatError, "lacks the tensor 'columns.0'"),
    "columns": (lambda c: c.update(columns={}), FormatError, "'columns' is not as mmq writes it"),
    "vocabulary": (
        lambda c: c.update(vocabulary_sha256="0"),
        FormatError,
        "vocabulary.parquet is not the file",
    ),
}


@pytest.mark.parametrize(("changed", "error", "expected"), CONFIGS.values(), ids=CONFIGS)
def test_configs_that_are_refused(changed, error, expected, saved):
    change_json(saved / CONFIG, changed)
    with pytest.raises(error, match=expected):
        Ranker.load(saved)


def test_a_split_of_before_loads_where_it_says_what_is_still_the_case(saved):
    change_json(saved / CONFIG, lambda c: c["split"].update(validation_share=0.1, test_share=0.1))
    assert Ranker.load(saved).split == fitted().split
    change_json(saved / CONFIG, lambda c: c["split"].update(test_share=0.2))
    with pytest.raises(SettingsError, match=r"'test_share' = 0\.2 is of an older mmq"):
        Ranker.load(saved)


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "begun": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "zeros": lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, VOCABULARY, IDS])
def test_damaged_files_are_named_in_one_sentence(name, damage, saved):
    DAMAGES[damage](saved / name)
    with pytest.raises((DataError, FormatError)) as caught:
        Ranker.load(saved)
    assert str(saved / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_another_model_are_refused(saved, tmp_path):
    other = PPNet(**{**SMALL, "epochs": 1, "seed": 1})
    log = columns(1000)
    other.fit(RankingData.of(pa.table(log)), table(61))
    other.save(tmp_path / "other")
    for name, expected in ((VOCABULARY, "not the file that"), (IDS, "not the file that")):
        with_another = shutil.copytree(saved, tmp_path / name)
        shutil.copy(tmp_path / "other" / name, with_another)
        with pytest.raises(FormatError, match=expected):
            Ranker.load(with_another)
    cut = pq.read_table(saved / VOCABULARY).slice(1)
    pq.write_table(cut, saved / VOCABULARY)
    with pytest.raises(FormatError, match="not the file that"):
        Ranker.load(saved)


def test_weights_that_do_not_fit(saved):
    whole = read_tensors(saved / WEIGHTS, "weights")
    name = "layers.0.weight"
    assert whole.keys() == fitted().tensors().keys()
    without = {each: value for each, value in whole.items() if each != name}
    for tensors, expected in (
        (without, "lacks the tensor 'layers.0.weight'"),
        ({**whole, name: whole[name][:-1]}, "has shape"),
        ({**whole, "surplus": np.zeros(3, np.float32)}, "holds a tensor 'surplus'"),
        ({**whole, name: whole[name].astype(np.float64)}, "float64, not float32"),
    ):
        write_weights(saved, tensors)
        with pytest.raises(FormatError, match=expected):
            Ranker.load(saved)


def test_folders_that_hold_something_else(tmp_path):
    with pytest.raises(DataError, match="there is no ranker"):
        Ranker.load(tmp_path / "nowhere")
    assert not is_ranker(tmp_path / "nowhere")
    assert not is_ranker(tmp_path)
    folder = recommender(tmp_path)
    assert not is_ranker(folder)
    with pytest.raises(FormatError, match="is not the config of an mmq ranker"):
        Ranker.load(folder)
    (tmp_path / CONFIG).write_text("[]")
    with pytest.raises(FormatError, match="should hold a JSON object"):
        is_ranker(tmp_path)


def test_one_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(DataError, match="not fitted yet"):
        PPNet().save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_there(saved, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    monkeypatch.setattr("mmq._model_folder.write_tensors", full)
    with pytest.raises(DataError, match="the disk is full"):
        fitted(with_ids=False).save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [each.name for each in saved.parent.iterdir()] == ["model"]
