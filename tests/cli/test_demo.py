from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmq import load
from mmq.cli import main
from mmq.data._log import read_interactions
from mmq.release import Release
from mmq.semantic_ids import SemanticIDs
from mmq.workflows import _demo


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    """What the command prints with --json, of a shop that is as small as can be."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("sys.stdout.write", printed.append)
        assert main(["demo", "--out", str(folder), "--items", "200", "--json"]) == 0
    text = "".join(printed)
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    return found


def test_every_file_is_there_and_can_be_read(result: dict[str, Any], folder: Path) -> None:
    ids = SemanticIDs.read(folder / "ids.parquet")
    assert len(ids) == result["items"] == 200
    tokenizer = load(folder / "tokenizer")
    assert list(tokenizer.positions) == ["shared", "text", "image"]
    assert len(read_interactions(folder / "interactions.parquet")) > 2000
    assert pq.read_table(folder / "factors.parquet").num_rows == 200
    assert len(list((folder / "pictures").iterdir())) == 200
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_the_release_is_of_the_shop(result: dict[str, Any], folder: Path) -> None:
    release = Release.load(folder / "releases" / "demo")
    assert result["releases"] == str(folder / "releases")
    assert release.shown.columns == ["toy", "size", "material", "maker"]
    assert release.shown.picture(0) is not None
    history = [item["item_id"] for item in result["recommended"]["history"]]
    expected = [item["item_id"] for item in result["recommended"]["recommendations"]]
    found = release.models.recommender.recommend([history], 5, exclude_history=True)
    assert found.item_ids == [expected]


def test_pictures_are_found_from_the_catalogue(result: dict[str, Any], folder: Path) -> None:
    paths = pq.read_table(folder / "catalogue.parquet").column("image_path").to_pylist()
    assert all(Path(path).is_file() for path in paths)
    assert (folder / "report.html").read_text("utf-8").count("data:image/jpeg") > 20


def test_the_figures_are_those_of_the_files(
    result: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", f"{folder}/ids.parquet", "--catalogue", f"{folder}/catalogue.parquet"]
    assert main([*words, "--tokenizer", f"{folder}/tokenizer", "--json"]) == 0
    inspected = json.loads(capsys.readouterr().out)
    assert inspected["verdict"] == result["verdict"]
    assert inspected["fvu_by_modality"]["held_out"] == result["fit"]["fvu_by_modality"]["held_out"]
    assert len(result["examples"]) == 3
    steps = {"shop", "embed", "fit", "encode", "inspect", "train", "release", "all"}
    assert set(result["seconds"]) == steps


def test_experts_know_what_their_modality_tells(result: dict[str, Any]) -> None:
    probes = result["probes"]
    assert probes["maker"]["text"] > probes["maker"]["chance"] + 0.2
    assert probes["maker"]["text"] > probes["maker"]["image"] + 0.2
    assert probes["badge"]["image"] > probes["badge"]["text"] + 0.2


def test_what_is_recommended_is_new_to_the_shopper_and_known_to_the_shop(
    result: dict[str, Any], folder: Path
) -> None:
    advice = result["recommended"]
    bought = {item["item_id"] for item in advice["history"]}
    recommended = {item["item_id"] for item in advice["recommendations"]}
    assert len(recommended) == 5
    assert not recommended & bought
    assert recommended <= set(SemanticIDs.read(folder / "ids.parquet").item_ids.to_pylist())
    log = read_interactions(folder / "interactions.parquet")
    first = log.user_ids[0].as_py()
    mask = [user == first for user in log.user_ids.to_pylist()]
    assert bought <= {item for item, own in zip(log.item_ids.to_pylist(), mask, strict=True) if own}
    for test in result["test"].values():
        assert 0 < test["history_competes"]["recall@10"] < 1


def test_a_previous_demo_is_replaced_and_other_folders_are_not(
    result: dict[str, Any],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def fail(*_: object) -> None:
        assert [path.name for path in folder.iterdir()] == ["demo.json"]
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "_tokenize", fail)
    assert main(["demo", "--out", str(folder), "--items", "200", "--seed", "1"]) == 2
    assert "holds a demo made from other inputs (seed 0, not 1)" in capsys.readouterr().err
    assert (folder / "ids.parquet").is_file()
    assert main(["demo", "--out", str(folder), "--force"]) == 130
    assert list(folder.iterdir()) == []  # nothing half-made remains
    (folder / "demo.json").write_text("{}")
    (folder / "catalogue.parquet.partial").mkdir()
    (folder / "notes.txt").write_text("what I found")
    monkeypatch.setattr(_demo, "_tokenize", interrupt)
    assert main(["demo", "--out", str(folder), "--force"]) == 130
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    monkeypatch.setattr(_demo, "_tokenize", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["demo", "--out", str(tmp_path / "new" / "demo")])
    assert not (tmp_path / "new").exists()


def test_lines_for_people(
    result: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "d"), "--items", "200"]) == 0
    printed = capsys.readouterr().out
    for step in ("shop", "embed", "fit", "encode", "inspect", "train"):
        assert f"\n{step} " in f"\n{printed}"
    for toy in result["examples"]:  # the same seed, the same shop
        assert toy["title"] in printed
    for item in result["recommended"]["recommendations"]:
        assert f"recommended  {item['title']}" in printed
    assert f"look at {tmp_path / 'd' / 'report.html'}" in printed


def test_too_small_a_shop_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "d"), "--items", "5"]) == 2
    assert "--items" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
