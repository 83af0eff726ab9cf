import json
import re

import numpy as np
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from rank_shop import ITEMS, ROWS, SMALL, USERS, columns, table, train, write
from retrieval_shop import run
from safetensors.numpy import load_file

from children import kill_at, printed_by_two
from mmq.ranking import Ranker


@pytest.fixture
def shop(tmp_path):
    write(tmp_path / "log.parquet")
    table().write(tmp_path / "ids.parquet")
    return tmp_path


def trained(capsys, shop, *more):
    code, out, err = run(
        capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--out",
        shop / "model", *SMALL, "--force", "--json", *more,
    )  # fmt: skip
    assert (code, err) == (0, "")
    return json.loads(out)


def evaluated(capsys, shop, *more):
    code, out, err = run(
        capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet", "--json", *more
    )
    assert (code, err) == (0, "")
    return json.loads(out)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- what they print ---


@pytest.mark.parametrize("ids", [True, False])
def test_train_and_evaluate_print_the_same(ids, shop, capsys):
    result = trained(capsys, shop, *(["--ids", shop / "ids.parquet"] if ids else []))
    assert (result["model"], result["out"]) == ("ppnet", str(shop / "model"))
    assert (result["users"], result["items"]) == (USERS, ITEMS)
    assert result["impressions"] == {"train": 800, "validation": 100}
    assert result["epochs"] == 2
    assert result["rows_per_second"] > 0
    found = evaluated(capsys, shop)
    assert {name: found[name] for name in result["test"]} == result["test"]
    assert set(found) - set(result["test"]) == {
        "model", "part", "intervals", "log", "means", "verdict", "warnings",
    }  # fmt: skip
    assert {"auc", "gauc"} <= found["means"].keys() == result["means"]["test"].keys()
    assert found["means"] == result["means"]["test"]
    assert [each for each in found["verdict"] if "means in AUC (" in each and " on test)" in each]
    assert "on validation)" in result["verdict"][0]
    for name, (low, high) in found["intervals"].items():
        assert low < found[name] < high
    assert found["impressions"] == 100
    assert found["users"] >= found["eligible_users"] > 0
    assert sum(each["impressions"] for each in found["calibration"]) == 100
    assert set(found["strata"]) == {"head", "between", "tail", "cold", "new"}
    assert found["strata"]["new"] == {"items": 0, "rows": 0, "positives": 0, "auc": None}
    held = evaluated(capsys, shop, "--part", "validation")
    assert {name: held[name] for name in ("auc", "gauc", "log_loss")} == result["validation"]
    assert (Ranker.load(shop / "model").ids is not None) == ids
    assert not list(shop.glob(".*"))


def test_intervals_have_a_seed(shop, capsys):
    trained(capsys, shop)
    one, again, other = (evaluated(capsys, shop, "--seed", seed) for seed in (1, 1, 2))
    assert one == again
    assert one["intervals"] != other["intervals"]


def test_people_read_lines(shop, capsys):
    code, out, _ = run(
        capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--ids",
        shop / "ids.parquet", "--out", shop / "model", *SMALL,
    )  # fmt: skip
    assert code == 0
    assert out.startswith(f"ppnet -> {shop / 'model'}\n")
    assert "trained on 800 impressions of 40 items to 30 users; best epoch" in out
    assert re.search(r"\n  validation: AUC 0\.\d{4}, log-loss 0\.\d{4}\n", out)
    assert re.search(
        r"on the test part: 100 impressions, \d\d of them positive\n  AUC +0\.\d{4}\n", out
    )
    assert re.search(r"GAUC is of the \d+ of \d+ users who have rows of both labels", out)
    code, out, _ = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet")
    assert code == 0
    assert re.search(r"\n  GAUC +0\.\d{4}   95% interval 0\.\d{4} to [01]\.\d{4}\n", out)
    assert re.search(r"\n  AUC, new +-   0 impressions of 0 items\n", out)


