import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmq import write_catalogue
from mmq.cli import main
from mmq.data import Catalogue
from mmq.data._interactions import write_interactions
from mmq.settings import to_toml
from mmq.testing import tiny_catalogue, tiny_log

TINY = {
    "trials": 1,
    "cold_share": 0.1,
    "min_interactions": 3,
    "tokenizers": {"codebook_size": 4, "epochs": 1, "latent_dim": 4},
    "behaviour": {"dimension": 4},
    "heterrec": {"hidden_dim": 8, "heads": 2, "epochs": 1},
    "sasrec": {"hidden_dim": 8, "heads": 2, "epochs": 1},
}


def run(capsys, *arguments):
    """Exit code, standard output and standard error of ``mmq reproduce``."""
    capsys.readouterr()
    code = main(["reproduce", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder of data without ratings, with settings beside it."""
    folder = tmp_path_factory.mktemp("tiny") / "shop"
    folder.mkdir()
    items = tiny_catalogue(30)
    ids = [f"item-{row}" for row in range(30)]
    write_catalogue(folder / "catalogue.parquet", Catalogue.build(ids, items.embeddings))
    write_interactions(folder / "interactions.parquet", tiny_log())
    (folder.parent / "tiny.toml").write_text(to_toml(TINY))
    return folder


@pytest.fixture
def tiny(shop, tmp_path):
    """What every command is given: the data, small settings, one seed and a folder."""
    return ["--data", shop, "--config", shop.parent / "tiny.toml", "--seeds", 1,
            "--device", "cpu", "--out", tmp_path / "out"]  # fmt: skip


def refused(found, tmp_path):
    """The one sentence of a mistake that left nothing behind."""
    code, out, err = found
    assert (code, out) == (2, ""), err
    assert re.fullmatch(r"mmq: [^\n]+\n", err), err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    return err


# --- runs ---


def test_a_reproduction_from_the_plan_to_the_report(tiny, tmp_path, capsys):
    command = ["figure6", *tiny, "--parts", "quantisation", "--jobs", 1]
    code, out, err = run(capsys, *command, "--dry-run")
    assert (code, err) == (0, "")
    *cells, total = out.splitlines()
    assert len(cells) == 5
    assert all(re.fullmatch(r" +\d+ s  quantisation, MMQ.*, seed 0", each) for each in cells)
    assert re.fullmatch(r"5 of 5 cells are left: about \d+ s with 1 at once", total)
    assert list(tmp_path.iterdir()) == []

    code, out, err = run(capsys, *command, "--json")
    found = json.loads(out)
    assert (code, found["cells"]["failed"]) == (0, [])
    assert found["cells"]["done"] == len(err.splitlines()) == 5
    assert re.fullmatch(
        r"1/5 quantisation, MMQ, seed 0: [\d.]+ s; about \d+ s left", err.split("\n")[0]
    )
    assert [each["of"] for each in found["claims"]] == ["figure6"]
    assert found["claims"][0]["verdict"] == "not decidable"  # of one seed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"cells", "unfinished", "reproduction.json", "results.json", "report.html",
                     "figure6.png", "figure6.svg"}  # fmt: skip
    assert found["report"] == str(tmp_path / "out" / "report.html")

    code, out, err = run(capsys, *command)
    assert (code, err) == (0, "")
    first, done, report = out.splitlines()
    assert first.startswith("not decidable  figure6: Shared and specific experts reconstruct")
    assert (done, report) == ("5 cells are done, 0 failed", f"report: {found['report']}")

    code, out, _ = run(capsys, *command, "--dry-run", "--json", "--seeds", 2)
    told = json.loads(out)
    assert (told["cells"], told["left"], told["jobs"]) == (10, 5, 1)
    assert all(each["cell"].endswith("seed 1") for each in told["plan"])

    code, out, err = run(capsys, *command, "--report-only", "--json", "--seeds", 2)
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["cells"]["done"], told["cells"]["left"]) == (5, 5)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "5 of 10 runs are still to be done" in page

    for change, what in (
        (["--set", "cold_share=0.2"], "cold_share 0"),
        (["--scale", "full"], "history 20, not 50"),
        (["--timestamp-column", "item_id"], None),
    ):
        code, out, err = run(capsys, *command, *change)
        assert (code, out) == (2, "")
        if what:
            assert "holds a reproduction made from other inputs (" in err
            assert what in err


def test_a_failed_cell_is_told_and_the_exit_code_says_so(tiny, tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text("class Bad:\n    encode = None\n    def fit(self, items):\n        1 / 0\n"
                   "ROWS = {'bad': lambda seed: Bad()}\n")  # fmt: skip
    code, out, err = run(
        capsys, "table1", *tiny, "--parts", "quantisation", "--own", own, "--jobs", 1
    )
    assert code == 1
    assert [line[:58] for line in out.splitlines()[-3:-1]] == [
        "8 cells are done, 1 failed",
        "  failed: quantisation, bad, seed 0: ZeroDivisionError: di",
    ]
    assert "quantisation, bad, seed 0: failed: ZeroDivisionError: division by zero; see" in err


def test_a_dry_run_leaves_nothing_behind_in_a_folder_that_is_empty(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    options = ["--set", "shop_items=200", "--set", "shop_shoppers=150", "--set", "trials=1"]
    code, out, _ = run(
        capsys, "table2", "--dry-run", "--json", "--out", tmp_path / "out", *options,
        "--set", "min_interactions=2", "--seeds", 2,
    )  # fmt: skip
    told = json.loads(out)
    assert code == 0
    assert told["cells"] == told["left"] == len(told["plan"]) > 20
    assert told["about_seconds"] > 1
    assert list((tmp_path / "out").iterdir()) == []


def test_the_module_of_experiments_is_the_same_command(tiny):
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "reproduce", "figure6", *map(str, tiny), "--dry-run"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert " cells are left: about " in done.stdout


def test_outside_a_clone_the_command_says_where_the_experiments_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mmq.cli._reproduce.CLONE", tmp_path)
    told = refused(run(capsys, "table1", "--out", tmp_path / "out"), tmp_path)
    assert "are not part of the installed package; clone the repository" in told


# --- mistakes ---


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--data", "nowhere"], "there is no catalogue at nowhere/catalogue.parquet"),
        (["--parts", "quantization"], "knows no 'quantization'; did you mean 'quantisation'?"),
        (["--parts", ""], "--parts knows no ''; choose from"),
        (["--parts", "ranking"], "neither labels nor ratings"),
        (["--set", "epochs=3"], "unknown setting 'epochs'; "),
        (["--set", "heterrec.epoch=3"], "heterrec: unknown setting 'epoch'; did you mean 'epochs'"),
        (["--set", "tokenizers.codebook=10"], "tokenizers: "),
        (["--set", "cold_share=2"], "cold_share"),
        (["--set", "tuned.MQM.epochs=2"], "tuned names a row 'MQM'"),
        (["--config", "none.toml"], "there is no settings file at none.toml"),
        (["--min", "3"], "no such option"),
        (["--seeds", "0"], "--seeds"),
        (["--item-column", "sku"], "no column 'sku'"),
        (["--own", "none.py"], "there is no file with rows at none.py"),
    ],
)
def test_mistakes_are_told_in_a_sentence(tiny, tmp_path, capsys, options, sentence):
    assert sentence in refused(run(capsys, "table1", *tiny, *options), tmp_path)


def test_a_table_that_there_is_not_is_refused(tiny, tmp_path, capsys):
    assert "table3" in refused(run(capsys, "table3", *tiny), tmp_path)


@pytest.mark.parametrize("lacking", ["catalogue.parquet", "interactions.parquet"])
def test_a_folder_that_lacks_a_file_is_refused(tiny, shop, tmp_path, capsys, lacking):
    shutil.copytree(shop, tmp_path / "data")
    (tmp_path / "data" / lacking).unlink()
    told = refused(run(capsys, "table1", *tiny, "--data", tmp_path / "data"), tmp_path)
    assert f"{tmp_path}/data/{lacking}" in told


def test_items_that_the_catalogue_lacks_are_named(tiny, shop, tmp_path, capsys):
    shutil.copytree(shop, tmp_path / "data")
    path = tmp_path / "data" / "catalogue.parquet"
    pq.write_table(pq.read_table(path).slice(3), path)
    told = refused(run(capsys, "table1", *tiny, "--data", tmp_path / "data"), tmp_path)
    assert re.search(r"item 'item-\d' is not in the catalogue", told)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ROWS = ", "own.py cannot be run: SyntaxError"),
        ("import nothing_of_this_name", "own.py cannot be run: ModuleNotFoundError"),
        ("rows = {}", "own.py should define ROWS"),
        ("ROWS = {}", "own.py should define ROWS"),
        ("ROWS = {'mine': 3}", "own.py should define ROWS"),
        ("ROWS = {'mine': lambda seed: 3}", "the row 'mine' is a int, neither"),
        ("ROWS = {'mine': lambda: 3}", "the row 'mine' cannot be made: TypeError"),
        (
            "from mmq import HeterRec\nROWS = {'mine': lambda seed: HeterRec()}",
            "the row 'mine' is a recommender that needs semantic IDs",
        ),
        (
            "from mmq import Popularity\nROWS = {'SASRec': lambda seed: Popularity()}",
            "there is a row 'SASRec' already; give yours another name",
        ),
        (
            "from mmq import RQKMeansTokenizer\nROWS = {'m': lambda seed: RQKMeansTokenizer(k=3)}",
            "unknown setting 'k'",
        ),
    ],
)
def test_rows_of_ones_own_that_are_none_are_refused(tiny, tmp_path, capsys, text, sentence):
    (tmp_path / "own.py").write_text(text)
    told = refused(run(capsys, "table1", *tiny, "--own", tmp_path / "own.py"), tmp_path)
    assert sentence in told


def test_rows_of_ones_own_that_come_twice_or_nowhere_are_refused(tiny, tmp_path, capsys):
    (tmp_path / "own.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from mmq import Popularity\n@dataclass\nclass Kept:\n    seed: int\n"
        "ROWS = {'mine': lambda seed: Popularity()}\n"
    )
    shutil.copy(tmp_path / "own.py", tmp_path / "other.py")
    own = ["--own", tmp_path / "own.py"]
    told = refused(run(capsys, "table1", *tiny, *own, "--own", tmp_path / "other.py"), tmp_path)
    assert "other.py has a row 'mine' again" in told
    told = refused(run(capsys, "figure6", *tiny, *own), tmp_path)
    assert "rows of your own stand in table1" in told


@pytest.mark.parametrize("name", ["catalogue", "interactions"])
def test_a_folder_of_other_data_is_left_alone(tiny, shop, tmp_path, capsys, name):
    out = tmp_path / "out"
    out.mkdir()
    digest = "0" * 64
    (out / "reproduction.json").write_text(json.dumps({"format": 1, name: digest}))
    code, _, err = run(capsys, "table1", *tiny, "--dry-run")
    assert code == 2
    assert err.startswith(
        f"mmq: {out} holds a reproduction made from other inputs (another {name})"
    )
    assert "or replace it with --force" in err
    assert json.loads((out / "reproduction.json").read_text())[name] == digest
    for kept, gone in (("thesis.txt", "figure4.svg"), ("notes", "cells")):
        (out / kept).write_text("mine")
        (out / gone).mkdir() if gone == "cells" else (out / gone).write_text("{}")
    only = ("--force", "--report-only")
    assert run(capsys, "table1", *tiny, *only)[0] == 0
    assert json.loads((out / "reproduction.json").read_text())[name] != digest
    assert sorted(path.name for path in out.iterdir()) == [
        "notes", "report.html", "reproduction.json", "results.json", "table1.csv", "thesis.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_folder_of_somebodys_work_is_left_alone(tiny, tmp_path, capsys, dry):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("all of it")
    code, _, err = run(capsys, "table1", *tiny, *dry)
    assert code == 2
    assert "holds other files (no reproduction.json among them)" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
