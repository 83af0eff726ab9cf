import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq._formats import read_tensors
from mmq._model_folder import CARD, CONFIG, LOG, WEIGHTS
from mmq.errors import DataError, FormatError, SettingsError
from mmq.model import model_class
from mmq.recommenders import (
    HeterRec,
    Popularity,
    Recommender,
    RetrievalData,
    SASRec,
    SplitSettings,
)
from mmq.recommenders._folder import FORMAT, ITEMS
from mmq.semantic_ids import SemanticIDs
from mmq.testing import tiny_ids, tiny_log, tiny_retrieval_data
from tests.rewritten import change_json, write_weights

SMALL = {"hidden_dim": 8, "heads": 2, "epochs": 2}
KINDS = {
    "heterrec": lambda: HeterRec(**SMALL),
    "sasrec": lambda: SASRec(**SMALL),
    "popularity": lambda: Popularity(),
}


@pytest.fixture(params=KINDS)
def saved(request, tmp_path):
    made = KINDS[request.param]()
    made.fit(tiny_retrieval_data())
    made.save(tmp_path / "model")
    return tmp_path / "model"


def test_what_a_folder_holds(saved):
    config = json.loads((saved / CONFIG).read_text())
    made = Recommender.load(saved)
    assert config["recommender"] == made.kind
    assert config["settings"] == made.settings.to_dict()
    assert config["items"] == 30
    assert config["ids"]["fingerprint"] == tiny_ids().fingerprint()
    assert Recommender.load(saved).split == SplitSettings(min_interactions=0)
    figures = config["figures"]["validation"]
    card = (saved / CARD).read_text()
    for name, value in figures.items():
        assert f"| {name} | {value:.4f} |" in card
    if made.kind != "popularity":
        lines = [json.loads(line) for line in (saved / LOG).read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [1, 2]
        assert {name: lines[config["figures"]["best_epoch"] - 1][name] for name in figures} == (
            figures
        )
    assert SemanticIDs.read(saved / ITEMS).codes.tolist() == tiny_ids().codes.tolist()


def test_a_folder_of_ours_is_replaced_whole(saved):
    popularity = Popularity()
    popularity.fit(tiny_retrieval_data())
    popularity.save(saved)
    assert Recommender.load(saved).kind == "popularity"
    assert not (saved / LOG).exists()
    assert [each.name for each in saved.parent.iterdir()] == ["model"]


def test_somebodys_folder_is_left_alone(tmp_path):
    """Files of such names are common: a catalogue may be called items.parquet."""
    (tmp_path / ITEMS).write_text("a catalogue")
    with pytest.raises(DataError, match="holds other files"):
        FORMAT.check_target(tmp_path)
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(DataError, match="holds other files"):
        FORMAT.check_target(tmp_path)


def test_items_without_ids(tmp_path):
    data = RetrievalData.of(tiny_log(), settings=SplitSettings(min_interactions=0))
    for made in (SASRec(**SMALL), Popularity()):
        made.fit(data)
        made.save(tmp_path / made.kind)
        loaded = Recommender.load(tmp_path / made.kind)
        assert loaded.items.ids is None
        assert loaded.items.item_ids.equals(data.item_ids)
        given = [["item-3", "item-4"]]
        assert loaded.recommend(given) == made.recommend(given)
        turned = pa.table({"item_id": data.item_ids.take(np.arange(len(data.item_ids))[::-1])})
        pq.write_table(turned, tmp_path / made.kind / ITEMS)
        with pytest.raises(FormatError, match="not the file that the model was trained with"):
            Recommender.load(tmp_path / made.kind)


def test_what_was_fitted_is_saved_not_a_table_given_later(tmp_path):
    made = HeterRec(**SMALL)
    made.fit(tiny_retrieval_data())
    before = made.recommend([["item-1"]], 5)
    old = tiny_ids()
    codes = np.concatenate([old.codes, [[0, 0, 0]]])
    made.with_ids(SemanticIDs.build([*old.item_ids.to_pylist(), "new"], codes, (4, 2, 3)))
    made.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    assert len(loaded.items.item_ids) == 30
    assert loaded.recommend([["item-1"]], 5) == before


@pytest.mark.parametrize(
    ("changed", "error", "expected"),
    [
        (lambda config: config.update(format=3), FormatError, "reads up to 2; upgrade mmq"),
        (lambda config: config.update(format=1), FormatError, "no longer has; train it again with"),
        (lambda config: config.update(format="1"), FormatError, "'format' is not as mmq writes it"),
        (lambda config: config.update(ids=[]), FormatError, "'ids' is not as mmq writes it"),
        (lambda config: config.pop("settings"), FormatError, "'settings' is not as mmq writes it"),
        (lambda config: config.update(recommender="sasrek"), FormatError, "did you mean 'sasrec'"),
        (lambda config: config["settings"].update(hiden_dim=3), SettingsError, "unknown setting"),
    ],
)
def test_configs_that_are_refused(saved, changed, error, expected):
    change_json(saved / CONFIG, changed)
    with pytest.raises(error, match=expected):
        Recommender.load(saved)


def test_other_items_are_refused(saved):
    ids = tiny_ids()
    for codes, names in (
        (tiny_ids(seed=1).codes, ids.item_ids),
        (ids.codes, ids.item_ids.take(np.arange(30)[::-1])),
    ):
        SemanticIDs.build(names, codes, (4, 2, 3)).write(saved / ITEMS)
        with pytest.raises(FormatError, match="not the file that the model was trained with"):
            Recommender.load(saved)


def test_weights_that_do_not_fit(saved):
    whole = read_tensors(saved / WEIGHTS, "weights")
    name = sorted(whole)[0]
    without = {each: value for each, value in whole.items() if each != name}
    without["surplus"] = np.zeros(3, np.float32)
    for tensors in (
        without,
        {**whole, name: whole[name][:-1]},
        {**whole, "surplus": np.zeros(3, np.float32)},
    ):
        write_weights(saved, tensors)
        with pytest.raises(FormatError, match=r"lacks|has shape|surplus|popularity"):
            Recommender.load(saved)
    if "norm.bias" in whole:
        write_weights(saved, {**whole, "norm.bias": whole["norm.bias"].astype(np.float64)})
        with pytest.raises(FormatError, match="float64, not float32"):
            Recommender.load(saved)


def test_settings_of_another_shape_are_refused(saved):
    config = json.loads((saved / CONFIG).read_text())
    if "hidden_dim" in config["settings"]:
        change_json(saved / CONFIG, lambda config: config["settings"].update(hidden_dim=16))
        with pytest.raises(FormatError, match="asks for"):
            Recommender.load(saved)


def test_no_such_folder_and_no_such_kind(tmp_path):
    with pytest.raises(DataError, match="there is no recommender"):
        Recommender.load(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="did you mean 'heterrec'"):
        model_class("recommender", "heterec")