def test_one_impression_a_user_has_an_auc_and_no_gauc(shop, capsys):
    write(shop / "log.parquet", user_id=np.arange(ROWS))
    result = trained(capsys, shop)
    assert result["test"]["auc"] > 0.4
    assert result["test"]["gauc"] is result["test"]["gauc_unweighted"] is None
    assert (result["test"]["eligible_users"], result["test"]["users"]) == (0, 100)
    assert evaluated(capsys, shop)["intervals"]["gauc"] == [None, None]
    code, out, _ = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet")
    assert code == 0
    assert "  GAUC                     -   undefined: none of the 100 users has rows of both" in out
    assert "nan" not in out


# --- what is read ---


def test_numbers_are_the_same_from_parquet_and_from_text(shop, capsys):
    """A column of 1,000 different weights: by its type in one file, by its name in the other."""
    weights = np.random.default_rng(0).normal(70, 12, ROWS).round(3)
    write(shop / "log.parquet", weight=weights)
    pcsv.write_csv(pq.read_table(shop / "log.parquet"), shop / "log.csv")
    expected = trained(capsys, shop, "--column", "weight", "--column", "device")
    config = json.loads((shop / "model" / "config.json").read_text())
    assert (config["columns"], list(config["numbers"])) == (["device"], ["weight"])
    assert config["numbers"]["weight"]["mean"] == pytest.approx(weights[:800].mean(), rel=1e-6)
    assert evaluated(capsys, shop)["auc"] == expected["test"]["auc"]
    text = ["--interactions", shop / "log.csv"]
    assert evaluated(capsys, shop, *text)["auc"] == expected["test"]["auc"]
    again = trained(capsys, shop, *text, "--numeric-column", "weight", "--column", "device")
    assert again["test"] == expected["test"]


def test_columns_can_be_mapped_and_the_log_may_be_text(shop, capsys):
    expected = trained(capsys, shop)
    log = pq.read_table(shop / "log.parquet").drop_columns(["device"])
    renamed = log.rename_columns(["who", "what", "when", "clicked"])
    pcsv.write_csv(renamed, shop / "log.csv")
    mapped = ["--interactions", shop / "log.csv", "--user-column", "who", "--item-column", "what",
              "--timestamp-column", "when", "--label-column", "clicked"]  # fmt: skip
    assert trained(capsys, shop, *mapped)["test"] == expected["test"]
    assert evaluated(capsys, shop, *mapped)["auc"] == expected["test"]["auc"]


def test_ratings_count_above_what_was_asked_for(shop, capsys):
    expected = trained(capsys, shop)["test"]
    write(shop / "log.parquet", label=None, rating=np.where(columns()["label"], 4.5, 4.0))
    result = trained(capsys, shop, "--positive-above", 4.2)
    assert result["test"] == expected
    assert evaluated(capsys, shop)["auc"] == expected["auc"]
    code, _, err = run(
        capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--out", shop / "new"
    )
    assert code == 2
    assert "all 100 rows of the test part have the label 1" in err


def test_the_log_is_divided_as_asked_and_again_alike(shop, capsys):
    parts = np.select([np.arange(ROWS) % 5 < 3, np.arange(ROWS) % 5 < 4],
                      ["train", "val"], "test")  # fmt: skip
    write(shop / "log.parquet", split=parts)
    for options, rows in (([], 200), (["--split", "stored"], 200),
                          (["--split", "chronological"], 100)):  # fmt: skip
        result = trained(capsys, shop, *options)
        assert result["test"]["impressions"] == rows
        found = evaluated(capsys, shop)
        assert {name: found[name] for name in result["test"]} == result["test"]


