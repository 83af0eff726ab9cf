"""Semantic IDs made elsewhere, from their file to recommendations, and what is said on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from retrieval_shop import ITEMS, SIZES, SMALL, codes, columns, train, write_shop

from mmq import MMQTokenizer, SemanticIDs, read_catalogue
from mmq.cli import main
from mmq.data._interactions import Interactions, write_interactions
from mmq.workflows import IdImport, import_ids


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose IDs come from an index.json, and a recommender that was trained on them."""
    folder = tmp_path_factory.mktemp("foreign")
    write_shop(folder)
    (folder / "ids.parquet").unlink()
    (folder / "index.json").write_text(index(range(ITEMS)))
    assert run(folder, "index.json", "--codebook-sizes", "4", "--out", "ids.parquet") == 0
    assert train(folder, "model", "--ids", folder / "ids.parquet", *SMALL) == 0
    return folder


def index(items: range) -> str:
    rows = codes(60)
    return json.dumps(
        {i: [f"<{w}_{c}>" for w, c in zip("abc", rows[i], strict=True)] for i in items}
    )


def run(folder: Path, file: str, *options: str) -> int:
    """Import a file of a folder; names of files in the options are of that folder."""
    named = [str(folder / each) if "." in each else each for each in options]
    return main(["import", "ids", str(folder / file), *named])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_the_table_says_where_it_is_from(shop: Path) -> None:
    ids = SemanticIDs.read(shop / "ids.parquet")
    assert ids.item_ids.to_pylist() == list(range(ITEMS))
    assert ids.codes.tolist() == codes(ITEMS).tolist()
    assert ids.manifest["tokenizer"] is None
    file = ids.manifest["imported"][0]
    assert (file["file"], len(file["sha256"]), file["columns"]) == ("index.json", 64, ["values"])
    assert "imported from index.json" in repr(ids)


