from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmq.cli import main
from mmq.data._parquet import read_catalogue


@pytest.fixture
def files(tmp_path):
    rows = [{"item": f"i{i}", "title": f"Item {i}", "year": 1990 + i} for i in range(8)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = np.random.default_rng(0).normal(size=(8, 6))
    text[5] = np.nan
    np.save(tmp_path / "text.npy", text)
    return tmp_path


def arguments(files, *more):
    return [
        *("import", "npy", "--items", str(files / "items.jsonl"), "--id", "item"),
        *("--modality", f"text={files / 'text.npy'}", "--out", str(files / "out.parquet"), *more),
    ]


def test_npy_json(files, capsys):
    assert main(arguments(files, "--reduce", "3", "--attribute", "year", "--json")) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["items"] == 8
    text = result["modalities"]["text"]
    assert (text["dimension"], text["missing"]) == (3, 1)
    assert 0.5 < text["explained_variance"] < 1
    assert result["out"] == str(files / "out.parquet")
    assert result["seconds"] > 0
    assert captured.err == ""
    catalogue = read_catalogue(files / "out.parquet")
    assert catalogue.attributes.column_names == ["title", "year"]


def test_npy_for_people(files, capsys):
    assert main(arguments(files, "--reduce", "3")) == 0
    out = capsys.readouterr().out
    assert "8 items ->" in out
    assert "text: 3 dimensions, 1 missing, PCA keeps" in out


def test_new_items_are_reduced_like_old_ones(files):
    assert main(arguments(files, "--reduce", "3")) == 0
    (files / "out.parquet").rename(files / "old.parquet")
    assert main(arguments(files, "--reduce-like", str(files / "old.parquet"))) == 0
    old, new = (pq.read_table(files / f"{name}.parquet") for name in ("old", "out"))
    assert new.replace_schema_metadata(None).equals(old.replace_schema_metadata(None))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--modality", "text"], "should read NAME=FILE.npy"),
        (["--modality", "text=x.npy"], "--modality text is given twice"),
        (["--modality", "image=x.npy"], "there is no embedding file"),
        (["--title-column", "name"], "no column 'name'"),
        (["--reduce", "0"], "--reduce 0"),
        (["--reduce", "3", "--reduce-like", "x"], "exclude each other"),
    ],
)
def test_mistakes_are_exit_code_2(files, capsys, more, message):
    assert main(arguments(files, *more)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("mmq: ")
    assert message in captured.err
    assert not (files / "out.parquet").exists()


def test_movielens_says_what_comes_next(tmp_path, capsys):
    (tmp_path / "movies.dat").write_text("1::A (1995)::Drama\n2::B (1996)::Drama\n")
    (tmp_path / "ratings.dat").write_text("1::1::5::7\n2::1::4::8\n2::2::4::8\n")
    out = tmp_path / "out"
    assert main(["import", "movielens", str(tmp_path), "--out", str(out)]) == 0
    assert f"mmq embed {out / 'items.parquet'} --text-columns" in capsys.readouterr().out
    command = ["import", "movielens", str(tmp_path), "--out", str(out), "--k-core", "1", "--json"]
    assert main(command) == 2
    assert f"{out} holds an import made from other inputs (k-core none, not 1)" in (
        capsys.readouterr().err
    )
    assert main([*command, "--force"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["users"], result["items"], result["interactions"]) == (2, 2, 3)


def test_recbole_writes_a_catalogue(tmp_path, capsys):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    (tmp_path / "x.item").write_text("item_id:token\tvec:float_seq\n2\t1 2 3\n")
    assert main(["import", "recbole", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "next: mmq fit" in capsys.readouterr().out
    assert read_catalogue(tmp_path / "out" / "catalogue.parquet").dimensions == {"vec": 3}


def test_amazon(tmp_path, capsys):
    (tmp_path / "reviews_Toys.json").write_text(
        '{"reviewerID": "U", "asin": "A", "overall": 4.0, "unixReviewTime": 9}\n'
    )
    (tmp_path / "meta_Toys.json").write_text("{'asin': 'A', 'title': \"Bear\"}\n")
    command = ["import", "amazon", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layout"] == "amazon-2014/2018"
    assert main([*command, "--json"]) == 0
    assert main([*command, "--k-core", "2", "--force"]) == 2
    assert "choose a smaller --k-core" in capsys.readouterr().err


def test_a_catalogue_of_other_inputs_is_replaced_with_force_alone(files, capsys):
    out = files / "out.parquet"
    assert main(arguments(files)) == 0
    whole = out.read_bytes()
    assert main(arguments(files)) == 0  # the same again
    assert out.read_bytes() == whole
    np.save(files / "text.npy", np.load(files / "text.npy") + 1)
    remedy = "choose another --out, or replace it with --force"
    for more, told in (
        ((), f"{out} holds a catalogue made from other inputs (modality text another text.npy)"),
        (("--reduce", "3"), "modality text another text.npy, reduce none, not 3)"),
    ):
        assert main(arguments(files, *more)) == 2
        err = capsys.readouterr().err
        assert told in err
        assert remedy in err
        assert out.read_bytes() == whole
    assert main(arguments(files, "--force")) == 0
    assert out.read_bytes() != whole
    out.write_text("the work of years")
    assert main(arguments(files)) == 2
    assert f"{out} holds a file that does not say what it was made from; {remedy}" in (
        capsys.readouterr().err
    )
    assert out.read_text() == "the work of years"


def test_an_import_of_other_files_is_replaced_with_force_alone(tmp_path, capsys):
    log, out = tmp_path / "x.inter", tmp_path / "out"
    log.write_text("user_id:token\titem_id:token\n1\t2\n")
    command = ["import", "recbole", str(log), "--out", str(out)]
    assert main(command) == main(command) == 0
    log.write_text("user_id:token\titem_id:token\n1\t2\n1\t3\n")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(command) == 2
    assert "an import made from other inputs (log another x.inter)" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert main([*command, "--force"]) == 0
    assert len(pq.read_table(out / "interactions.parquet")) == 2
