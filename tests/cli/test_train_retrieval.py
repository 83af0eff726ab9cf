import json
import re
import subprocess
import sys

import numpy as np
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from retrieval_shop import ITEMS, SMALL, SOLD, USERS, columns, run, table, train, write_shop
from safetensors.numpy import load_file

from children import kill_at
from mmq.cli import main
from mmq.data._interactions import Interactions, write_interactions
from mmq.data._log import read_interactions
from mmq.data._splits import chronological_parts
from mmq.recommenders import Recommender

KINDS = ["heterrec", "sasrec", "item-knn", "ease", "popularity"]
PROTOCOLS = ("history_competes", "history_left_out")
FIGURES = {f"{name}@{k}" for name in ("recall", "ndcg", "hit", "mrr") for k in (5, 10)}


@pytest.fixture
def shop(tmp_path):
    write_shop(tmp_path)
    return tmp_path


def options(kind):
    return ["--model", kind, *(SMALL if kind in ("heterrec", "sasrec") else [])]


def trained(capsys, shop, *more):
    code, out, err = run(
        capsys, "train", "retrieval", "--interactions", shop / "log.parquet", "--out",
        shop / "model", "--force", "--json", *more,
    )  # fmt: skip
    assert (code, err) == (0, "")
    return json.loads(out)


def evaluated(capsys, shop, *more):
    code, out, err = run(
        capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet", "--json", *more
    )
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize("kind", KINDS)
def test_train_prints_one_json_object(kind, shop, capsys):
    result = trained(capsys, shop, "--ids", shop / "ids.parquet", *options(kind))
    assert (result["model"], result["out"]) == (kind, str(shop / "model"))
    # eight that count, of which two are held out
    assert (result["items"], result["users"]) == (ITEMS, USERS)
    assert result["training_interactions"] == 6 * USERS
    for part in ("validation", "test"):
        assert (result[part]["users"], result[part]["cases"]) == (USERS, USERS)
        for protocol in PROTOCOLS:
            assert set(result[part][protocol]) == {*FIGURES, "coverage"}
            assert 0 < result[part][protocol]["coverage"] <= 1
        assert (result[part]["id_level"] is not None) == (kind == "heterrec")
    trained_by_epochs = kind in ("heterrec", "sasrec")
    assert result["epochs"] == (2 if trained_by_epochs else 0)
    assert (result["seconds_per_epoch"] > 0) == trained_by_epochs
    others = {"popularity", "item-knn"} - {kind}
    assert result["baselines"].keys() == others
    assert [sentence for sentence in result["verdict"] if "N@10 on validation" in sentence]
    assert len(result["verdict"]) == len(others)
    assert Recommender.load(shop / "model").kind == kind
    assert not list(shop.glob(".*"))


def test_evaluate_at_further_places_and_by_user(shop, capsys):
    trained(capsys, shop, *options("popularity"))
    file = shop / "users.parquet"
    more = ("--k", "20, 3", "--per-user", file)
    result = evaluated(capsys, shop, *more)
    assert result["per_user"] == str(file)
    table = pq.read_table(file)
    assert sorted(table["user_id"].to_pylist()) == list(range(100, 100 + USERS))
    assert set(table["targets"].to_pylist()) == {1}
    for protocol in PROTOCOLS:
        names = {f"{name}@{k}" for name in ("recall", "ndcg", "hit", "mrr") for k in (3, 20)}
        assert result[protocol].keys() == {*names, "coverage"}
        assert result["intervals"][protocol].keys() == names
        for name in names:
            values = table[f"{protocol}.{name}"].to_numpy()
            assert result[protocol][name] == pytest.approx(values.mean())
    before = file.read_bytes()
    evaluated(capsys, shop, *more)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--k", "0"], "--k '0' should be whole numbers from 1 on, such as 5,10"),
        (["--k", "5,"], "--k '5,' should be whole numbers from 1 on, such as 5,10"),
        (["--k", "ten"], "--k 'ten' should be whole numbers from 1 on, such as 5,10"),
        (["--per-user", "{shop}/log.parquet"], "is what is read here and would be lost"),
        (["--per-user", "{shop}/ids.parquet"], "exists and holds no figures of users"),
        (["--per-user", "{shop}"], "is a folder; give the file to write"),
    ],
)
def test_places_and_files_that_cannot_be(shop, capsys, more, error):
    trained(capsys, shop, *options("popularity"))
    asked = ["evaluate", shop / "model", "--interactions", shop / "log.parquet"]
    code, out, err = run(capsys, *asked, *(each.format(shop=shop) for each in more))
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1


