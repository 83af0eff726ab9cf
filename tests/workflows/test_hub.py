"""mmq push and pull against a hub on loopback; nothing else is reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_stand_in import TOKEN, StandIn, stand_in
from huggingface_hub import ModelCard, constants

from mmq import Catalogue, load
from mmq._model_folder import fingerprint
from mmq.cli import main
from mmq.tokenizers import RQKMeansTokenizer

ITEMS = 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with stand_in() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.build(range(ITEMS), {"text": np.random.default_rng(0).normal(size=(ITEMS, 6))})


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Path:
    return save(catalogue, tmp_path_factory.mktemp("models") / "tokenizer", seed=0)


def save(catalogue: Catalogue, folder: Path, seed: int) -> Path:
    model = RQKMeansTokenizer(codebook_size=4, length=2, seed=seed)
    model.fit(catalogue)
    model.save(folder)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence of a verb that exits with 2."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("mmq: ")
    assert said.err.count("\n") == 1
    return said.err


def test_a_model_comes_back_as_it_went(
    hub: StandIn, tokenizer: Path, catalogue: Catalogue, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert (
        main(["push", str(tokenizer), "me/toys", "--private", "--message", "First", "--json"]) == 0
    )
    pushed = json.loads(capsys.readouterr().out)
    assert hub.messages == ["First"]
    assert hub.private == {"me/toys"}
    assert main(["pull", "me/toys", "--out", str(tmp_path / "new"), "--json"]) == 0
    pulled = json.loads(capsys.readouterr().out)
    assert pulled["commit"] == pushed["commit"] == hub.branches["me/toys"]["main"]
    assert (pulled["family"], pulled["kind"]) == ("tokenizer", "rqkmeans")
    assert {each.name for each in (tmp_path / "new").iterdir()} == set(pushed["files"])
    assert fingerprint(tmp_path / "new") == fingerprint(tokenizer)
    expected = load(tokenizer).encode(catalogue)
    np.testing.assert_array_equal(load(tmp_path / "new").encode(catalogue), expected)


def test_the_card_has_figures_and_a_license_only_if_given(hub: StandIn, tokenizer: Path) -> None:
    main(["push", str(tokenizer), "me/toys"])
    card = ModelCard(hub.files("me/toys")["README.md"].decode())
    assert card.data.library_name == "mmq"
    assert "semantic-ids" in card.data.tags
    assert card.data.license is None
    assert "| fvu, fit |" in card.text
    main(["push", str(tokenizer), "me/toys", "--license", "mit"])
    assert ModelCard(hub.files("me/toys")["README.md"].decode()).data.license == "mit"


def test_a_branch_is_made_and_pulled(hub: StandIn, tokenizer: Path, tmp_path: Path) -> None:
    assert main(["push", str(tokenizer), "me/toys", "--revision", "trial"]) == 0
    assert set(hub.files("me/toys")) == {".gitattributes"}
    out = str(tmp_path / "new")
    assert main(["pull", "me/toys", "--out", out, "--revision", "trial"]) == 0
    assert fingerprint(out) == fingerprint(tokenizer)


def test_files_of_an_earlier_model_go_and_those_of_people_stay(
    hub: StandIn, tokenizer: Path
) -> None:
    hub.put("me/toys", "main", {"items.parquet": b"old", "LICENSE": b"theirs"})
    assert main(["push", str(tokenizer), "me/toys"]) == 0
    assert "items.parquet" not in hub.files("me/toys")
    assert hub.files("me/toys")["LICENSE"] == b"theirs"


def test_another_model_is_replaced_with_force_alone(
    hub: StandIn, tokenizer: Path, catalogue: Catalogue, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = save(catalogue, tmp_path / "other", seed=1)
    before = fingerprint(out)
    main(["push", str(tokenizer), "me/toys"])
    assert "holds another model" in refused(capsys, "pull", "me/toys", "--out", out)
    assert fingerprint(out) == before
    assert main(["pull", "me/toys", "--out", str(out), "--force"]) == 0
    assert fingerprint(out) == fingerprint(tokenizer)
    assert main(["pull", "me/toys", "--out", str(out)]) == 0  # the same again


def test_what_is_no_model_is_never_replaced(
    hub: StandIn, tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    main(["push", str(tokenizer), "me/toys"])
    said = refused(capsys, "pull", "me/toys", "--out", tmp_path / "mine", "--force")
    assert "holds other files" in said
    assert (tmp_path / "mine" / "config.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"README.md": b"hello"}, "no model in me/bad"),
        ({"config.json": b"{}"}, "no model in me/bad"),
        ({"config.json": b'{"tokenizer": "rqkmeans", "format": 2}'}, "is not the config"),
        ({"config.json": b'{"model_type": "bert"}', "model.safetensors": b"1"}, "no model in"),
    ],
)
def test_a_repository_without_a_model_leaves_nothing(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, bytes],
    words: str,
) -> None:  # fmt: skip
    hub.put("me/bad", "main", files)
    said = refused(capsys, "pull", "me/bad", "--out", tmp_path / "new")
    assert "me/bad holds no model that mmq can load" in said
    assert words in said
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_model_is_not_pushed(
    hub: StandIn, tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no model in" in refused(capsys, "push", tmp_path, "me/toys")
    (tmp_path / "config.json").write_bytes((tokenizer / "config.json").read_bytes())
    assert "there is no file of the" in refused(capsys, "push", tmp_path, "me/toys")
    assert not hub.branches


def test_refusals_of_the_hub_are_sentences(
    hub: StandIn, tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = tmp_path / "new"
    hub.put("others/theirs", "main", {})
    hub.put("me/toys", "main", {})
    assert "no repository me/none" in refused(capsys, "pull", "me/none", "--out", out)
    wrong = refused(capsys, "pull", "me/toys", "--out", out, "--revision", "v9")
    assert "me/toys has no revision 'v9'" in wrong
    assert "cannot be a repository's name" in refused(capsys, "push", tokenizer, "a/b/c")
    assert "cannot be a repository's name" in refused(capsys, "pull", "no spaces", "--out", out)
    assert "forbids this" in refused(capsys, "push", tokenizer, "others/theirs")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "does not accept the token" in refused(capsys, "push", tokenizer, "me/toys")
    monkeypatch.delenv("HF_TOKEN")
    assert "there is no token" in refused(capsys, "push", tokenizer, "me/toys")
    assert not out.exists()


def test_no_network_and_offline_are_sentences(
    hub: StandIn, tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    calls = (["push", tokenizer, "me/toys"], ["pull", "me/toys", "--out", tmp_path / "new"])
    for call in calls:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert "cannot be reached" in refused(capsys, *call)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE is set" in refused(capsys, *call)
