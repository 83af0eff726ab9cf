"""The verbs on logs as people have them: what is read, what is said, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rank_shop

from mmq import Catalogue, SemanticIDs, write_catalogue
from mmq.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def result(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out), err


def log(**changes):
    rng = np.random.default_rng(0)
    columns = {
        "user_id": np.arange(600) % 30,
        "item_id": rng.integers(0, 40, 600),
        "timestamp": 1_600_000_000 + np.arange(600),
    }
    return {name: each for name, each in {**columns, **changes}.items() if each is not None}


def write(name, **changes):
    pq.write_table(pa.table(log(**changes)), name)


POPULAR = ("--model", "popularity", "--out", "m", "--force")


def test_ties_are_counted_warned_of_and_shuffled_alike(place, capsys):
    sitting = log(timestamp=1_600_000_000 + np.arange(600) % 30)
    order = np.random.default_rng(1).permutation(600)
    pq.write_table(pa.table(sitting), "a.parquet")
    pq.write_table(pa.table({name: each[order] for name, each in sitting.items()}), "b.parquet")
    found, _ = result(capsys, "train", "retrieval", "--interactions", "a.parquet", *POPULAR)
    ties = found["log"]["ties"]
    assert ties["order"] == "file"
    assert ties["users"] == ties["of"] > 25
    assert any("same time as the item before it" in each for each in found["warnings"])
    figures = []
    for name in ("a.parquet", "b.parquet"):
        shuffled, _ = result(
            capsys, "train", "retrieval", "--interactions", name, *POPULAR, "--ties", "shuffled"
        )
        assert not any("same time" in each for each in shuffled["warnings"])
        again, _ = result(capsys, "evaluate", "m", "--interactions", name)
        assert again["item_level"] == shuffled["test"]["item_level"]
        assert again["log"]["ties"]["order"] == "shuffled"
        figures.append((shuffled["validation"], shuffled["test"]))
    assert figures[0] == figures[1]
    code, out, _ = run(capsys, "train", "retrieval", "--interactions", "a.parquet", *POPULAR)
    assert code == 0
    assert "warning: 30 of 30 users (100%) have a held-out item" in " ".join(out.split())


def test_rows_that_come_twice_are_counted_or_left_out(place, capsys):
    once = pa.table(log())
    pq.write_table(once, "once.parquet")
    pq.write_table(pa.concat_tables([once, once]), "twice.parquet")
    command = ("train", "retrieval", *POPULAR, "--interactions")
    one, _ = result(capsys, *command, "once.parquet")
    two, _ = result(capsys, *command, "twice.parquet")
    assert two["log"]["repeated_rows"] == 600
    assert "600 of 1,200 rows equal an earlier one" in " ".join(two["warnings"])
    left, _ = result(capsys, *command, "twice.parquet", "--dedupe")
    assert (left["test"], left["validation"]) == (one["test"], one["validation"])


def test_unknown_items_are_refused_or_left_out(place, capsys):
    write("log.parquet")
    ids = SemanticIDs.build(range(35), np.arange(70).reshape(35, 2) % 9, [9, 9])
    ids.write("ids.parquet")
    small = ("--set", "hidden_dim=8", "--set", "heads=2", "--set", "epochs=1", "--out", "m")
    command = ("train", "retrieval", "--interactions", "log.parquet", "--ids", "ids.parquet")
    code, _, err = run(capsys, *command, *small)
    assert code == 2
    assert "of the interactions have no semantic ID" in err
    assert "--drop-unknown" in err
    found, _ = result(capsys, *command, *small, "--drop-unknown")
    unknown = int((log()["item_id"] >= 35).sum())
    assert found["log"]["unknown_rows"] == unknown
    assert f"{unknown} of 600 rows have an item without a semantic ID" in str(found["warnings"])
    again, _ = result(capsys, "evaluate", "m", "--interactions", "log.parquet")
    assert again["item_level"] == found["test"]["item_level"]


def test_logs_without_times(place, capsys):
    write("log.parquet", timestamp=None)
    command = ("train", "retrieval", "--interactions", "log.parquet")
    found, err = result(capsys, *command, *POPULAR)
    assert "note: the log has no timestamps, so the order of its rows decides" in err
    assert "no timestamps" in found["warnings"][0]
    small = ("--model", "sasrec", "--out", "s", "--set", "hidden_dim=8", "--set", "epochs=1")
    code, _, err = run(capsys, *command, *small)
    assert (code, err.count("\n")) == (2, 1)
    assert "this model learns from the order of events" in err
    assert run(capsys, *command, *small, "--ties", "file")[0] == 0
    rank_shop.write("shown.parquet", timestamp=None)
    ranking = ("train", "ranking", "--interactions", "shown.parquet", "--out", "r")
    found, err = result(capsys, *ranking, *rank_shop.SMALL)
    assert "a hash of user and item divides its rows at random" in err
    again, _ = result(capsys, "evaluate", "r", "--interactions", "shown.parquet")
    assert again["auc"] == found["test"]["auc"]


def test_times_in_a_form_of_their_own(place, capsys):
    moments = (1_600_000_000 + np.arange(600)).astype("M8[s]").tolist()
    written = [f"{each:%d.%m.%Y %H:%M:%S}" for each in moments]
    write("log.parquet")
    write("german.parquet", timestamp=written)
    command = ("train", "retrieval", *POPULAR, "--interactions")
    code, _, err = run(capsys, *command, "german.parquet")
    assert code == 2
    assert "--timestamp-format" in err
    plain, _ = result(capsys, *command, "log.parquet")
    form = ("--timestamp-format", "%d.%m.%Y %H:%M:%S")
    german, _ = result(capsys, *command, "german.parquet", *form)
    assert german["test"] == plain["test"]


@pytest.mark.parametrize("name", ["split", "rating", "label"])
def test_columns_of_another_meaning_stop_nothing(name, place, capsys):
    values = {"split": list("AB") * 300, "rating": ["PG-13"] * 600, "label": [0, 1, 2, 3] * 150}
    write("log.parquet", **{name: values[name]})
    write("plain.parquet")
    command = ("train", "retrieval", *POPULAR, "--interactions")
    found, err = result(capsys, *command, "log.parquet")
    assert f"the column {name} holds something else than" in err
    plain, _ = result(capsys, *command, "plain.parquet")
    assert found["test"] == plain["test"]
    if name != "split":
        quiet, err = result(capsys, *command, "log.parquet", f"--{name}-column", "none")
        assert (err, quiet["test"]) == ("", plain["test"])


def as_csv(parquet, path):
    table = pq.read_table(parquet)
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.column_names)
        writer.writerows(zip(*table.to_pydict().values(), strict=True))


def test_codes_and_truth_values_are_the_same_categories_in_csv(place, capsys):
    rng = np.random.default_rng(0)
    further = {
        "store": [f"{each:03d}" for each in rng.integers(0, 9, rank_shop.ROWS)],
        "version": np.where(rank_shop.columns()["label"] == 1, "1.1", "1.10"),
        "bought": rng.random(rank_shop.ROWS) < 0.5,
    }
    rank_shop.write("log.parquet", **further)
    as_csv("log.parquet", "log.csv")
    columns = [part for name in further for part in ("--column", name)]
    train = ("train", "ranking", *rank_shop.SMALL, *columns, "--interactions")
    typed, _ = result(capsys, *train, "log.parquet", "--out", "a")
    text, _ = result(capsys, *train, "log.csv", "--out", "b")
    assert (text["test"], text["validation"]) == (typed["test"], typed["validation"])
    across, _ = result(capsys, "evaluate", "a", "--interactions", "log.csv")
    assert across["auc"] == typed["test"]["auc"]
    assert across["warnings"] == []
    rank_shop.write("other.parquet", **{**further, "store": [f"s{k % 9}" for k in range(1000)]})
    warned, _ = result(capsys, "evaluate", "a", "--interactions", "other.parquet")
    assert "column store that training did not see" in warned["warnings"][0]


def test_measurements_are_no_categories(place, capsys):
    """Numbers with fractions are features by their size, in text as well."""
    rng = np.random.default_rng(0)
    further = {"weight": rng.random(rank_shop.ROWS), "size": rng.integers(0, 3, rank_shop.ROWS) / 2}
    rank_shop.write("log.parquet", **further)
    as_csv("log.parquet", "log.csv")
    columns = [part for name in further for part in ("--column", name)]
    train = ("train", "ranking", *rank_shop.SMALL, *columns, "--interactions")
    typed, _ = result(capsys, *train, "log.parquet", "--out", "a")
    text, _ = result(capsys, *train, "log.csv", "--out", "b")
    assert (text["test"], text["validation"]) == (typed["test"], typed["validation"])
    across, _ = result(capsys, "evaluate", "a", "--interactions", "log.csv")
    assert (across["auc"], across["warnings"]) == (typed["test"]["auc"], [])
    versions = [f"{k // 100}.{k % 100:0{1 + k % 3}d}" for k in range(1, rank_shop.ROWS + 1)]
    rank_shop.write("versions.parquet", version=versions)
    train = ("train", "ranking", *rank_shop.SMALL, "--column", "version", "--interactions")
    code, _, err = run(capsys, *train, "versions.parquet", "--out", "r")
    assert (code, err.count("\n")) == (2, 1)
    assert "different numbers" in err
    assert "--numeric-column version" in err


def test_ranking_counts_what_comes_twice_and_takes_ties_in_any_order(place, capsys):
    rows = np.arange(rank_shop.ROWS)
    rank_shop.write("log.parquet", item_id=rows % 40, timestamp=1_700_000_000 + rows // 4)
    once = pq.read_table("log.parquet")
    order = np.random.default_rng(1).permutation(rank_shop.ROWS)
    pq.write_table(once.take(order), "other.parquet")
    pq.write_table(pa.concat_tables([once, once.slice(500, 400)]), "twice.parquet")
    train = ("train", "ranking", *rank_shop.SMALL, "--force", "--out", "m", "--interactions")
    one, _ = result(capsys, *train, "log.parquet")
    assert (one["log"]["repeated_rows"], one["warnings"]) == (0, [])
    two, _ = result(capsys, *train, "twice.parquet")
    assert two["log"]["repeated_rows"] == 400
    assert "400 of 1,400 rows equal an earlier one in all columns" in two["warnings"][0]
    code, out, _ = run(capsys, *train, "twice.parquet")
    assert code == 0
    assert "warning: 400 of 1,400 rows equal an earlier one" in " ".join(out.split())
    left, _ = result(capsys, *train, "twice.parquet", "--dedupe")
    assert (left["log"]["repeated_rows"], left["warnings"]) == (400, [])
    assert left["test"] == one["test"]
    again, _ = result(capsys, "evaluate", "m", "--interactions", "twice.parquet")
    assert (again["auc"], again["warnings"]) == (one["test"]["auc"], [])
    shuffled = [
        result(capsys, *train, name, "--ties", "shuffled")[0]
        for name in ("log.parquet", "other.parquet")
    ]
    assert shuffled[0]["log"]["ties"] == {"order": "shuffled"}
    for part in ("validation", "test", "means"):
        assert shuffled[0][part] == shuffled[1][part]


def test_a_category_may_hold_anything(place, capsys):
    kinds = ["Clothing, Shoes & Jewelry", "a|b", 'say "hi"', "plain"]
    lists = [[kinds[item % 4], "all"] for item in range(40)]
    rows = [{"item_id": item, "title": f"t{item}", "kind": lists[item]} for item in range(40)]
    (place / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    np.save("text.npy", np.random.default_rng(0).normal(size=(40, 4)))
    write("log.parquet")
    command = ("import", "npy", "--items", "items.jsonl", "--modality", "text=text.npy")
    assert run(capsys, *command, "--attribute", "kind", "--out", "c.parquet")[0] == 0
    train = ("train", "retrieval", "--interactions", "log.parquet", "--min-interactions", "0")
    assert run(capsys, *train, *POPULAR)[0] == 0
    ask = ("recommend", "m", "--history", "1", "--catalogue", "c.parquet", "--category")
    for kind in kinds:
        known = set(log()["item_id"].tolist())
        expected = sum(kind in lists[item] for item in known)
        assert result(capsys, *ask, f"kind={kind}")[0]["candidates"] == expected
    assert result(capsys, *ask, "kind=all")[0]["candidates"] == len(known)
    for part in ("Clothing", "a", "Shoes & Jewelry"):
        code, _, err = run(capsys, *ask, f"kind={part}")
        assert code == 2
        assert f"has '{part}' in its column 'kind'" in err


def test_recbole_columns_are_mapped(place, capsys):
    lines = ["user_id:token\tproduct_id:token\ttimestamp:float"]
    lines += [f"{user}\t{item}\t{item}.5" for user in range(3) for item in range(10, 14)]
    (place / "s.inter").write_text("\n".join(lines) + "\n")
    code, _, err = run(capsys, "import", "recbole", "s.inter", "--out", "o")
    assert code == 2
    assert "--item-column" in err
    command = ("import", "recbole", "s.inter", "--out", "o", "--item-column", "product_id")
    found, _ = result(capsys, *command)
    assert (found["interactions"], found["items"]) == (12, 4)


def test_names_in_an_error_are_few(place, capsys):
    (place / "one.json").write_text(json.dumps({str(key): {"title": "t"} for key in range(9000)}))
    command = ("embed", "one.json", "--text-columns", "title", "--text-encoder", "light")
    code, _, err = run(capsys, *command, "--out", "c.parquet")
    assert code == 2
    assert len(err) < 300
    assert "and 8,995 more" in err


def test_a_catalogue_of_lists_of_floats_is_fitted(place, capsys):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(60, 6)).astype(np.float32)
    write_catalogue("a.parquet", Catalogue.build([f"i{k}" for k in range(60)], {"text": matrix}))
    ids = pa.array([f"i{k}" for k in range(60)]).dictionary_encode()
    lists = pa.array(matrix.tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"item_id": ids, "text": lists}), "b.parquet")
    small = ("--tokenizer", "rqkmeans", "--set", "codebook_size=4", "--set", "length=2")
    for name in "ab":
        assert run(capsys, "fit", f"{name}.parquet", "--out", f"t{name}", *small)[0] == 0
        command = ("encode", f"{name}.parquet", "--tokenizer", f"t{name}", "--out")
        assert run(capsys, *command, f"ids_{name}.parquet")[0] == 0
    one, two = (SemanticIDs.read(f"ids_{name}.parquet") for name in "ab")
    assert one.fingerprint() == two.fingerprint()
