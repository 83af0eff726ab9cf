"""Semantic IDs in a folder of parts: what one file of the same items gives."""

import json
import shutil
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from children import kill_when
from mmq import Catalogue, SemanticIDs, write_catalogue
from mmq.cli import main
from mmq.data import CatalogueFile
from mmq.errors import DataError, FormatError
from mmq.semantic_ids._table_folder import NOTE
from mmq.workflows import Run, encode, encode_parts, fit

ENDS = {"a.parquet": (0, 40), "b.parquet": (40, 65), "c/a.parquet": (65, 100)}


def items_of(first, end, text=False):
    """Items whose vectors come again after seven of them, so that many share an ID."""
    rng = np.random.default_rng(0)
    words, pictures = rng.normal(size=(7, 6)), rng.normal(size=(7, 4))
    pictures[2] = np.nan
    rows = np.arange(first, end)
    ids = [f"item {row}" for row in rows] if text else rows
    return Catalogue.build(ids, {"text": words[rows % 7], "image": pictures[rows % 7]})


def write_parts(folder, text=False):
    for name, place in ENDS.items():
        write_catalogue(folder / name, items_of(*place, text))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A catalogue in one file and in parts, a tokenizer, and the table of the file."""
    folder = tmp_path_factory.mktemp("parts")
    write_catalogue(folder / "all.parquet", items_of(0, 100))
    write_parts(folder / "catalogue")
    fit(folder / "all.parquet", folder / "tokenizer", "rqkmeans", settings={"codebook_size": 4})
    encode(folder / "all.parquet", folder / "tokenizer", folder / "all_ids.parquet")
    return folder


@pytest.fixture
def shop(made, tmp_path):
    """The same, with a catalogue that a test may damage."""
    for name in ("catalogue", "tokenizer"):
        shutil.copytree(made / name, tmp_path / name)
    for name in ("all.parquet", "all_ids.parquet"):
        shutil.copyfile(made / name, tmp_path / name)
    return tmp_path


def run(shop, out="ids", **options):
    return encode_parts(shop / "catalogue", shop / "tokenizer", shop / out, **options)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_same_table(one, other):
    """Equal in all but the hash of the catalogue, which of parts is one of theirs."""
    assert one.fingerprint() == other.fingerprint()
    found, wanted = (
        {**ids.manifest, "catalogue": ids.manifest["catalogue"]["items"]} for ids in (one, other)
    )
    assert found == wanted


def test_parts_are_the_table_of_one_file(shop):
    figures = run(shop)
    ids = SemanticIDs.read(shop / "ids")
    assert_same_table(ids, SemanticIDs.read(shop / "all_ids.parquet"))
    assert ids.rank.max() > 5  # ranks go over all parts
    assert ids.manifest["catalogue"]["fingerprint"] == (
        CatalogueFile(shop / "catalogue").fingerprint()
    )
    assert (figures["items"], figures["added"], figures["parts"]) == (100, 100, 3)
    assert set(contents(shop / "ids")) == {*ENDS, NOTE}


def test_every_part_is_a_table_and_may_be_made_alone(shop):
    run(shop)
    whole = contents(shop / "ids")
    shutil.rmtree(shop / "ids")
    name = "b.parquet"
    encode(shop / "catalogue" / name, shop / "tokenizer", shop / "ids" / name)
    figures = run(shop)
    assert figures["items_per_second"] > 0
    assert contents(shop / "ids") == whole
    assert_same_table(SemanticIDs.read(shop / "ids"), SemanticIDs.read(shop / "all_ids.parquet"))


def test_text_ids_and_a_single_file(shop):
    shutil.rmtree(shop / "catalogue")
    write_parts(shop / "catalogue", text=True)
    run(shop)
    assert SemanticIDs.read(shop / "ids").find(["item 70"]).tolist() == [70]
    encode_parts(shop / "all.parquet", shop / "tokenizer", shop / "one")
    one, other = SemanticIDs.read(shop / "one"), SemanticIDs.read(shop / "all_ids.parquet")
    assert one.manifest == other.manifest
    assert one.fingerprint() == other.fingerprint()


def test_what_is_there_is_kept(shop):
    run(shop)
    before = {name: (shop / "ids" / name).stat().st_mtime_ns for name in ENDS}
    assert run(shop)["items_per_second"] == 0
    assert {name: (shop / "ids" / name).stat().st_mtime_ns for name in ENDS} == before


def _slowly(shop, out):
    from mmq.tokenizers import _encoding

    plain = _encoding._rows

    def slow(*arguments):
        time.sleep(0.2)
        return plain(*arguments)

    _encoding._rows = slow
    run(shop, out)
    return 0


@pytest.mark.parametrize("part", ["a.parquet", "b.parquet"])
def test_a_kill_costs_one_part(shop, part):
    run(shop, "whole")
    kill_when((shop / "ids" / part).exists, _slowly, shop, "ids")
    with pytest.raises(FormatError, match="no finished table"):
        SemanticIDs.read(shop / "ids")
    (shop / "ids" / ".b.parquet.77.tmp").write_bytes(b"PAR1")  # as a kill in a write leaves it
    run(shop)
    assert contents(shop / "ids") == contents(shop / "whole")


def test_ranks_that_were_half_written_are_written_anew(shop):
    run(shop)
    whole = contents(shop / "ids")
    part = shop / "ids" / "b.parquet"
    (shop / "ids" / NOTE).unlink()
    part.unlink()
    encode(shop / "catalogue" / "b.parquet", shop / "tokenizer", part)
    assert part.read_bytes() != whole["b.parquet"]
    run(shop)
    assert contents(shop / "ids") == whole


@pytest.mark.parametrize("old_is_folder", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_append_moves_no_old_row(shop, old_is_folder, in_place):
    old = shop / ("old" if old_is_folder else "old.parquet")
    if old_is_folder:
        shutil.copytree(shop / "catalogue", shop / "first")
        shutil.rmtree(shop / "first" / "c")
        encode_parts(shop / "first", shop / "tokenizer", old)
        before = {name: each for name, each in contents(old).items() if name != NOTE}
    else:
        write_catalogue(shop / "first.parquet", items_of(0, 65))
        encode(shop / "first.parquet", shop / "tokenizer", old)
        before = {old.name: old.read_bytes()}
    expected, _ = encode(shop / "all.parquet", shop / "tokenizer", shop / "n.parquet", append=old)
    out = old.name if in_place and old_is_folder else "new"
    figures = run(shop, out, append=old)
    assert (figures["added"], figures["kept"], figures["items"]) == (35, 65, 100)
    assert_same_table(SemanticIDs.read(shop / out), expected)
    found = contents(shop / out)
    assert {name: found[name] for name in before} == before
    assert not list(shop.glob(".*"))


def test_append_of_nothing_new(shop):
    run(shop)
    figures = run(shop, "again", append=shop / "ids")
    assert (figures["added"], figures["items"]) == (0, 100)
    assert_same_table(SemanticIDs.read(shop / "again"), SemanticIDs.read(shop / "ids"))


def test_a_file_may_be_appended_to_a_folder_and_names_stay_apart(shop):
    run(shop)
    more = shop / "more" / "a.parquet"
    write_catalogue(more, items_of(90, 130))
    encode_parts(more, shop / "tokenizer", shop / "new", append=shop / "ids")
    assert set(contents(shop / "new")) == {*ENDS, "a-2.parquet", NOTE}
    encode(more, shop / "tokenizer", shop / "new.parquet", append=shop / "all_ids.parquet")
    assert_same_table(SemanticIDs.read(shop / "new"), SemanticIDs.read(shop / "new.parquet"))


MISTAKES = {
    "doubled in the catalogue": (
        lambda shop: shutil.copy(shop / "catalogue/a.parquet", shop / "catalogue/d.parquet"),
        "item id 0 is in a.parquet and in d.parquet",
    ),
    "other columns": (
        lambda shop: write_catalogue(
            shop / "catalogue/d.parquet", Catalogue.build([200], {"text": np.ones((1, 6))})
        ),
        "d.parquet has no column 'image', which other parts have",
    ),
    "half of a part of the catalogue": (
        lambda shop: cut(shop / "catalogue/b.parquet"),
        "b.parquet is not a whole Parquet file",
    ),
    "half of a part of the table": (
        lambda shop: (run(shop), cut(shop / "ids/b.parquet")),
        "b.parquet holds a file that does not say what it was made from",
    ),
    "a part of another catalogue": (
        lambda shop: (
            run(shop),
            write_catalogue(shop / "catalogue/b.parquet", items_of(140, 165)),
        ),
        "b.parquet holds an ID table made from other inputs",
    ),
    "the tokenizer of another catalogue": (
        lambda shop: (
            run(shop),
            shutil.rmtree(shop / "tokenizer"),
            fit(
                shop / "catalogue/a.parquet",
                shop / "tokenizer",
                "rqkmeans",
                settings={"codebook_size": 4},
            ),
        ),
        "a.parquet holds an ID table made from other inputs",
    ),
    "a part too many": (
        lambda shop: (run(shop), (shop / "catalogue/b.parquet").unlink()),
        "b.parquet is none of the 2 parts of the catalogue",
    ),
    "other files": (
        lambda shop: (
            (shop / "ids").mkdir(),
            pq.write_table(pa.table({"x": [1]}), shop / "ids/a.parquet"),
        ),
        "a.parquet holds a file that does not say",
    ),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence(shop, mistake, capsys):
    spoil, sentence = MISTAKES[mistake]
    spoil(shop)
    arguments = ["encode", shop / "catalogue", "--tokenizer", shop / "tokenizer"]
    assert main([str(each) for each in (*arguments, "--out", shop / "ids")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_force_replaces_parts_of_other_inputs(shop):
    run(shop)
    write_catalogue(shop / "catalogue/b.parquet", items_of(140, 165))
    run(shop, run=Run(force=True))
    run(shop, "fresh")
    assert contents(shop / "ids") == contents(shop / "fresh")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda ids: (ids / "b.parquet").unlink(), "has no part b.parquet"),
        (lambda ids: shutil.copy(ids / "a.parquet", ids / "z.parquet"), "is no part of this table"),
        (lambda ids: shutil.copy(ids / "a.parquet", ids / "b.parquet"), "finished with 25"),
        (lambda ids: cut(ids / "b.parquet"), "not a whole Parquet file"),
        (lambda ids: (ids / NOTE).write_text('{"parts": 3}'), "is damaged"),
        (lambda ids: (ids / NOTE).unlink(), "no finished table"),
    ],
)
def test_a_spoilt_table_is_refused(shop, spoil, sentence):
    run(shop)
    spoil(shop / "ids")
    with pytest.raises((DataError, FormatError), match=sentence):
        SemanticIDs.read(shop / "ids")


def test_places_that_are_refused(shop, capsys):
    with pytest.raises(DataError, match="is where the catalogue lies"):
        run(shop, "catalogue/ids")
    arguments = ["encode", shop / "catalogue", "--tokenizer", shop / "tokenizer", "--out"]
    for more, sentence in (
        ([shop / "ids", "--collisions", "move"], "--collisions move needs all items at a time"),
        ([shop / "ids.parquet", "--engine", "ray"], "--engine ray encodes parts"),
    ):
        assert main([str(each) for each in (*arguments, *more)]) == 2
        assert sentence in capsys.readouterr().err


def test_verbs_take_a_folder(shop, capsys):
    run(shop)
    arguments = ["inspect", shop / "ids", "--catalogue", shop / "catalogue", "--json"]
    assert main([str(each) for each in arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["items"] == 100
    assert not found.get("warnings")