def test_the_id_level_is_the_easier_one(shop, capsys):
    codes_alone = [*SMALL, "--set", "item_token=false"]
    result = trained(capsys, shop, "--ids", shop / "ids.parquet", *codes_alone)
    assert len(np.unique(table().codes, axis=0)) < ITEMS
    for protocol in PROTOCOLS:
        by_id = result["test"]["id_level"][protocol]
        assert result["test"][protocol]["recall@10"] < by_id["recall@10"]


def test_users_who_are_left_out_of_a_split_by_time_are_counted(shop, capsys):
    """Twenty new users come at the end; three old ones are there for the last weeks too."""
    log = columns()
    late = {"user_id": np.r_[np.arange(500, 520), 100, 101, 102, 103],
            "item_id": np.arange(24) % 5, "rating": np.full(24, 5.0),
            "timestamp": 1_800_000_000 + np.arange(24)}  # fmt: skip
    both = {name: np.concatenate([log[name], late[name]]) for name in log}
    write_interactions(shop / "log.parquet", Interactions.build(both))
    words = ["--model", "popularity", "--split", "chronological", "--min-interactions", 0]
    found = trained(capsys, shop, *words)["measured"]["test"]
    reasons = ("nothing_liked", "too_few", "nothing_held_out", "no_history")
    assert found["users"] == USERS + 20 == found["measured"] + sum(found[name] for name in reasons)
    assert found["no_history"] == 20
    card = (shop / "model" / "README.md").read_text()
    assert "20 have no history before it." in card
    out = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet")[1]
    assert f"test: {found['measured']} of {USERS + 20} users are measured; of the others" in out
    assert "mmq evaluate --new-users measures those without a history too" in out
    with_new = evaluated(capsys, shop, "--new-users")
    assert with_new["measured"]["measured"] == with_new["users"] == found["measured"] + 20
    out = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet",
              "--new-users")[1]  # fmt: skip
    assert "20 of them without a history, who are given what is popular" in out


@pytest.mark.parametrize("kind", ["sasrec", "popularity"])
def test_without_ids_the_items_of_the_log_are_taken(kind, shop, capsys):
    assert trained(capsys, shop, *options(kind))["items"] == SOLD


def test_people_read_a_table(shop, capsys):
    code, out, _ = run(
        capsys, "train", "retrieval", "--interactions", shop / "log.parquet", "--ids",
        shop / "ids.parquet", "--out", shop / "model", *SMALL,
    )  # fmt: skip
    assert code == 0
    assert out.startswith(f"heterrec for 45 items -> {shop / 'model'}\n")
    assert "trained on 360 interactions of 60 users; the log has 540 rows, of which" in out
    assert "5 items without interactions in training (they can be recommended by their" in out
    assert re.search(r"best epoch [12] of 2, \d+\.\d s each", out)
    assert re.search(r"\n  validation, history competes +0\.\d{4} ", out)
    assert re.search(r"\n  test, history left out +0\.\d{4} ", out)
    assert re.search(r"\n  item-knn, test, history left out +0\.\d{4} ", out)
    assert re.search(r"\n  IDs, history competes +0\.\d{4} ", out)
    assert re.search(r" popularity .*N@10 on validation", out)
    code, out, _ = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet")
    assert code == 0
    assert "60 cases of 60 users, 45 items ranked\n" in out
    assert re.search(r"\n  history left out( +0\.\d{3}-[01]\.\d{3}){4}\n", out)
    assert re.search(r" item-knn .*N@10 on test", out)


