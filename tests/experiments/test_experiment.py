"""An experiment: its cells are made once, in processes, and its rows come from what is stored."""

import functools

import numpy as np
import pytest
from toy_cells import make

from experiments import results
from experiments.cells import CELLS, Work
from experiments.data import LOGS
from experiments.experiment import Context, Experiment, Order, Places, cells_of, rows_of, run
from experiments.registry import EXPERIMENTS, command, experiment
from experiments.render import pages
from experiments.retrieval import DEFAULT, Row, trained
from experiments.runner import run_cells
from mmq import MMQTokenizer
from mmq._formats import to_json
from mmq.cli import run_app
from mmq.data._interactions import Interactions, write_interactions
from mmq.errors import DataError, SettingsError

TOY = Experiment("shop", {"a": 1, "fixed": 2, "broken": 3}, make, seeds=(0, 1), once=["fixed"])


def cells(out, **changes):
    return list(cells_of(Order("toy", out, out, **changes), TOY))


def test_cells_go_seed_by_seed_and_what_no_seed_changes_is_made_once(tmp_path):
    names = [cell.name for cell in cells(tmp_path)]
    assert names == [
        "a, seed 0", "fixed, seed 0", "broken, seed 0", "a, seed 1", "broken, seed 1",
    ]  # fmt: skip
    assert [cell.name for cell in cells(tmp_path, seeds=[4], only=["a"])] == ["a, seed 4"]


@pytest.mark.parametrize("alone", [False, True])
def test_cells_are_made_once_in_a_process_of_all_or_of_their_own(tmp_path, alone):
    ended = []
    work = Work(cells(tmp_path), make, alone=alone)
    failed = run_cells(work, tmp_path, 1, lambda done: ended.append(done.cell.name))
    assert list(failed) == ["broken, seed 0", "broken, seed 1"]
    assert "ValueError: out of luck" in failed["broken, seed 0"]
    assert len(ended) == 5
    rows = {row["row"]: row for row in rows_of(TOY, tmp_path / CELLS)}
    assert list(rows) == ["a", "fixed"]
    assert rows["a"]["seeds"] == [0, 1]
    assert rows["a"]["auc"]["values"] == [0.5, 1.5]
    assert len(set(rows["a"]["process"]["values"])) == 1 + alone
    ended.clear()
    run_cells(work, tmp_path, 1, lambda done: ended.append(done.cell.name))
    assert ended == ["broken, seed 0", "broken, seed 1"], "what is finished is not made again"


def test_a_row_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="toy has no row 'fixd'; did you mean 'fixed'"):
        run(Order("toy", tmp_path, tmp_path, only=["fixd"]), TOY)
    with pytest.raises(SettingsError, match="no experiment 'zo'; did you mean 'zoo'"):
        experiment("zo")


# --- a leaderboard cell ---

FILMS, USERS, EACH = 40, 30, 12


@pytest.fixture
def data(tmp_path):
    """A folder as DATA, whose ml1m has a few films that are liked one after the other."""
    folder, rng = tmp_path / "data" / "ml1m", np.random.default_rng(0)
    folder.mkdir(parents=True)
    lines = [to_json({"item": film, "title": str(film)}).replace("\n", "") for film in range(FILMS)]
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("text_minilm", "image_effnet"):
        np.save(folder / f"{name}.npy", rng.normal(size=(FILMS, 300)).astype(np.float32))
    steps = np.arange(EACH)
    log = {
        "user_id": np.repeat(np.arange(USERS), EACH),
        "item_id": ((rng.integers(0, FILMS, (USERS, 1)) + steps) % FILMS).ravel(),
        "timestamp": np.arange(USERS * EACH),
        "rating": np.full(USERS * EACH, 5.0),
    }
    path = folder / "interactions.parquet"
    write_interactions(path, Interactions.build(log))
    return tmp_path / "data"


def context(data, seed=0):
    out = data.parent / "out" / "leaderboard_ml1m"
    for folder in ("cells", "new", "unfinished"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    return Context(data, seed, Places(out / "cells", out / "new", out / "unfinished"))


def test_a_cell_of_the_leaderboard(data, monkeypatch):
    monkeypatch.setitem(LOGS, "ml1m", LOGS["ml1m"]._replace(columns={}))
    made = trained(Row("ml1m", "item-knn"), context(data))
    assert 0 <= made.figures["history_left_out"]["recall@10"] <= 1
    assert made.figures["cold"]["cases"] > 0
    assert made.figures["cold"]["history_competes"]["recall@10"] == 0, "it never met them"
    assert made.figures["processor_seconds"] > 0
    assert len(made.users["figure"]) == len(made.users["user"]) == USERS
    again = trained(Row("ml1m", "item-knn"), context(data, seed=1))
    assert again.figures["cold"]["cases"] != made.figures["cold"]["cases"]


def test_models_on_the_same_ids_share_their_tokenizer(data, monkeypatch):
    monkeypatch.setitem(LOGS, "ml1m", LOGS["ml1m"]._replace(columns={}))
    small = {"hidden_dim": 8, "heads": 2, "epochs": 1, "history": 4, "item_token": False}
    monkeypatch.setattr("experiments.data.reduced", lambda matrix, width=8: matrix[:, :8])
    few = functools.partial(MMQTokenizer, codebook_size=8)
    monkeypatch.setattr("experiments.retrieval.MMQTokenizer", few)
    row = Row("ml1m", "heterrec", small, DEFAULT)
    made = trained(row, context(data))
    assert made.figures["id_level"]["recall@10"] >= made.figures["history_competes"]["recall@10"]
    kept = [path.name for path in (data.parent / "out" / "kept").iterdir()]
    assert kept == [f"ml1m {DEFAULT}"]
    assert made.figures["best_epoch"] == 1


# --- the command line, and the documents ---


def told(capsys, *arguments):
    from experiments.command import app

    code = run_app(app, "experiments", arguments)
    return code, capsys.readouterr()


def test_the_command_line_lists_and_refuses(capsys, monkeypatch):
    monkeypatch.delenv("MMQ_DATA", raising=False)
    code, printed = told(capsys, "list")
    assert code == 0
    assert printed.out.splitlines()[0] == "python -m experiments run zoo --data DATA"
    assert "python -m experiments run probes" in printed.out.splitlines()
    code, printed = told(capsys, "run", "zoo")
    assert code == 2
    assert printed.err == "mmq: zoo reads real data; give their folder with --data\n"


def test_every_committed_row_is_one_that_its_command_makes():
    kept = {path.stem for path in results.RESULTS.glob("*.json")} & EXPERIMENTS.keys()
    assert kept == set(EXPERIMENTS), "an experiment without results, or of another name"
    unknown = {
        name: lacking
        for name in kept
        if (lacking := {row["row"] for row in results.read(name)} - set(EXPERIMENTS[name].rows))
    }
    assert unknown == {}


def test_a_document_without_a_mark_is_refused():
    assert pages.filled("a<!-- t:start -->old<!-- t:end -->b", "t", "new\n") == (
        "a<!-- t:start -->\nnew\n<!-- t:end -->b"
    )
    with pytest.raises(DataError, match="lacks the marks"):
        pages.filled("a<!-- t:start -->old", "t", "new")
    assert command("probes") == "python -m experiments run probes"
