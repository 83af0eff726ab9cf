from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmq.cli import main

ITEMS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue, its tokenizer and its table, made by the other verbs."""
    folder = tmp_path_factory.mktemp("inspect")
    rng = np.random.default_rng(0)
    rows = [json.dumps({"item_id": f"i{n}", "title": f"Item {n}"}) for n in range(ITEMS)]
    (folder / "items.jsonl").write_text("\n".join(rows))
    for name, width in (("text", 9), ("image", 7)):
        np.save(folder / f"{name}.npy", rng.normal(size=(ITEMS, width)))
    imported = ["import", "npy", "--items", f"{folder}/items.jsonl"]
    for name in ("text", "image"):
        imported += ["--modality", f"{name}={folder}/{name}.npy"]
    assert main([*imported, "--out", f"{folder}/catalogue.parquet"]) == 0
    settings = ["--set", "codebook_size=6"]
    fitted = ["fit", f"{folder}/catalogue.parquet", "--out", f"{folder}/tokenizer", *settings]
    assert main(fitted) == 0
    encoded = ["encode", f"{folder}/catalogue.parquet", "--tokenizer", f"{folder}/tokenizer"]
    assert main([*encoded, "--out", f"{folder}/ids.parquet"]) == 0
    return folder


def as_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["inspect", *map(str, words), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    result: dict[str, Any] = json.loads(printed.out)
    return result


def test_json_has_the_contract(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = as_json(capsys, folder / "ids.parquet")
    assert {
        "items",
        "length",
        "codebook_size",
        "entropy",
        "utilisation",
        "distinct_share",
        "colliding_items",
        "largest_bucket",
        "gini",
        "codebooks",
        "verdict",
        "warnings",
    } <= result.keys()
    assert (result["items"], result["length"], result["codebook_size"]) == (ITEMS, 6, 6)
    assert len(result["codebooks"]) == 6
    assert result["verdict"]["grade"] in ("good", "fair", "poor")
    assert "report" not in result


def test_the_verdict_is_the_first_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grade = as_json(capsys, folder / "ids.parquet")["verdict"]["grade"]
    assert main(["inspect", str(folder / "ids.parquet")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{grade}: ")
    assert any("120 items, IDs of 6 codes" in line for line in lines)


def test_all_at_once(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [folder / "ids.parquet", "--catalogue", folder / "catalogue.parquet", "--item", "i7"]
    words += ["--tokenizer", folder / "tokenizer", "--against", folder / "ids.parquet"]
    words += ["--report", tmp_path / "deep" / "report.html"]
    result = as_json(capsys, *words)
    assert result["report"] == str(tmp_path / "deep" / "report.html")
    assert "<!DOCTYPE html>" in Path(result["report"]).read_text("utf-8")
    assert result["item"]["title"] == "Item 7"
    assert result["drift"]["changed"] == 0
    assert main(["inspect", *map(str, words)]) == 0
    printed = capsys.readouterr().out
    assert "item i7 Item 7: (" in printed
    assert "nearest by shared codes:" in printed
    assert "since the older table: 120 items in both" in printed
    assert "variance unexplained, codes alone: text" in printed
    assert f"report -> {tmp_path}" in printed


def test_warnings_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    np.save(tmp_path / "text.npy", rng.normal(size=(ITEMS, 9)))
    other = ["import", "npy", "--items", f"{folder}/items.jsonl", "--out", f"{tmp_path}/o.parquet"]
    assert main([*other, "--modality", f"text={tmp_path}/text.npy"]) == 0
    words = ["inspect", f"{folder}/ids.parquet", "--catalogue", f"{tmp_path}/o.parquet"]
    capsys.readouterr()
    assert main(words) == 0
    assert "warning: o.parquet is not the catalogue" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--item", "i999"], "item 'i999' is not among the 120 items"),
        (["--report", "report.parquet"], "should be a file that ends in .html"),
        (["--catalogue", "nowhere.parquet"], "there is no catalogue at nowhere.parquet"),
        (["--tokenizer", "nowhere"], "there is no tokenizer"),
    ],
)
def test_mistakes_are_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["inspect", f"{folder}/ids.parquet", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
