"""Habits of scikit-learn that every model has, and its line."""

import pytest
from sklearn.base import clone

from mmq import MMQTokenizer, Popularity, RQKMeansTokenizer
from mmq.errors import DataError, SettingsError
from mmq.model import FAMILIES, kinds
from mmq.testing import tiny_catalogue, tiny_retrieval_data

MODELS = [each for family in FAMILIES for each in kinds(family).values()]
every_kind = pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)


@every_kind
def test_parameters_make_the_same_model(kind):
    made = kind(device="cpu")
    params = made.get_params()
    assert params.pop("device") == "cpu"
    assert params == made.settings.model_dump()
    assert kind(**params).settings == made.settings
    assert clone(made).settings == made.settings
    assert clone(made) is not made
    assert repr(made) == f"{kind.__name__}()"
    assert made.set_params(device="cpu") is made  # nothing is fitted yet


@every_kind
def test_what_is_not_fitted_is_not_saved(kind, tmp_path):
    with pytest.raises(DataError, match="is not fitted yet; call fit or load one"):
        kind().save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_parameters_are_set_and_checked():
    made = MMQTokenizer(codebook_size=8)
    assert made.set_params(codebook_size=16, specific_experts={"text": 3}, device="cpu") is made
    assert repr(made) == "MMQTokenizer(codebook_size=16, specific_experts={'text': 3})"
    assert made.settings == MMQTokenizer(codebook_size=16, specific_experts={"text": 3}).settings
    with pytest.raises(SettingsError, match="unknown setting 'codebok_size'"):
        made.set_params(codebok_size=3)
    assert made.settings.codebook_size == 16


def test_what_is_fitted_keeps_its_settings():
    made = RQKMeansTokenizer(codebook_size=4, length=2)
    made.fit(tiny_catalogue(items=40))
    with pytest.raises(DataError, match="this tokenizer is fitted"):
        made.set_params(length=3)
    fresh = clone(made).set_params(length=3)
    with pytest.raises(DataError, match="not fitted yet"):
        fresh.encode(tiny_catalogue(items=40))
    fresh.fit(tiny_catalogue(items=40))
    assert fresh.length == 3
    assert made.length == 2
    floor = Popularity()
    floor.fit(tiny_retrieval_data())
    with pytest.raises(DataError, match="this recommender is fitted"):
        floor.set_params(device="cpu")