def test_columns_can_be_mapped_and_the_log_may_be_text(shop, capsys):
    expected = trained(capsys, shop, "--model", "popularity")
    log = pq.read_table(shop / "log.parquet").rename_columns(["who", "what", "when", "stars"])
    pcsv.write_csv(log, shop / "log.csv")
    mapped = ["--interactions", shop / "log.csv", "--user-column", "who", "--item-column", "what",
              "--timestamp-column", "when", "--rating-column", "stars"]  # fmt: skip
    assert trained(capsys, shop, "--model", "popularity", *mapped) == expected
    again = evaluated(capsys, shop, *mapped)
    assert {name: again[name] for name in expected["test"]} == expected["test"]


def test_settings_from_a_file_yield_to_the_command_line(shop):
    (shop / "s.toml").write_text("epochs = 3\nhidden_dim = 16\ndropout = 0.1\n")
    assert train(shop, "model", "--model", "sasrec", "--config", shop / "s.toml",
                 "--set", "epochs=1", "--seed", 4) == 0  # fmt: skip
    settings = json.loads((shop / "model" / "config.json").read_text())["settings"]
    assert (settings["epochs"], settings["dropout"], settings["seed"]) == (1, 0.1, 4)


def test_the_log_is_divided_as_asked_and_again_alike(shop, capsys):
    log = Interactions.build(columns()).positives(3)
    words = np.array(["train", "validation", "test"])[chronological_parts(log, (0.5, 0.2, 0.3))]
    stored = Interactions(log.table.append_column("split", [words]))
    write_interactions(shop / "log.parquet", stored)
    cases = {}
    for split in ("leave-one-out", "chronological", "stored"):
        result = trained(capsys, shop, *options("popularity"), "--split", split)
        again = evaluated(capsys, shop)
        cases[split] = again["cases"]
        for figure in (*PROTOCOLS, "cases", "users"):
            assert again[figure] == result["test"][figure]
    assert cases["leave-one-out"] == USERS
    assert len(set(cases.values())) == 3


def test_positives_and_core_are_settings(shop, capsys):
    everything = trained(capsys, shop, *options("popularity"), "--positive-above", 1)
    assert everything["training_interactions"] == 7 * USERS
    log = columns()
    rare = {name: values[: 9 * 3] for name, values in log.items()}
    write_interactions(shop / "log.parquet", Interactions.build(rare))
    whole = trained(capsys, shop, *options("popularity"), "--min-interactions", 0)
    assert whole["users"] == 3


def test_evaluate_takes_either_part(shop, capsys):
    result = trained(capsys, shop, "--ids", shop / "ids.parquet", *SMALL)
    for part in ("validation", "test"):
        again = evaluated(capsys, shop, "--part", part)
        assert {name: again[name] for name in result[part]} == result[part]
        for protocol in PROTOCOLS:
            for name, (low, high) in again["intervals"][protocol].items():
                assert low < again[protocol][name] < high


def test_evaluate_without_the_history(shop, capsys):
    """Nobody meets an item twice here, so that leaving out the history can only help."""
    trained(capsys, shop, "--ids", shop / "ids.parquet", *SMALL)
    found = evaluated(capsys, shop)
    assert found["history_left_out"]["ndcg@10"] > found["history_competes"]["ndcg@10"]


def test_evaluate_among_more_items(shop, capsys):
    trained(capsys, shop, "--ids", shop / "ids.parquet", *SMALL)
    table(60).write(shop / "more.parquet")
    found = evaluated(capsys, shop, "--ids", shop / "more.parquet")
    assert (found["items"], found["cases"]) == (60, USERS)
    fewer = evaluated(capsys, shop)
    for protocol in PROTOCOLS:
        assert found[protocol]["ndcg@10"] < fewer[protocol]["ndcg@10"]


