from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmq.cli import main
from mmq.data import Catalogue, read_catalogue, write_catalogue
from mmq.semantic_ids import SemanticIDs

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
    assert "most similar by what the IDs decode to:" in printed
    assert [each["cosine"] for each in result["item"]["similar"]] == sorted(
        (each["cosine"] for each in result["item"]["similar"]), reverse=True
    )
    assert "since the older table: 120 items in both" in printed
    assert "variance unexplained, codes alone: text" in printed
    assert f"report -> {tmp_path}" in printed


def test_a_code_in_words(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ids = SemanticIDs.read(folder / "ids.parquet")
    own = ids.codes[:, 5] == 2
    rows = [
        {"item_id": f"i{n}", "title": f"Item {n}", "kind": "a|rare" if own[n] else "b"}
        for n in range(ITEMS)
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["import", "npy", "--items", f"{tmp_path}/items.jsonl", "--attribute", "kind"]
    words += ["--out", f"{tmp_path}/catalogue.parquet", "--modality", f"text={folder}/text.npy"]
    assert main(words) == 0
    capsys.readouterr()
    asked = [folder / "ids.parquet", "--catalogue", tmp_path / "catalogue.parquet"]
    code = as_json(capsys, *asked, "--code", "5=2")["code"]
    assert (code["position"], code["code"], code["items"]) == (5, 2, own.sum())
    assert {word["value"] for word in code["words"]} == {"a", "rare"}
    assert all(ids.of(each["item_id"])[5] == 2 for each in code["examples"])
    assert main(["inspect", *map(str, asked), "--code", "5=2"]) == 0
    printed = capsys.readouterr().out
    assert f"code 2 of position 5 (image): {own.sum()} items" in printed
    assert f"  kind rare: 100% of them, {own.mean():.0%} of all items" in printed
    assert main(["inspect", str(folder / "ids.parquet"), "--code", "5=2"]) == 0
    assert "nothing that the catalogue says of them" in capsys.readouterr().out


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
        (["--code", "5"], "--code '5' should read POSITION=CODE, such as 0=17"),
        (["--code", "6=1"], "--code 6=1: IDs have 6 codes, so positions are 0 to 5"),
        (["--code", "5=6"], "--code 5=6: the codebook of position 5 has the codes 0 to 5"),
        (["--code", "-1=6"], "--code '-1=6' should read POSITION=CODE"),
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


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of which a third of the items lacks the picture; a second one was appended to."""
    folder = tmp_path_factory.mktemp("lacking")
    rng = np.random.default_rng(0)
    text, image = rng.normal(size=(700, 6)), rng.normal(size=(700, 5))
    image[rng.random(700) < 0.36] = np.nan
    made = Catalogue.build(range(700), {"text": text, "image": image})
    write_catalogue(folder / "next.parquet", made)
    write_catalogue(folder / "catalogue.parquet", made.take(np.arange(400)))
    fitted = ["fit", f"{folder}/catalogue.parquet", "--out", f"{folder}/tokenizer"]
    fitted += ["--hold-out", "0.1", "--set", "codebook_size=8", "--set", "latent_dim=8"]
    assert main([*fitted, "--set", "learning=gradient", "--set", "epochs=3"]) == 0
    for name, more in (("ids", []), ("both", ["--append", f"{folder}/ids.parquet"])):
        source = "next" if more else "catalogue"
        encoded = ["encode", f"{folder}/{source}.parquet", "--tokenizer", f"{folder}/tokenizer"]
        assert main([*encoded, "--out", f"{folder}/{name}.parquet", *more]) == 0
    return folder


@pytest.mark.parametrize(("table", "source"), [("ids", "catalogue"), ("both", "next")])
def test_the_verdict_needs_neither_tokenizer_nor_catalogue(
    table: str, source: str, lacking: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ids, catalogue = lacking / f"{table}.parquet", lacking / f"{source}.parquet"
    alone = as_json(capsys, ids)
    of_catalogue = as_json(capsys, ids, "--catalogue", catalogue)
    both = as_json(capsys, ids, "--catalogue", catalogue, "--tokenizer", lacking / "tokenizer")
    assert alone["verdict"] == of_catalogue["verdict"] == both["verdict"]
    assert alone["codebooks"] == both["codebooks"]
    absent = int((~read_catalogue(catalogue).present["image"]).sum())
    assert alone["lacking"] == {"image": absent, "text": 0}
    assert [book["items"] for book in alone["codebooks"][4:]] == 2 * [alone["items"] - absent]
    # a table of an older mmq does not say it; catalogue and tokenizer do
    read = SemanticIDs.read(ids)
    named = read.manifest["tokenizer"]
    assert named is not None
    older: Any = {key: value for key, value in read.manifest.items() if key != "lacking"}
    older["tokenizer"] = {"name": named["name"], "fingerprint": named["fingerprint"]}
    replace(read, manifest=older).write(tmp_path / "older.parquet")
    words = ["--catalogue", catalogue, "--tokenizer", lacking / "tokenizer"]
    assert as_json(capsys, tmp_path / "older.parquet", *words) == both


@pytest.mark.parametrize("items", [500, 4000])
def test_noise_is_not_good(items: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Few items are learned by heart; of many the codes keep as much as anything could of noise."""
    rng = np.random.default_rng(0)
    noise = {"text": rng.normal(size=(items, 64)), "image": rng.normal(size=(items, 48))}
    write_catalogue(tmp_path / "c.parquet", Catalogue.build(range(items), noise))
    fitted = ["fit", f"{tmp_path}/c.parquet", "--out", f"{tmp_path}/t", "--hold-out", "0.1"]
    assert main([*fitted, "--tokenizer", "rqkmeans", "--set", "codebook_size=32"]) == 0
    encoded = ["encode", f"{tmp_path}/c.parquet", "--tokenizer", f"{tmp_path}/t"]
    assert main([*encoded, "--out", f"{tmp_path}/ids.parquet"]) == 0
    capsys.readouterr()
    result = as_json(capsys, tmp_path / "ids.parquet")
    grade, (sentence, *_) = result["verdict"].values()
    assert grade == "poor"
    assert ("learned by heart" in sentence.split(":")[0]) == (items == 500)
    assert "no better than noise" in sentence.split(":")[0]
    assert main(["inspect", f"{tmp_path}/ids.parquet"]) == 0
    fit = result["fit"]["fvu_codes"]
    out = capsys.readouterr().out
    assert f"codes alone: fit {fit['fit']:.3f}, held out {fit['held_out']:.3f}" in out
    assert "nothing to mend" not in out


def test_tables_of_two_tokenizers_were_never_comparable(
    lacking: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    read = SemanticIDs.read(lacking / "ids.parquet")
    made = read.manifest["tokenizer"]
    assert made is not None
    other: Any = {**read.manifest, "tokenizer": {**made, "fingerprint": "0" * 64}}
    read.recoded((read.codes + 1) % 8, other).write(tmp_path / "other.parquet")
    words = [lacking / "ids.parquet", "--against", tmp_path / "other.parquet"]
    found = as_json(capsys, *words)["drift"]
    assert (found["comparable"], found["changed"]) == (False, None)
    assert main(["inspect", *map(str, words), "--report", str(tmp_path / "r.html")]) == 0
    out = capsys.readouterr().out
    assert "so their codes were never comparable" in out
    assert "changed their ID" not in out
    assert "were never comparable. What can be compared" in (tmp_path / "r.html").read_text()


def test_a_report_of_another_table_is_replaced_with_force_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ids, report = tmp_path / "ids.parquet", tmp_path / "report.html"
    table = SemanticIDs.read(folder / "ids.parquet")
    table.write(ids)
    words = ["inspect", str(ids), "--report", str(report)]
    assert main(words) == 0
    assert main([*words, "--catalogue", f"{folder}/catalogue.parquet"]) == 0  # of the same table
    before = report.read_bytes()
    replace(table, codes=table.codes[::-1].copy()).write(ids)
    assert main(words) == 2
    told = f"{report} holds a report made from other inputs (ids another ids.parquet)"
    assert told in capsys.readouterr().err
    assert report.read_bytes() == before
    assert main([*words, "--force"]) == 0
    report.write_text("<html>my own page</html>")
    assert main(words) == 2
    assert "holds a file that does not say what it was made from" in capsys.readouterr().err
