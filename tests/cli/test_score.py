"""``mmq score``: rows in, the same rows with a probability out."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

import mmq
from cli.rank_shop import ITEMS, ROWS, columns, table, train, write
from cli.retrieval_shop import run
from mmq.data import _log as log_module
from mmq.data._log import LogReader
from mmq.ranking import RankingData
from mmq.workflows import ModelFolder, score

MODELS = {
    "model": ["--ids", "ids.parquet", "--column", "device", "--numeric-column", "weight"],
    "plain": ["--column", "device"],
    "means": ["--model", "means", "--column", "device"],
    "prefixes": ["--ids", "ids.parquet", "--set", "code_features=prefixes"],
}


def weights():
    return np.random.default_rng(5).integers(1, 50, ROWS)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    write(folder / "log.parquet", weight=weights())
    table().write(folder / "ids.parquet")
    for name, options in MODELS.items():
        own = [folder / each if each == "ids.parquet" else each for each in options]
        assert train_kind(folder, name, own) == 0
    held_out(folder)
    return folder


def train_kind(folder, name, options):
    if name != "means":
        return train(folder, name, *options)
    words = ["train", "ranking", "--interactions", folder / "log.parquet", "--out", folder / name]
    return mmq.cli.main([str(each) for each in (*words, *options)])


def held_out(folder):
    """The test part as rows to be scored, without its labels."""
    whole = pq.read_table(folder / "log.parquet")
    rows = whole.slice(ROWS - ROWS // 10).drop_columns(["label"])
    pq.write_table(rows, folder / "rows.parquet")
    return rows


def scored(shop, model="model", rows="rows.parquet", **options):
    out = shop / "scored.parquet"
    out.unlink(missing_ok=True)
    figures = score(shop / model, shop / rows, shop / "log.parquet", out, **options)
    return figures, pq.read_table(out)


@pytest.mark.parametrize("model", MODELS)
def test_scores_are_those_that_evaluating_the_test_part_gives(shop, model):
    ranker = mmq.load(shop / model)
    further, numeric = ranker.further_columns()
    reader = LogReader.open(shop / "log.parquet", None, further).with_numeric(numeric, True)
    data = RankingData.of(reader, ranker.split)
    figures, table = scored(shop, model)
    expected = ranker.predict(data.test, data)
    np.testing.assert_allclose(table["probability"], expected, rtol=1e-5)
    assert len(set(expected.tolist())) > ROWS // 20
    assert (figures["rows"], figures["model"]) == (ROWS // 10, ranker.kind)


def test_scores_are_those_of_rows_one_by_one(shop):
    ranker, log = mmq.load(shop / "model"), pq.read_table(shop / "log.parquet").to_pylist()
    _, table = scored(shop)
    for row in table.to_pylist()[::7]:
        history = [
            each["item_id"] for each in log
            if each["user_id"] == row["user_id"] and each["label"]
            and each["timestamp"] < row["timestamp"]
        ]  # fmt: skip
        further = {name: row[name] for name in ("device", "weight")}
        (alone,) = ranker.score(row["user_id"], history, [row["item_id"]], further)
        assert row["probability"] == pytest.approx(alone, rel=1e-5)


def test_columns_are_kept_and_one_is_added(shop):
    rows = pq.read_table(shop / "rows.parquet")
    more = {"label": pa.array(["what", "ever"] * 50), "tags": pa.array([["a"], []] * 50)}
    for name, values in more.items():
        rows = rows.append_column(name, values)
    pq.write_table(rows, shop / "wide.parquet")
    _, table = scored(shop, rows="wide.parquet")
    assert table.drop_columns(["probability"]).equals(rows)
    assert table.schema.field("probability").type == pa.float32()
    assert table["probability"].equals(scored(shop)[1]["probability"])


@pytest.mark.parametrize("form", ["csv", "jsonl", "folder"])
def test_every_format_is_read(shop, form):
    rows = pq.read_table(shop / "rows.parquet")
    path = shop / f"rows.{form}"
    if form == "csv":
        pcsv.write_csv(rows, path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    else:
        path.mkdir()
        for number in (0, 1):
            pq.write_table(rows.slice(number * 50, 50), path / f"{number}.parquet")
    _, table = scored(shop, rows=path.name)
    assert table.column_names == [*rows.column_names, "probability"]
    np.testing.assert_allclose(table["probability"], scored(shop)[1]["probability"], rtol=1e-5)


def test_pieces_change_nothing(shop, monkeypatch):
    expected = scored(shop)[1]
    monkeypatch.setattr(log_module, "PIECE", 7)
    figures, table = scored(shop)
    np.testing.assert_allclose(table["probability"], expected["probability"], rtol=1e-5)
    assert table.drop_columns(["probability"]).equals(expected.drop_columns(["probability"]))
    assert figures["rows"] == ROWS // 10


def test_what_is_not_known_is_scored_counted_and_said(shop):
    rows = pa.table({
        "user_id": [100, 999, 998, 101], "item_id": [3, 3, ITEMS + 5, 2],
        "timestamp": pa.array([1_800_000_000, 1_800_000_000, 1_800_000_000, None]),
        "device": ["phone", "desk", "watch", None],
    })  # fmt: skip
    pq.write_table(rows, shop / "strange.parquet")
    figures, table = scored(shop, "plain", "strange.parquet")
    ranker, log = mmq.load(shop / "plain"), pq.read_table(shop / "log.parquet").to_pylist()

    def liked(user):
        return [row["item_id"] for row in log if row["user_id"] == user and row["label"]]

    for row in table.to_pylist():
        (alone,) = ranker.score(
            row["user_id"], liked(row["user_id"]), [row["item_id"]], {"device": row["device"]}
        )
        assert row["probability"] == pytest.approx(alone, rel=1e-5)
    names = ("without_history", "without_time", "unknown_users", "unknown_items")
    assert [figures[name] for name in names] == [2, 1, 2, 1]
    assert figures["unseen_values"] == {"device": 1}
    assert figures["warnings"] == [
        "2 of 4 rows have a user without positives before them in the log, and are scored without "
        "a history",
        "1 of 4 rows have no time, so their history is all that the log holds of their user",
        "2 of 4 rows have a user that training did not see",
        "1 of 4 rows have an item that training did not see",
    ]


def test_rows_without_any_history_are_asked_about(shop):
    rows = pq.read_table(shop / "rows.parquet")
    other = pa.array([f"u{each}" for each in rows["user_id"].to_pylist()])
    pq.write_table(rows.set_column(0, "user_id", other), shop / "others.parquet")
    figures, _ = scored(shop, rows="others.parquet")
    assert figures["without_history"] == figures["unknown_users"] == ROWS // 10
    assert any("are ids written alike" in each and " u1" in each for each in figures["warnings"])


def test_new_items_need_a_newer_table_or_are_left_out(shop, capsys):
    rows = pq.read_table(shop / "rows.parquet").slice(0, 4)
    rows = rows.set_column(1, "item_id", pa.array([0, 1, 41, 42]))
    pq.write_table(rows, shop / "new.parquet")
    figures, some = scored(shop, rows="new.parquet", drop_unknown=True)
    assert (figures["rows"], figures["left_out"]) == (2, 2)
    assert some["item_id"].to_pylist() == [0, 1]
    table(60).write(shop / "next.parquet")
    out = shop / "scored.parquet"
    folder = ModelFolder(shop / "model", shop / "next.parquet")
    figures = score(folder, shop / "new.parquet", shop / "log.parquet", out)
    assert (figures["rows"], figures["unknown_items"]) == (4, 2)
    np.testing.assert_allclose(pq.read_table(out)["probability"][:2], some["probability"], 1e-5)


def test_names_of_columns_are_those_of_the_training(tmp_path, capsys):
    write(tmp_path / "log.parquet")
    names = {"user_id": "who", "item_id": "what", "timestamp": "when", "label": "clicked"}
    log = pq.read_table(tmp_path / "log.parquet")
    log = log.rename_columns([names.get(each, each) for each in log.column_names])
    pq.write_table(log, tmp_path / "log.parquet")
    pq.write_table(log.drop_columns(["clicked"]).slice(900), tmp_path / "rows.parquet")
    usual = pq.read_table(tmp_path / "rows.parquet").rename_columns([*[*columns()][:3], "device"])
    pq.write_table(usual, tmp_path / "usual.parquet")
    words = ["--user-column", "who", "--item-column", "what", "--timestamp-column", "when",
             "--label-column", "clicked"]  # fmt: skip
    assert train(tmp_path, "model", *words) == 0
    tables = []
    for rows in ("rows", "usual"):
        arguments = ["score", tmp_path / "model", "--rows", tmp_path / f"{rows}.parquet",
                     "--interactions", tmp_path / "log.parquet"]  # fmt: skip
        code, out, err = run(capsys, *arguments, "--out", tmp_path / "out.parquet")
        assert (code, err) == (0, "")
        assert out.startswith("ppnet scores 100 rows in ")
        assert out.endswith(f"written to {tmp_path / 'out.parquet'}\n")
        tables.append(pq.read_table(tmp_path / "out.parquet"))
    assert tables[0]["probability"].equals(tables[1]["probability"])
    assert tables[0].column_names[:3] == ["who", "what", "when"]


def write_bad(folder):
    rows = pq.read_table(folder / "rows.parquet")
    pq.write_table(rows.append_column("probability", rows["weight"]), folder / "twice.parquet")
    pq.write_table(rows.drop_columns(["device"]), folder / "short.parquet")
    pq.write_table(rows.drop_columns(["user_id"]), folder / "nobody.parquet")
    pq.write_table(rows.slice(0, 0), folder / "empty.parquet")
    heavy = pa.array(["heavy"] * len(rows))
    pq.write_table(rows.set_column(4, "weight", heavy), folder / "heavy.parquet")
    pq.write_table(
        rows.set_column(1, "item_id", pa.array(range(len(rows)))), folder / "new.parquet"
    )
    lists = pa.array([[each, 0] for each in rows["item_id"].to_pylist()])
    pq.write_table(rows.set_column(1, "item_id", lists), folder / "lists.parquet")
    missing = pa.array([None, *rows["user_id"].to_pylist()[1:]])
    pq.write_table(rows.set_column(0, "user_id", missing), folder / "missing.parquet")
    (folder / "cut.parquet").write_bytes((folder / "rows.parquet").read_bytes()[:-30])
    pq.write_table(rows, folder / "somebodys.parquet")
    (folder / "parts").mkdir()
    pq.write_table(rows, folder / "parts" / "0.parquet")
    (folder / "mixed").mkdir()
    pq.write_table(rows.append_column("note", pa.array([1] * 100)), folder / "mixed/0.parquet")
    pq.write_table(rows.append_column("note", pa.array(["x"] * 100)), folder / "mixed/1.parquet")
    recommender = ["train", "retrieval", "--interactions", folder / "log.parquet", "--model",
                   "popularity", "--out", folder / "popularity"]  # fmt: skip
    assert mmq.cli.main([str(each) for each in recommender]) == 0


BAD = [
    (["--rows", "twice.parquet"], "has a column 'probability' already"),
    (["--rows", "short.parquet"], "has no column 'device', which the ranker reads; "),
    (["--rows", "nobody.parquet"], "map it with --user-column NAME"),
    (["--rows", "empty.parquet"], "empty.parquet has no rows; give at least one"),
    (["--rows", "heavy.parquet"], "'weight' (string) cannot be read as numbers"),
    (["--rows", "new.parquet"], "have no semantic ID"),
    (["--rows", "lists.parquet"], "holds several items a row"),
    (["--rows", "missing.parquet"], "row 0 has no user id"),
    (["--rows", "cut.parquet"], "is truncated or damaged"),
    (["--rows", "absent.parquet"], "there is no table at absent.parquet"),
    (["--rows", "mixed"], "the files of mixed do not go together"),
    (["--rows", "rows.docx"], "there is no table at rows.docx"),
    (["--interactions", "absent.parquet"], "there is no table at absent.parquet"),
    (["--interactions", "log.parquet", "--label-column", "liked"], "no column 'liked'"),
    (["--out", "somebodys.parquet"], "holds no scores, so it is not replaced"),
    (["--out", "rows.parquet"], "is what is read here and would be lost"),
    (["--out", "out.csv"], "is written as Parquet; give it a name that says so, such as out.parq"),
    (["--rows", "parts", "--out", "parts/1.parquet"], "lies in parts, which is read here"),
    (["--out", "parts"], "parts is a folder; give the file to write"),
    (["--ids", "absent.parquet"], "there is no"),
]


@pytest.fixture(scope="module")
def bad_shop(shop):
    write_bad(shop)
    return shop


def refused(folder, capsys, *arguments):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("mmq: ")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return err


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=lambda value: str(value)[:40])
def test_wrong_inputs_write_nothing(arguments, expected, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    defaults = ["--rows", "rows.parquet", "--interactions", "log.parquet", "--out", "new.out"]
    assert expected in refused(bad_shop, capsys, "score", "model", *defaults, *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["popularity"], "popularity holds a recommender, which finds items and gives no prob"),
        (["absent"], "there is no ranker"),
        (["plain", "--drop-unknown"], "--drop-unknown is not for this ppnet, which reads no seman"),
        (["means", "--ids", "ids.parquet"], "reads no semantic IDs; leave --ids out"),
    ],
)
def test_wrong_models_write_nothing(arguments, expected, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    model, *options = arguments
    words = ["score", model, "--rows", "rows.parquet", "--interactions", "log.parquet"]
    assert expected in refused(bad_shop, capsys, *words, "--out", "new.out", *options)