def test_same_seed_same_files_another_seed_others(shop):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        ids = ["--ids", shop / "ids.parquet"]
        assert train(shop, name, *ids, *SMALL, "--seed", seed) == 0
    assert files(shop / "a") == files(shop / "b")
    assert files(shop / "a")["model.safetensors"] != files(shop / "c")["model.safetensors"]


# --- kill -9, then --resume ---


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def killed(shop, *arguments):
    """Train in a child and kill -9 it as soon as there is a checkpoint."""
    verb = ["train", "retrieval", "--interactions", shop / "log.parquet", *arguments]
    checkpoint = shop / ".killed.checkpoint.safetensors"
    kill_at(checkpoint, verb)
    return checkpoint


def test_training_resumed_after_a_kill_is_the_same_to_the_byte(shop, capsys):
    model = ["--ids", shop / "ids.parquet", *SMALL, "--set", "epochs=12"]
    assert train(shop, "whole", *model) == 0
    checkpoint = killed(shop, "--out", shop / "killed", *model)
    assert not (shop / "killed").exists()
    rest = Interactions.build(columns()).filter(np.arange(9 * USERS) > 8)
    write_interactions(shop / "other.parquet", rest)
    table(60).write(shop / "more.parquet")
    for other in (
        ["--interactions", shop / "other.parquet"],
        ["--positive-above", 1],
        ["--set", "dropout=0.1"],
        ["--ids", shop / "more.parquet"],
    ):
        code, _, err = run(
            capsys, "train", "retrieval", "--interactions", shop / "log.parquet", "--out",
            shop / "killed", *model, *other, "--resume",
        )  # fmt: skip
        assert code == 2
        assert "other data or other settings" in err
    assert train(shop, "killed", *model, "--resume") == 0
    assert files(shop / "killed") == files(shop / "whole")
    assert not checkpoint.exists()


def test_a_full_disk_when_the_model_is_saved_keeps_the_training(shop, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    arguments = ["train", "retrieval", "--interactions", shop / "log.parquet", "--out",
                 shop / "model", "--ids", shop / "ids.parquet", *SMALL]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("mmq._model_folder.write_tensors", full)
        code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "the disk is full" in err
    assert not (shop / "model").exists()
    code, out, _ = run(capsys, *arguments, "--resume", "--json")
    assert code == 0
    assert json.loads(out)["seconds_per_epoch"] == 0  # nothing was trained again
    assert not list(shop.glob(".*"))


# --- several processes ---


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(shop, capsys):
    """One of them writes and prints; apart from rounding, the weights are those of one process."""
    model = ["--ids", shop / "ids.parquet", *SMALL, "--set", "dropout=0"]
    alone = trained(capsys, shop, *model)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2,
               "-m", "mmq", "train", "retrieval", "--interactions", shop / "log.parquet",
               "--out", shop / "two", *model, "--json"]  # fmt: skip
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=True, timeout=120
    )
    together = json.loads(done.stdout)
    assert together["validation"]["history_competes"]["recall@10"] == pytest.approx(
        alone["validation"]["history_competes"]["recall@10"], abs=0.02
    )
    weights, others = (load_file(shop / name / "model.safetensors") for name in ("model", "two"))
    assert max(float(np.abs(weights[name] - others[name]).max()) for name in weights) < 2e-3
    assert not list(shop.glob(".*"))


# --- bad input: one sentence, exit 2, nothing written ---