def test_further_columns_are_read_again_when_evaluated(shop, capsys):
    plain = trained(capsys, shop)["test"]
    result = trained(capsys, shop, "--column", "device", "--column", "timestamp")
    assert result["test"]["auc"] != plain["auc"]
    config = json.loads((shop / "model" / "config.json").read_text())
    assert config["columns"] == ["device", "timestamp"]
    assert evaluated(capsys, shop)["auc"] == result["test"]["auc"]
    write(shop / "log.parquet", device=None)
    code, out, err = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet")
    assert (code, out) == (2, "")
    assert "log.parquet has no column 'device'" in err


def test_settings_from_a_file_yield_to_the_command_line(shop):
    (shop / "s.toml").write_text('epochs = 3\ndropout = 0.1\ncodes = "sum"\n')
    assert train(shop, "model", "--config", shop / "s.toml", "--seed", 4) == 0
    settings = json.loads((shop / "model" / "config.json").read_text())["settings"]
    assert (settings["epochs"], settings["dropout"], settings["codes"]) == (2, 0.1, "sum")
    assert (settings["seed"], settings["hidden"]) == (4, [8])


def test_a_newer_table_changes_nothing_of_old_items(shop, capsys):
    trained(capsys, shop, "--ids", shop / "ids.parquet")
    expected = evaluated(capsys, shop)
    table(60).write(shop / "newer.parquet")
    assert evaluated(capsys, shop, "--ids", shop / "newer.parquet") == expected
    items = columns()["item_id"]
    items[-20:] = 50
    write(shop / "log.parquet", item_id=items)
    found = evaluated(capsys, shop, "--ids", shop / "newer.parquet")
    assert found["strata"]["new"]["rows"] == 20


def test_same_seed_same_files_another_seed_others(shop):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert train(shop, name, "--ids", shop / "ids.parquet", "--seed", seed) == 0
    assert files(shop / "a") == files(shop / "b")
    assert files(shop / "a")["model.safetensors"] != files(shop / "c")["model.safetensors"]


# --- a log larger than memory ---


def test_a_long_log_is_kept_on_disk_while_it_is_learned_from(shop, monkeypatch):
    assert train(shop, "plain") == 0
    made = []
    monkeypatch.setattr("mmq.workflows._log.ROWS_IN_MEMORY", ROWS - 1)
    monkeypatch.setattr("mmq.data._log.PIECE", 300)
    plain = np.lib.format.open_memmap

    def open_memmap(path, *arguments):
        made.append(path)
        return plain(path, *arguments)

    monkeypatch.setattr("numpy.lib.format.open_memmap", open_memmap)
    stale = shop / ".spooled.rows-0"  # of a run that was killed
    stale.mkdir()
    (stale / "1.npy").write_text("half of an array")
    (shop / ".spooled.rows-1").mkdir()  # of two processes
    assert train(shop, "spooled") == 0
    assert files(shop / "spooled") == files(shop / "plain")
    assert made
    assert {path.parent for path in made} == {stale}
    assert not list(shop.glob(".*"))


def test_what_lies_on_disk_vanishes_when_the_training_fails(shop, capsys, monkeypatch):
    monkeypatch.setattr("mmq.workflows._log.ROWS_IN_MEMORY", 10)
    table(20).write(shop / "few.parquet")
    before = {path.name for path in shop.iterdir()}
    code, _, err = run(
        capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--out",
        shop / "deep" / "model", "--ids", shop / "few.parquet",
    )  # fmt: skip
    assert code == 2
    assert "have no semantic ID" in err
    assert {path.name for path in shop.iterdir()} == before


# --- kill -9, then --resume ---


def killed(shop, *arguments):
    """Train in a child and kill -9 it as soon as there is a checkpoint."""
    verb = ["train", "ranking", "--interactions", shop / "log.parquet", *arguments]
    checkpoint = shop / ".killed.checkpoint.safetensors"
    kill_at(checkpoint, verb)
    return checkpoint