def test_lines_for_people_and_json(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shop, "index.json", "--out", "same.parquet") == 0
    out = capsys.readouterr().out
    assert f"{ITEMS} items, codes of 4 x 4 x 4, from values -> " in out
    assert "next: mmq train retrieval" in out
    assert run(shop, "index.json", "--out", "same.parquet", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["seconds"] > 0
    figures = {"items": ITEMS, "added": ITEMS, "kept": 0, "repeated": 0, "length": 3}
    assert figures.items() <= result.items()
    assert result["codebook_sizes"] == SIZES


def test_sizes_are_the_largest_code_and_one(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text('{"a": [3, 0, 9], "b": [1, 2, 5]}')
    assert import_ids(tmp_path / "i.json", tmp_path / "o.parquet")["codebook_sizes"] == [4, 3, 10]


def test_a_model_on_them_works_like_any_other(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    log = ["--interactions", str(shop / "log.parquet")]
    assert main(["evaluate", str(shop / "model"), *log, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["item_level"]["recall@10"] >= 0
    assert main(["recommend", str(shop / "model"), "--history", "1,2", "-k", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["recommendations"]) == 3


def test_a_ranker_reads_them(shop: Path) -> None:
    said = {**columns(), "label": np.random.default_rng(0).integers(0, 2, 540)}
    del said["rating"]
    write_interactions(shop / "impressions.parquet", Interactions.build(said))
    files = ["--interactions", shop / "impressions.parquet", "--ids", shop / "ids.parquet"]
    verb = ["train", "ranking", *files, "--out", shop / "ranker", "--set", "epochs=1"]
    assert main(list(map(str, verb))) == 0


def test_inspect_with_and_without_the_catalogue(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ["inspect", str(shop / "ids.parquet")]
    assert main(verb) == 0
    assert "encode" not in capsys.readouterr().out  # nothing that needs the tokenizer is advised
    report = shop / "report.html"
    catalogue = ["--catalogue", str(shop / "catalogue.parquet")]
    assert main([*verb, *catalogue, "--report", str(report)]) == 0
    out = capsys.readouterr().out
    assert "have no semantic ID yet; give them one with mmq import ids --append" in out
    assert "semantic IDs imported from" in report.read_text()


def test_new_items_go_after_the_old_ones(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "more.json").write_text(index(range(40, 50)))
    capsys.readouterr()
    options = ("--append", "ids.parquet", "--out", "longer.parquet")
    for _ in range(2):  # the second time it stands there already, of the same inputs
        assert run(shop, "more.json", *options) == 0
        assert "5 items are new, 5 were known already" in capsys.readouterr().out
    old, new = (SemanticIDs.read(shop / f"{name}.parquet") for name in ("ids", "longer"))
    assert new.item_ids.to_pylist() == list(range(50))
    assert (new.codes[:ITEMS] == old.codes).all()
    assert (new.rank[:ITEMS] == old.rank).all()
    assert [file["file"] for file in new.manifest["imported"]] == ["index.json", "more.json"]
    assert new.codebook_sizes == old.codebook_sizes
    history = ["recommend", shop / "model", "--history", "1,49", "--ids", shop / "longer.parquet"]
    assert main(list(map(str, history))) == 0


def test_a_table_may_be_appended_to_in_its_own_place(shop: Path) -> None:
    (shop / "own.parquet").write_bytes((shop / "ids.parquet").read_bytes())
    (shop / "last.json").write_text(index(range(50, 52)))
    assert run(shop, "last.json", "--append", "own.parquet", "--out", "own.parquet") == 0
    assert len(SemanticIDs.read(shop / "own.parquet")) == ITEMS + 2


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ('{"3": [0, 0, 1]}', [], "item 3 has [0, 0, 1], and ["),
        ('{"99": [0, 0, 4]}', [], "code 4 at position 2, outside its codebook of 4 (0 to 3)"),
        (
            '{"99": [0, 0]}',
            [],
            "has IDs of 2 codes, the table that they should go after has IDs of 3",
        ),
        (
            '{"99": [0, 0, 1]}',
            ["--codebook-sizes", "9"],
            "are not those of the old table, [4, 4, 4]",
        ),
        ('{"x": [0, 0, 1]}', [], "item ids of this table are whole numbers"),
    ],
)
def test_what_cannot_go_after_a_table(
    shop: Path, capsys: pytest.CaptureFixture[str], text: str, options: list[str], sentence: str
) -> None:
    (shop / "wrong.json").write_text(text)
    after = ["--append", shop / "ids.parquet", "--out", shop / "wrong.parquet"]
    error = refusal(capsys, "import", "ids", shop / "wrong.json", *after, *options)
    assert sentence in error
    assert not (shop / "wrong.parquet").exists()


def test_verbs_that_need_the_tokenizer_say_what_to_do(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue, ids = shop / "catalogue.parquet", shop / "ids.parquet"
    tokenizer = MMQTokenizer(codebook_size=4, shared_experts=1, specific_experts=2)
    tokenizer.fit(read_catalogue(catalogue))
    tokenizer.save(shop / "tokenizer")
    own = shop / "mmq.parquet"
    tokenizer.ids(read_catalogue(catalogue)).write(own)
    encode = ["encode", catalogue, "--tokenizer", shop / "tokenizer", "--out", shop / "x.parquet"]
    error = refusal(capsys, *encode, "--append", ids)
    assert "imported from index.json, not made by tokenizer 'mmq'" in error
    assert "add them with mmq import ids --append" in error
    error = refusal(capsys, "inspect", ids, "--tokenizer", shop / "tokenizer")
    assert "leave --tokenizer out" in error
    error = refusal(capsys, "recommend", shop / "model", "--history", "1", "--ids", own)
    assert "imported from index.json, not made by" in error
    tune = ["--tokenizer", shop / "tokenizer", "--model", shop / "model", "--out", shop / "tuned"]
    log = ["--interactions", shop / "log.parquet", "--catalogue", catalogue]
    error = refusal(capsys, "finetune", "retrieval", *tune, *log)
    assert "imported from index.json, and no tokenizer of mmq made them" in error
    after = ["--append", own, "--out", shop / "x.parquet"]
    error = refusal(capsys, "import", "ids", shop / "index.json", *after)
    assert "give new items theirs with mmq encode --append" in error


def test_a_foreign_file_in_the_place_of_a_table(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = shop / "foreign.parquet"
    pq.write_table(pq.read_table(shop / "ids.parquet").replace_schema_metadata(None), foreign)
    for file in (foreign, shop / "index.json"):
        error = refusal(capsys, "inspect", file)
        assert "mmq import ids FILE --out ids.parquet" in error
        assert "damaged" not in error
    assert run(shop, "foreign.parquet", "--out", "again.parquet") == 0
    again = SemanticIDs.read(shop / "again.parquet")
    assert (again.codes == codes(ITEMS)).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--codebook-sizes", "4,4"], "--codebook-sizes names 2 positions and the IDs have 3"),
        (["--codebook-sizes", "4,x,4"], "--codebook-sizes '4,x,4' should be whole numbers from 1"),
        (["--codebook-sizes", "0"], "should be whole numbers from 1 on"),
        (["--codebook-sizes", "3"], "outside its codebook of 3 (0 to 2); mend --codebook-sizes"),
        (["--first-codes", "1"], "which is before its first code 1; mend --first-codes"),
        (["--code-columns", "c0,c1"], "has no columns c0, c1; leave --code-columns out"),
    ],
)
def test_options_that_do_not_fit(
    shop: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    out = shop / "never.parquet"
    error = refusal(capsys, "import", "ids", shop / "index.json", "--out", out, *options)
    assert sentence in error
    assert not out.exists()


def test_what_stands_at_out(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "other.json").write_text(index(range(7)))
    assert run(shop, "other.json", "--out", "there.parquet") == 0
    verb = ["import", "ids", shop / "index.json", "--out", shop / "there.parquet"]
    error = refusal(capsys, *verb)
    assert "imported file 1 other.json, not index.json" in error
    assert main([*map(str, verb), "--force"]) == 0
    assert len(SemanticIDs.read(shop / "there.parquet")) == ITEMS
    error = refusal(capsys, "import", "ids", shop / "there.parquet", "--out", shop / "x.parquet")
    assert "is an ID table of mmq already" in error
    error = refusal(capsys, "import", "ids", shop / "other.json", "--out", shop / "other.json")
    assert "is what is read here and would be lost" in error


def test_codes_that_look_numbered_through_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {item: [item % 8, 8 + item % 5, 16 + item % 3] for item in range(20)}
    (tmp_path / "ids.json").write_text(json.dumps(rows))
    verb = ["import", "ids", str(tmp_path / "ids.json"), "--out", str(tmp_path / "ids.parquet")]
    assert main([*verb, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "the smallest codes are 0, 8, 16" in result["warnings"][0]
    assert result["codebook_sizes"] == [8, 13, 19]
    assert main([*verb, "--first-codes", "0,8,16", "--force", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["codebook_sizes"] == [8, 5, 3]
    assert "warnings" not in result


def test_repeated_rows_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ids.csv").write_text("item_id,c0,c1\na,1,2\nb,1,2\na,1,2\n")
    source = IdImport(tmp_path / "ids.csv")
    result = import_ids(source, tmp_path / "ids.parquet")
    assert (result["items"], result["repeated"], result["columns"]) == (2, 1, ["c0", "c1"])
    assert SemanticIDs.read(tmp_path / "ids.parquet").rank.tolist() == [0, 1]
    verb = ["import", "ids", str(tmp_path / "ids.csv"), "--out", str(tmp_path / "ids.parquet")]
    assert main(verb) == 0
    assert "left out, since they repeat another: 1 rows" in capsys.readouterr().out
