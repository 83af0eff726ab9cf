"""Bad input to rankers: one sentence, exit 2, nothing written."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rank_shop import ROWS, SMALL, columns, table, train, write
from retrieval_shop import run

BAD = [
    (["--interactions", "label2.parquet"],
     "label2.parquet: row 7 has the label 2 (1 such rows); labels are 0 or 1"),
    (["--interactions", "unlabelled.parquet"],
     "neither labels nor ratings; ranking learns from what was shown and not taken as well"),
    (["--interactions", "unrated.parquet"], "row 9 has no rating (2 such rows); drop them"),
    (["--interactions", "all_liked.parquet"],
     "all 100 rows of the test part have the label 1, so there is nothing to tell apart"),
    (["--interactions", "none_liked.parquet"],
     "all 100 rows of the validation part have the label 0, so there is nothing to tell apart"),
    (["--interactions", "no_test.parquet"], "the test part of the log is empty (1,000 rows in"),
    (["--interactions", "timeless.parquet", "--split", "chronological"],
     "no row of the log has a timestamp"),
    (["--interactions", "half_timed.parquet"], "1 rows of the test part have no timestamp"),
    (["--interactions", "no_items.parquet"], "has no column 'item_id'; choose from: device"),
    (["--interactions", "nobody.parquet"], "row 5 has no user id"),
    (["--interactions", "empty.parquet"], "there are no interactions"),
    (["--interactions", "truncated.parquet"], "truncated.parquet is not a whole Parquet file"),
    (["--interactions", "none.parquet"], "there is no table at none.parquet; check the path"),
    (["--interactions", "none.csv"], "there is no table at none.csv; check the path"),
    (["--interactions", "."], "holds files of several formats"),
    (["--interactions", "log.xlsx"], "log.xlsx has a suffix that is not known"),
    (["--split", "stored"], "the interactions have no split column"),
    (["--split", "ordered"], "'ordered' is not one of 'chronological', 'stored', 'random'"),
    (["--ids", "few.parquet"],
     "10 of the 40 items of the log have no semantic ID, "),
    (["--ids", "none.parquet"], "there is no semantic ID table at none.parquet"),
    (["--ids", "log.parquet"], "no semantic ID table of mmq"),
    (["--set", "item_id=false"], "item_id=false leaves nothing that tells items apart"),
    (["--column", "devise"], "has no column 'devise'; did you mean 'device'?"),
    (["--column", "label"], "the column 'label' of log.parquet tells what was liked"),
    (["--label-column", "clicked"], "map it with --label-column NAME"),
    (["--user-column", "customer"], "map it with --user-column NAME"),
    (["--set", "hiden=[8]"], "unknown setting 'hiden'; did you mean 'hidden'?"),
    (["--set", "hidden=[]"], "setting 'hidden' = [] is not valid"),
    (["--set", "codes=add"], "setting 'codes' = 'add' is not valid"),
    (["--set", "learning_rate=1e30"], "the training diverged"),
    (["--set", "epochs"], "should read key=value"),
    (["--config", "no.toml"], "no settings file at no.toml"),
    (["--seed", 2**63], "setting 'seed'"),
    (["--positive-above", "nan"], "'positive_above' = nan is not valid"),
    (["--out", "log.parquet"], "is a file, not a folder"),
    (["--out", "."], "holds other files"),
    (["--out", "somebody"], "holds other files (no config.json among them)"),
    (["--out", "recommender"], "a config.json that mmq did not write there"),
    (["--out", "noted"], "holds other files (notes.txt among them)"),
]  # fmt: skip


def write_bad(folder):
    """Things that go wrong."""
    log, place = columns(), np.arange(ROWS)
    parts = np.select([place < 800, place < 900], ["train", "validation"], "test")
    labels, users, times = log["label"], log["user_id"], log["timestamp"]
    stars = np.where(np.isin(place, [9, 30]), np.nan, labels * 5.0)
    changes = {
        "label2": {"label": np.where(place == 7, 2, labels)},
        "unlabelled": {"label": None},
        "unrated": {"label": None, "rating": stars},
        "all_liked": {"label": np.where(place < 900, labels, 1)},
        "none_liked": {"label": np.where((place < 800) | (place >= 900), labels, 0)},
        "no_test": {"split": np.where(place < 800, "train", "validation")},
        "timeless": {"timestamp": None},
        "half_timed": {"timestamp": pa.array(times, mask=place == 950), "split": parts},
        "parted": {"split": parts},
        "strange": {"split": np.where(place < 800, "train", "dev")},
        "no_items": {"item_id": None},
        "nobody": {"user_id": pa.array(users, mask=place == 5)},
    }
    for name, change in changes.items():
        write(folder / f"{name}.parquet", **change)
    whole = pq.read_table(folder / "log.parquet")
    pq.write_table(whole.slice(0, 0), folder / "empty.parquet")
    (folder / "truncated.parquet").write_bytes((folder / "log.parquet").read_bytes()[:-200])
    (folder / "log.xlsx").write_text("a sheet")
    table(30).write(folder / "few.parquet")
    table(tokenizer="beef").write(folder / "foreign.parquet")
    table(changed=[3, 5]).write(folder / "moved.parquet")
    for name, config in (("recommender", '{"recommender": "sasrec", "mmq": "0.1.0"}'),
                         ("noted", '{"ranker": "ppnet", "mmq": "0.1.0"}')):  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(config)
    (folder / "noted" / "notes.txt").write_text("mine")
    (folder / "somebody").mkdir()
    (folder / "somebody" / "thesis.tex").write_text("work")


@pytest.fixture(scope="module")
def bad_shop(tmp_path_factory):
    """A shop with things that go wrong lying about; no test changes it."""
    folder = tmp_path_factory.mktemp("bad")
    write(folder / "log.parquet")
    table().write(folder / "ids.parquet")
    write_bad(folder)
    assert train(folder, "model", "--ids", folder / "ids.parquet") == 0
    assert train(folder, "plain") == 0
    assert train(folder, "parted", "--interactions", folder / "parted.parquet") == 0
    return folder


def refused(folder, capsys, *arguments):
    """The sentence with which a command ends that writes nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return err


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=lambda value: str(value)[:40])
def test_bad_training(arguments, expected, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    defaults = ["train", "ranking", "--interactions", "log.parquet", "--out", "new", *SMALL]
    assert expected in refused(bad_shop, capsys, *defaults, *arguments)


def test_a_split_column_of_another_meaning_is_left_alone(bad_shop, capsys, monkeypatch, tmp_path):
    """As by the reader of every log; the note says so."""
    monkeypatch.chdir(bad_shop)
    words = ["train", "ranking", "--interactions", "strange.parquet", "--out", tmp_path / "new"]
    code, _, err = run(capsys, *words, *SMALL)
    assert code == 0
    assert "note: the column split holds something else than parts and is left alone" in err
    code, _, err = run(capsys, *words, *SMALL, "--split", "stored", "--force")
    assert code == 2
    assert "the interactions have no split column" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none"], "check the path"),
        (["somebody"], "check the path"),
        (["noted"], "is not the config of an mmq ranker"),
        (["model", "--new-item-share", "1"], "--new-item-share is for recommenders; a ranker is"),
        (["model", "--new-since", "7"], "--new-since is for recommenders; a ranker is"),
        (["model", "--new-users"], "--new-users is for recommenders; a ranker is"),
        (["model", "--part", "train"], "--part"),
        (["model", "--ids", "foreign.parquet"], "come from tokenizer 'mmq' (5f0c), not 'mmq' (bee"),
        (["model", "--ids", "moved.parquet"],
         "2 of the 40 items that the model knows have another semantic ID in this table"),
        (["model", "--ids", "few.parquet"], "10 of the 40 items of the log have no semantic ID"),
        (["model", "--ids", "log.parquet"], "no semantic ID table of mmq"),
        (["plain", "--ids", "ids.parquet"], "the ranker was trained without semantic IDs"),
        (["model", "--interactions", "none.parquet"], "there is no table at none.parquet"),
        (["model", "--interactions", "truncated.parquet"], "not a whole Parquet file"),
        (["model", "--interactions", "unlabelled.parquet"], "neither labels nor ratings"),
        (["model", "--interactions", "all_liked.parquet"], "all 100 rows of the test part have"),
        (["model", "--interactions", "none_liked.parquet", "--part", "validation"],
         "all 100 rows of the validation part have the label 0"),
        (["parted", "--interactions", "no_test.parquet"], "the test part of the log is empty"),
        (["parted", "--interactions", "log.parquet"], "have no split column"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_bad_evaluation(arguments, expected, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    command = ["evaluate", arguments[0], "--interactions", "log.parquet", *arguments[1:]]
    assert expected in refused(bad_shop, capsys, *command)


def test_a_ranker_does_not_recommend(bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    err = refused(bad_shop, capsys, "recommend", "model", "--history", "1,2")
    assert "model holds a ranker, which judges items" in err
    assert "mmq train retrieval" in err