BAD = [
    (["--model", "hetrec"], "there is no recommender 'hetrec'; did you mean 'heterrec'?"),
    ([], "heterrec reads semantic IDs and was given none"),
    (["--ids", "none.parquet"], "there is no semantic ID table at none.parquet"),
    (["--ids", "catalogue.parquet"], "no semantic ID table of mmq"),
    (["--ids", "few.parquet"], "10 of 40 items of the interactions have no semantic ID"),
    (["--model", "sasrec", "--set", "hiden_dim=8"], "did you mean 'hidden_dim'?"),
    (["--model", "sasrec", "--set", "hidden_dim=9"], "cannot be shared by 2 heads"),
    (["--model", "sasrec", "--set", "epochs=-1"], "setting 'epochs' = -1 is not valid"),
    (["--model", "popularity", "--set", "epochs=3"], "unknown setting 'epochs'"),
    (["--model", "sasrec", "--seed", 2**63], "setting 'seed'"),
    (["--model", "sasrec", "--config", "no.toml"], "no settings file at no.toml"),
    (["--split", "random"], "'random' is not one of 'leave-one-out', 'chronological', 'stored'"),
    (["--model", "sasrec", "--split", "stored"], "the interactions have no split column"),
    (["--positive-above", "nan"], "'positive_above' = nan is not valid"),
    (["--model", "sasrec", "--positive-above", 5], "no interactions are left of 540 above 5"),
    (["--model", "sasrec", "--min-interactions", 50], "50 a user and item; give a longer log"),
    (["--min-interactions", -1], "--min-interactions"),
    (["--model", "sasrec", "--interactions", "none.parquet"], "there is no table at none.parquet"),
    (["--model", "sasrec", "--interactions", "short.parquet"], "no interactions are left of 8"),
    (["--model", "sasrec", "--interactions", "single.parquet", "--min-interactions", 0],
     "leaves no validation interaction"),
    (["--model", "sasrec", "--interactions", "truncated.parquet"], "not a whole Parquet file"),
    (["--model", "sasrec", "--interactions", "no_items.parquet"], "has no column 'item_id'"),
    (["--model", "sasrec", "--user-column", "customer"], "map it with --user-column NAME"),
    (["--model", "sasrec", "--rating-column", "stars"], "map it with --rating-column NAME"),
    (["--out", "log.parquet"], "is a file, not a folder"),
    (["--out", "."], "holds other files"),
    (["--out", "somebody"], "holds other files (no config.json among them)"),
    (["--out", "imported"], "holds other files (no config.json among them)"),
    (["--out", "tokenizer"], "a config.json that mmq did not write there"),
    (["--out", "noted"], "holds other files (notes.txt among them)"),
]  # fmt: skip


