"""Tokenizers of format 1 go on loading and give the same codes; see golden/make.py."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmq.data import Catalogue
from mmq.errors import SettingsError
from mmq.model import model_class
from mmq.tokenizers import NetworkTokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.*holds no hash of its weights")

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(path.name for path in GOLDEN.iterdir() if (path / "config.json").exists())


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def items(expected):
    names = ("text", "image")
    present = {name: expected[f"{name} present"] for name in names}
    rows = {name: np.where(present[name][:, None], expected[name], np.nan) for name in names}
    return Catalogue.build(range(60), rows)


def test_all_kinds_are_here():
    assert FOLDERS == ["mmq", "mmq_refined", "opq", "rqkmeans_refined", "rqvae", "rqvae_refined"]
    for name in FOLDERS:
        assert json.loads((GOLDEN / name / "config.json").read_text())["format"] == 1


@pytest.mark.parametrize("name", FOLDERS)
def test_the_same_codes_and_the_same_vectors(name, items, expected, tmp_path):
    tokenizer = NetworkTokenizer.load(GOLDEN / name, device="cpu")
    tokenizer.save(tmp_path / "again")  # in the format of today
    for each in (tokenizer, NetworkTokenizer.load(tmp_path / "again", device="cpu")):
        codes = each.encode(items)
        np.testing.assert_array_equal(codes, expected[f"{name} codes"])
        for modality, vectors in each.decode(codes).items():
            np.testing.assert_allclose(vectors, expected[f"{name} {modality}"], atol=1e-6)


@pytest.mark.parametrize("name", FOLDERS)
def test_figures_are_those_of_the_unit_embeddings(name, items, expected):
    figures = NetworkTokenizer.load(GOLDEN / name, device="cpu").measure(items)
    errors = 0.0
    for modality, rows in items.embeddings.items():
        seen = items.present[modality]
        units = rows[seen] / np.linalg.norm(rows[seen], axis=1, keepdims=True)
        errors += float(np.square(units - expected[f"{name} {modality}"][seen]).sum())
    assert figures.l_recon_codes == pytest.approx(errors / 60, rel=1e-4)


@pytest.mark.parametrize("name", ["mmq", "rqvae"])
def test_soft_codes_of_what_is_not_refined(name, items, expected):
    index = NetworkTokenizer.load(GOLDEN / name, device="cpu").soft_codes(items)
    np.testing.assert_array_equal(index.argmax(2).numpy(), expected[f"{name} codes"])


@pytest.mark.parametrize("name", ["mmq_refined", "rqvae_refined"])
def test_no_soft_codes_of_the_old_refinement(name, items):
    with pytest.raises(SettingsError, match="of an older mmq, have no gradient; fit it anew"):
        NetworkTokenizer.load(GOLDEN / name, device="cpu").soft_codes(items)


@pytest.mark.parametrize("name", FOLDERS)
def test_settings_of_then_are_refused_where_they_meant_something_else(name, tmp_path):
    """All folders hold settings that are no more, at the value that is still the case."""
    config = json.loads((GOLDEN / name / "config.json").read_text())
    removed = model_class("tokenizer", config["tokenizer"]).settings_class.removed
    assert removed
    assert removed.keys() <= config["settings"].keys()
    folder = shutil.copytree(GOLDEN / name, tmp_path / name)
    for setting in removed:
        changed = {**config, "settings": {**config["settings"], setting: 0.25}}
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(SettingsError, match=rf"'{setting}' = 0\.25 is of an older mmq; this"):
            NetworkTokenizer.load(folder, device="cpu")