def test_training_resumed_after_a_kill_is_the_same_to_the_byte(shop, capsys):
    model = ["--ids", shop / "ids.parquet", "--set", "epochs=12", "--set", "patience=12"]
    assert train(shop, "whole", *model) == 0
    checkpoint = killed(shop, "--out", shop / "killed", *SMALL, *model)
    assert not (shop / "killed").exists()
    write(shop / "other.parquet", label=1 - columns()["label"])
    table(60).write(shop / "more.parquet")
    for other in (
        ["--interactions", shop / "other.parquet"],
        ["--positive-above", 1],
        ["--column", "device"],
        ["--set", "dropout=0.1"],
        ["--ids", shop / "more.parquet"],
    ):
        code, _, err = run(
            capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--out",
            shop / "killed", *SMALL, *model, *other, "--resume",
        )  # fmt: skip
        assert code == 2
        assert "other data or other settings" in err
    assert train(shop, "killed", *model, "--resume") == 0
    assert files(shop / "killed") == files(shop / "whole")
    assert not checkpoint.exists()


def test_a_full_disk_when_the_model_is_saved_keeps_the_training(shop, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    arguments = ["train", "ranking", "--interactions", shop / "log.parquet", "--out",
                 shop / "model", *SMALL]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("mmq._model_folder.write_tensors", full)
        code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "the disk is full" in err
    assert not (shop / "model").exists()
    code, out, _ = run(capsys, *arguments, "--resume", "--json")
    assert code == 0
    assert json.loads(out)["rows_per_second"] == 0  # nothing was trained again
    assert not list(shop.glob(".*"))


# --- several processes ---


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(shop, capsys):
    """One of them writes and prints; apart from rounding, the weights are those of one process."""
    model = ["--ids", shop / "ids.parquet", *SMALL, "--set", "unknown_share=0",
             "--set", "dropout=0"]  # fmt: skip
    alone = trained(capsys, shop, *model)
    words = ["train", "ranking", "--interactions", shop / "log.parquet", "--out", shop / "two"]
    together = json.loads(printed_by_two([*words, *model, "--json"], shop / "printed"))
    assert together["validation"]["auc"] == pytest.approx(alone["validation"]["auc"], abs=0.01)
    weights, others = (load_file(shop / name / "model.safetensors") for name in ("model", "two"))
    assert max(float(np.abs(weights[name] - others[name]).max()) for name in weights) < 2e-3
    assert not list(shop.glob(".*"))


def test_means_are_a_model_that_reads_no_ids(shop, capsys):
    code, out, err = run(
        capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--out",
        shop / "means", "--model", "means", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["model"], result["verdict"], result["means"]) == ("means", [], None)
    assert Ranker.load(shop / "means").kind == "means"
    code, out, err = run(
        capsys, "train", "ranking", "--interactions", shop / "log.parquet", "--out",
        shop / "means", "--model", "means", "--ids", shop / "ids.parquet",
    )  # fmt: skip
    assert code == 2
    assert "--ids is not for means" in err


def test_a_model_is_replaced_by_the_next_where_that_is_asked_for(shop, capsys):
    trained(capsys, shop, "--ids", shop / "ids.parquet")
    kept = files(shop / "model")
    again = ["train", "ranking", "--interactions", shop / "log.parquet", "--out", shop / "model"]
    code, _, err = run(capsys, *again, *SMALL)
    assert code == 2
    assert f"{shop / 'model'} holds a model made from other inputs (ids ids.parquet, not no" in err
    assert files(shop / "model") == kept
    assert run(capsys, *again, *SMALL, "--ids", shop / "ids.parquet")[0] == 0  # the same inputs
    assert files(shop / "model") == kept
    trained(capsys, shop)
    assert Ranker.load(shop / "model").ids is None
    assert not (shop / "model" / "ids.parquet").exists()


def test_help_says_what_there_is(capsys):
    code, out, _ = run(capsys, "train", "ranking", "--help")
    assert code == 0
    for option in ("--ids", "--column", "--positive-above", "--resume", "--label-column"):
        assert option in out