@pytest.fixture
def bad_shop(shop):
    """A shop with things that go wrong lying about."""
    log = pq.read_table(shop / "log.parquet")
    pq.write_table(log.slice(0, 8), shop / "short.parquet")
    pq.write_table(log.drop_columns(["item_id"]), shop / "no_items.parquet")
    (shop / "truncated.parquet").write_bytes((shop / "log.parquet").read_bytes()[:-200])
    pq.write_table(log.drop_columns(["rating"]).slice(0, 1), shop / "single.parquet")
    table(30).write(shop / "few.parquet")
    for name, file in (("somebody", "thesis.tex"), ("imported", "items.parquet")):
        (shop / name).mkdir()
        (shop / name / file).write_text("work")
    (shop / "tokenizer").mkdir()
    (shop / "tokenizer" / "config.json").write_text('{"tokenizer": "mmq", "mmq": "0.1.0"}')
    (shop / "noted").mkdir()
    (shop / "noted" / "config.json").write_text('{"recommender": "sasrec", "mmq": "0.1.0"}')
    (shop / "noted" / "notes.txt").write_text("mine")
    return shop


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=lambda value: str(value)[:40])
def test_bad_training(arguments, expected, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    before = {path: path.read_bytes() for path in bad_shop.rglob("*") if path.is_file()}
    defaults = ["train", "retrieval", "--interactions", "log.parquet", "--out", "model"]
    code, out, err = run(capsys, *defaults, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in bad_shop.rglob("*") if path.is_file()} == before


def test_a_model_is_replaced_by_the_next_where_that_is_asked_for(shop, capsys):
    trained(capsys, shop, *options("sasrec"))
    words = ["--interactions", shop / "log.parquet", "--out", shop / "model"]
    code, _, err = run(capsys, "train", "retrieval", *words, *options("popularity"))
    assert code == 2
    assert "model holds a model made from other inputs (kind sasrec, not popularity, " in err
    assert Recommender.load(shop / "model").kind == "sasrec"
    trained(capsys, shop, *options("popularity"))
    assert Recommender.load(shop / "model").kind == "popularity"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none", "--interactions", "log.parquet"], "there is no recommender"),
        (["tokenizer", "--interactions", "log.parquet"], "is not the config of an mmq recommender"),
        (["model"], "--interactions"),
        (["model", "--interactions", "log.parquet", "--part", "train"], "--part"),
        (["model", "--interactions", "short.parquet"], "give a longer log"),
        (["model", "--interactions", "wide.parquet"], "1 of 40 items of the interactions"),
        (["model", "--interactions", "log.parquet", "--ids", "ids.parquet"], "--ids is not for"),
        (
            ["model", "--interactions", "log.parquet", "--new-item-share", "1"],
            "none of the 40 items is new since training",
        ),
    ],
)
def test_bad_evaluation(arguments, expected, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    assert train(bad_shop, "model", "--model", "popularity") == 0
    log = read_interactions("log.parquet").table.to_pydict()
    log["item_id"] = [999 if item == 3 else item for item in log["item_id"]]
    write_interactions("wide.parquet", Interactions.build(log))
    code, out, err = run(capsys, "evaluate", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_old_and_new_items_side_by_side(shop, capsys):
    result = trained(capsys, shop, "--ids", shop / "ids.parquet", *SMALL)
    assert result["items_without_interactions"] == ITEMS - SOLD
    assert evaluated(capsys, shop)["old_and_new"] is None, "without interactions is not new"
    table(60).write(shop / "more.parquet")
    log, later = columns(), np.arange(USERS) % 2 == 0
    last = np.flatnonzero(np.arange(9 * USERS) % 9 == 8)[later]
    log["item_id"][last] = ITEMS + np.arange(len(last)) % 6  # half of them buy what came since
    write_interactions(shop / "log.parquet", Interactions.build(log))
    options = ["--ids", shop / "more.parquet", "--k", "5,10"]
    found = {}
    for share in ("0", "0.5"):
        result = evaluated(capsys, shop, *options, "--new-item-share", share)
        sides = found[share] = result["old_and_new"]
        counts = {name: (each["items"], each["cases"]) for name, each in sides.items()}
        assert counts == {"old": (ITEMS, 30), "new": (15, 30)}
        for protocol in PROTOCOLS:
            both = [each[protocol]["recall@10"] for each in sides.values()]
            assert np.mean(both) == pytest.approx(result[protocol]["recall@10"])
    new = [found[share]["new"]["history_competes"]["recall@10"] for share in found]
    assert new[1] > new[0]
    words = ["evaluate", shop / "model", "--interactions", shop / "log.parquet", *options]
    _, out, _ = run(capsys, *words)
    assert "  15 items are new since training; 30 cases ask for them, 30 for old ones" in out
    assert re.search(r"\n  new items, history left out +0\.\d{4}", out)


def test_the_group_of_trainings_shows_what_there_is(capsys):
    code, out, _ = run(capsys, "train")
    assert code == 2
    assert "retrieval" in out
    assert main(["train", "retrieval", "--help"]) == 0


def test_another_log_than_that_of_the_training_is_told(shop, capsys):
    trained(capsys, shop, *options("popularity"))
    assert evaluated(capsys, shop)["warnings"] == []
    log = {name: values for name, values in columns().items() if name != "rating"}
    write_interactions(shop / "log.parquet", Interactions.build(log))
    (warning,) = evaluated(capsys, shop)["warnings"]
    assert "has 420 interactions and is not what the model learned from, which had 360" in warning
    _, out, _ = run(capsys, "evaluate", shop / "model", "--interactions", shop / "log.parquet")
    assert f"  warning: {warning}\n" in out
    _, out, _ = run(
        capsys, "train", "retrieval", "--interactions", shop / "log.parquet", "--model",
        "popularity", "--out", shop / "other",
    )  # fmt: skip
    assert "540 rows, which all count as positives, since no rating and no label was read" in out
