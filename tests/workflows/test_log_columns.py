"""The names of a log's columns: a model keeps those of its training, and verbs read by them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

import mmq
from cli.rank_shop import SMALL as FEW
from cli.rank_shop import table
from cli.rank_shop import write as write_shown
from cli.retrieval_shop import SMALL, run, train, write_shop
from mmq.errors import DataError
from mmq.recommenders import Popularity
from mmq.workflows import LogFile, compare, evaluate, recommend, recommend_users
from tests.rewritten import change_json

NAMES = {"user_id": "who", "item_id": "what", "timestamp": "when", "rating": "stars"}
MAPPED = ["--user-column", "who", "--item-column", "what", "--timestamp-column", "when",
          "--rating-column", "stars"]  # fmt: skip


def renamed(path, names):
    log = pq.read_table(path)
    return log.rename_columns([names.get(name, name) for name in log.column_names])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    write_shop(folder)
    (folder / "log.parquet").rename(folder / "usual.parquet")
    pq.write_table(renamed(folder / "usual.parquet", NAMES), folder / "log.parquet")
    small = [*SMALL, "--ids", folder / "ids.parquet", *MAPPED]
    assert train(folder, "popularity", "--model", "popularity", *MAPPED) == 0
    assert train(folder, "heterrec", "--model", "heterrec", *small) == 0
    return folder


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    write_shown(folder / "usual.parquet")
    names = {"user_id": "who", "item_id": "what", "label": "clicked"}
    pq.write_table(renamed(folder / "usual.parquet", names), folder / "log.parquet")
    table().write(folder / "ids.parquet")
    mapped = ["--user-column", "who", "--item-column", "what", "--label-column", "clicked"]
    code = mmq.cli.main(
        [*map(str, ["train", "ranking", "--interactions", folder / "log.parquet", "--out",
                    folder / "ranker", "--column", "device", "--ids", folder / "ids.parquet",
                    *mapped, *FEW])]
    )  # fmt: skip
    assert code == 0
    return folder


def test_a_folder_says_what_the_columns_were(shop, shown):
    config = json.loads((shop / "heterrec" / "config.json").read_text())
    assert config["log_columns"] == NAMES
    assert mmq.load(shop / "heterrec").log_columns == NAMES
    again = json.loads((shown / "ranker" / "config.json").read_text())
    assert again["log_columns"] == {"user_id": "who", "item_id": "what", "label": "clicked"}


def test_every_verb_of_a_recommender_reads_by_them(shop):
    log, usual = shop / "log.parquet", shop / "usual.parquet"
    found = evaluate(shop / "heterrec", log)
    assert not found["warnings"]
    assert found == evaluate(shop / "heterrec", LogFile(log, NAMES))
    assert found == evaluate(shop / "heterrec", usual)
    several = [shop / "heterrec", shop / "popularity"]
    assert compare(several, log) == compare(several, LogFile(log, NAMES))
    one = recommend(shop / "heterrec", user="105", log=log)
    assert one == recommend(shop / "heterrec", user="105", log=usual)
    tables = {}
    for name in ("log", "usual"):
        source = shop / f"{name}.parquet"
        recommend_users(shop / "heterrec", "all", shop / "recs.parquet", 5, log=source)
        tables[name] = pq.read_table(shop / "recs.parquet")
    assert tables["log"].equals(tables["usual"])


@pytest.mark.parametrize("file", ["users.parquet", "users.csv", "users.txt", "plain.parquet"])
def test_files_of_users_are_read_by_them(shop, file):
    users = pa.array([103, 101])
    if file == "users.txt":
        (shop / file).write_text("103\n101\n")
    else:
        frame = pa.table({"user_id" if file == "plain.parquet" else "who": users})
        write = pcsv.write_csv if file.endswith("csv") else pq.write_table
        write(frame, shop / file)
    out = shop / "recs.parquet"
    recommend_users(shop / "popularity", shop / file, out, 2, log=shop / "log.parquet")
    assert pq.read_table(out)["user_id"].to_pylist() == [103, 103, 101, 101]


def test_evaluating_a_ranker_reads_by_them(shown):
    expected = evaluate(shown / "ranker", shown / "usual.parquet")
    assert evaluate(shown / "ranker", shown / "log.parquet") == expected


def test_what_is_given_wins(shop):
    log = pq.read_table(shop / "log.parquet")
    both = log.append_column("customer", pa.array(np.zeros(len(log), np.int64)))
    pq.write_table(both, shop / "both.parquet")
    names = LogFile(shop / "both.parquet", {"user_id": "customer"})
    resolved = names.for_model(mmq.load(shop / "popularity"))
    assert resolved.columns == {**NAMES, "user_id": "customer"}
    found = evaluate(shop / "popularity", LogFile(names.path, {"rating": "none"}))
    (warning,) = (each for each in found["warnings"] if "learned from" in each)
    assert warning.endswith(
        "it is another log, or was read by other columns, which options such as --label-column name"
    )


def test_the_usual_names_are_taken_where_the_log_has_them_alone(shop):
    model = mmq.load(shop / "popularity")
    assert LogFile(shop / "usual.parquet").for_model(model).columns == {}
    mixed = renamed(shop / "usual.parquet", {"user_id": "who"})
    pq.write_table(mixed, shop / "mixed.parquet")
    assert LogFile(shop / "mixed.parquet").for_model(model).columns == {"user_id": "who"}


def test_a_name_that_is_neither_there_nor_usual_is_asked_for(shop, capsys):
    pq.write_table(renamed(shop / "usual.parquet", {"user_id": "person"}), shop / "other.parquet")
    code, _, err = run(capsys, "evaluate", shop / "heterrec", "--interactions",
                       shop / "other.parquet")  # fmt: skip
    assert code == 2
    assert "has no column 'who'" in err
    assert "(map it with --user-column NAME)" in err


@pytest.mark.parametrize(
    ("remembered", "given", "known", "expected"),
    [
        ({"rating": "none"}, {}, ["rating"], {"rating": "none"}),
        ({"timestamp_format": "%d"}, {}, ["timestamp"], {"timestamp_format": "%d"}),
        ({"timestamp_format": "%d"}, {"timestamp": "at"}, ["at"], {"timestamp": "at"}),
        ({"timestamp": "at", "timestamp_format": "%d"}, {}, ["timestamp"], {}),
        ({"timestamp": "at", "timestamp_format": "%d"}, {"timestamp_format": "%m"}, ["at"],
         {"timestamp": "at", "timestamp_format": "%m"}),
    ],
)  # fmt: skip
def test_columns_left_alone_and_forms_of_times(tmp_path, remembered, given, known, expected):
    model = Popularity()
    model.log_columns = remembered
    pq.write_table(pa.table({name: [1] for name in known}), tmp_path / "log.parquet")
    assert LogFile(tmp_path / "log.parquet", given).for_model(model).columns == expected


def test_folders_made_before_load_and_know_no_names(shop, tmp_path):
    old = tmp_path / "old"
    model = mmq.load(shop / "popularity")
    model.save(old)
    change_json(old / "config.json", lambda config: config.pop("log_columns"))
    assert mmq.load(old).log_columns is None
    with pytest.raises(DataError, match=r"no column 'user_id'.*--user-column"):
        evaluate(old, shop / "log.parquet")
    found = evaluate(old, LogFile(shop / "usual.parquet", {"rating": "none"}))
    (warning,) = (each for each in found["warnings"] if "learned from" in each)
    assert "its folder does not say by which columns: give them (such as --label-col" in warning


def test_another_log_is_told_from_the_same_one(shop, tmp_path):
    usual = pq.read_table(shop / "log.parquet")
    pq.write_table(usual.slice(90), tmp_path / "log.parquet")
    found = evaluate(shop / "popularity", tmp_path / "log.parquet")
    (warning,) = (each for each in found["warnings"] if "learned from" in each)
    assert warning.endswith("it is another log, or has changed since")
