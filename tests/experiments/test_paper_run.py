"""A whole reproduction in seconds: what is made, kept, reported, and gone on with after a kill."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paper_shop import TINY, figures, make, request, write_shop

from experiments.paper.plan import ITEM_TOKENS, QUANTISATION, RETRIEVAL, SHUFFLED
from experiments.paper.prepare import prepare
from experiments.paper.report import write_paper
from mmq import Catalogue, read_catalogue, write_catalogue
from mmq._formats import read_json, write_tensors
from mmq.errors import DataError
from mmq.recommenders import Recommender
from mmq.settings import to_toml

EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = (EXAMPLES / "own_tokenizer.py", EXAMPLES / "own_recommender.py")
WITHOUT_RANKING = (QUANTISATION, RETRIEVAL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("data") / "shop")


WAITING = """
import time
from pathlib import Path
import numpy as np

class Waiting:
    codebook_sizes = [4, 4]

    def fit(self, items):
        while Path({path!r}).exists():
            time.sleep(0.02)

    def encode(self, items):
        return np.arange(len(items))[:, None] // [1, 4] % 4

ROWS = {{"waiting": lambda seed: Waiting()}}
"""


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A file with a row whose tokenizer waits as long as there is a file ``wait`` beside it."""
    folder = tmp_path_factory.mktemp("waiting")
    (folder / "own.py").write_text(WAITING.format(path=str(folder / "wait")))
    return folder


@pytest.fixture(scope="module")
def whole(shop, waiting, tmp_path_factory):
    """Table 1 with rows of a user's own, made by one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    wanted = request(shop, out, own=(*OWN, waiting / "own.py"))
    return wanted, *make(wanted, jobs=1)


def cell(out, name):
    return json.loads((out / "cells" / name / "cell.json").read_text())


def when(out):
    """Name of each finished cell -> when it was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("cells/*/cell.json")}


HOLD = """
import sys
from pathlib import Path
from experiments.runner import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

# --- a run ---


def test_every_cell_is_made_and_every_figure_is_there(whole):
    wanted, found, made = whole
    assert found["cells"]["failed"] == []
    assert found["cells"]["done"] == len(made) == len(set(made)) == 50
    assert found["cells"]["left"] == 0
    assert found == read_json(wanted.out / "results.json", "results")
    table = found["tables"]["table1"]
    shown = {
        (row["name"], column["key"]): figure
        for row in table["rows"]
        for column in table["columns"]
        if (figure := row["figures"][column["key"]])
    }
    assert all(math.isfinite(figure["mean"]) for figure in shown.values())
    for row in [row["name"] for row in table["rows"]][3:10]:  # the seven tokenizers
        lacking = [c["key"] for c in table["columns"] if (row, c["key"]) not in shown]
        assert lacking == ["items_moved"]
    assert ("MMQ, fine-tuned", "items_moved") in shown
    assert 0.5 < shown["MMQ", "fvu_codes held_out"]["mean"] + 0.5 < 3
    assert shown["MMQ", "recall@10"]["mean"] > 0.02


def test_a_cell_tells_what_it_was_made_of(whole):
    wanted, _, made = whole
    for name in made:
        told = cell(wanted.out, name)
        assert told["cell"] == name
        assert told["seconds"] >= 0
        assert (told["mmq"], set(told["versions"])) == ("0.1.0", {"torch", "numpy", "pyarrow"})
    told = cell(wanted.out, "retrieval, MMQ, seed 0")
    assert {name: told["settings"][name] for name in TINY["heterrec"]} == TINY["heterrec"]
    assert [epoch["epoch"] for epoch in told["log"]] == [1]
    assert (wanted.out / "cells" / told["cell"] / "model").is_dir()
    assert (wanted.out / "cells" / told["cell"] / "log.txt").is_file()
    assert list((wanted.out / "unfinished").iterdir()) == []


def test_shuffled_codes_are_those_of_other_items(whole):
    of = [
        Recommender.load(whole[0].out / "cells" / f"retrieval, MMQ, {stage}, seed 0" / "model")
        for stage in (ITEM_TOKENS, SHUFFLED)
    ]
    assert all(each.settings.item_token for each in of)
    codes, others = (each.semantic_ids.codes for each in of)
    assert (codes != others).any(1).mean() > 0.5
    assert sorted(codes.tolist()) == sorted(others.tolist())


def test_examples_are_short_and_become_rows(whole):
    wanted, found, _ = whole
    for path in OWN:
        assert len(path.read_text("utf-8").splitlines()) < 50
    rows = {row["name"]: row["figures"] for row in found["tables"]["table1"]["rows"]}
    for key in ("l_recon_codes fit", "fvu_codes held_out", "recall@10", "auc"):
        assert rows["Piece k-means"][key]["mean"] > 0
    assert rows["Piece k-means"]["fvu_codes held_out"]["mean"] < 0.5
    assert "entropy" not in {key for key, figure in rows["Neighbours"].items() if figure}
    # customers go on to what is near
    assert rows["Neighbours"]["recall@10"]["mean"] > 1.5 * rows["Popularity"]["recall@10"]["mean"]
    assert cell(wanted.out, "quantisation, Piece k-means, seed 0")["figures"]["length"] == 6


def test_a_second_run_makes_nothing(whole):
    wanted, found, _ = whole
    before = when(wanted.out)
    again, made = make(wanted)
    assert made == []
    assert {**again, "provenance": 0} == {**found, "provenance": 0}
    assert when(wanted.out) == before
    prepared = prepare(wanted)
    assert prepared.left() == []
    told = prepared.seconds(prepared.plan.cells)
    measured = [cell(wanted.out, f"ranking, {row}, seed 0")["seconds"] for row in ("MMQ", "MS-OPQ")]
    assert told["ranking, MMQ, seed 0"] == told["ranking, MS-OPQ, seed 0"]
    assert min(told.values()) >= 0
    assert told["ranking, MMQ, seed 0"] < 20 * max(measured)


def test_seeds_and_tables_are_added_to_what_is_there(whole, shop, tmp_path):
    wanted, found, _ = whole
    shutil.copytree(wanted.out, tmp_path / "out")
    before = when(tmp_path / "out")
    killed_at_its_end = tmp_path / "out" / "unfinished" / "quantisation, MMQ, seed 0"
    torn = tmp_path / "out" / "cells" / ".quantisation, MMQ, seed 1.123.tmp"
    for left in (killed_at_its_end, torn):
        left.mkdir()
    more = request(
        shop, tmp_path / "out", artefacts=("table1", "figure5"), seeds=2, parts=(QUANTISATION,)
    )
    again, made = make(more)
    assert again["cells"]["failed"] == []
    assert not killed_at_its_end.exists()
    assert not torn.exists()
    assert not set(made) & set(before)
    assert sum(name.endswith("seed 1") for name in made) == 8 + 4
    assert sum(name.endswith("codes, seed 0") for name in made) == 4
    after = when(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    both, one = (
        {row["name"]: row["figures"]["entropy"] for row in each["tables"]["table1"]["rows"]}
        for each in (again, found)
    )
    assert both["MMQ"]["values"][0] == one["MMQ"]["values"][0]
    assert len(both["MMQ"]["values"]) == 2
    assert both["MMQ"]["sd"] > 0
    assert both["MMQ"]["values"][0] != both["MMQ"]["values"][1]
    recall, auc = (
        {row["name"]: row["figures"][key] for row in again["tables"]["table1"]["rows"]}
        for key in ("recall@10", "auc")
    )
    assert len(recall["MMQ"]["values"]) == len(auc["MMQ"]["values"]) == 1, "of the run before"


def test_the_report_keeps_what_was_made_before(whole, shop, tmp_path):
    wanted, found, _ = whole
    shutil.copytree(wanted.out, tmp_path / "out")
    more = request(shop, tmp_path / "out", artefacts=("figure5",), parts=(QUANTISATION,))
    assert prepare(more).shown.artefacts == ("table1", "figure5")
    again, made = make(more)
    assert sorted(made) == [f"quantisation, MMQ, {n} codes, seed 0" for n in (12, 15, 18, 9)]
    ours = [row for row in again["tables"]["table1"]["rows"] if row["name"] == "MMQ"]
    assert ours == [row for row in found["tables"]["table1"]["rows"] if row["name"] == "MMQ"]
    assert again["figures"]["figure5"]["panels"][0]["title"] == "L_recon"
    assert again["cells"]["left"] == 2 * len(made), "retrieval and ranking were not asked for yet"


def test_two_runs_in_one_folder_do_not_get_in_each_others_way(whole):
    wanted, _, _ = whole
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(wanted.out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert held.stdout.readline() == b"held\n"
    with pytest.raises(DataError, match="another process is making cells"):
        make(wanted)
    held.communicate()
    assert make(wanted)[1] == []


def test_what_another_version_began_is_begun_anew(whole, shop, tmp_path):
    wanted, _, _ = whole
    shutil.copytree(wanted.out, tmp_path / "out")
    name = "retrieval, SASRec, seed 0"
    shutil.rmtree(tmp_path / "out" / "cells" / name)
    begun = tmp_path / "out" / "unfinished" / name / "recommender"
    begun.parent.mkdir()
    write_tensors(begun, {"network.x": np.zeros(1)}, {"fingerprint": "of another version"})
    found, made = make(request(shop, tmp_path / "out"))
    assert (made, found["cells"]["failed"]) == ([name], [])
    assert cell(tmp_path / "out", name)["figures"] == cell(wanted.out, name)["figures"]


def test_a_search_finds_the_settings_of_all_rows_that_share_it(shop, tmp_path):
    changes = {"artefacts": ("figure5",), "parts": (QUANTISATION,)}
    found, made = make(request(shop, tmp_path / "out", settings={"trials": 2}, **changes))
    assert found["cells"]["failed"] == []
    assert (made[0], len(made)) == ("tuning, MMQ, seed 0", 1 + 5)
    chosen = cell(tmp_path / "out", made[0])["settings"]
    fixed = {"seed", "shared_experts", "specific_experts"}  # what makes it a row and a seed
    assert len(chosen.keys() - fixed) > 2
    for name in made[1:]:
        settings = cell(tmp_path / "out", name)["settings"]
        for key in chosen.keys() - fixed:
            assert settings[key] == chosen[key]
    known = {"trials": 2, "tuned": {"MMQ": {"learning_rate": 0.005}}}
    plan = prepare(request(shop, tmp_path / "known", settings=known, **changes)).plan
    assert len(plan.cells) == 5  # what is known is not searched again


# --- failures ---

BROKEN = """
import os
import numpy as np
from mmq.errors import DataError

class Odd:
    codebook_sizes = [4, 4]

    def __init__(self, how):
        self.how = how

    def fit(self, items):
        print("fitting")
        if self.how == "raises":
            raise RuntimeError("out of luck")
        if self.how == "refuses":
            raise DataError("too few items; give more")
        if self.how == "dies":
            os._exit(3)

    def encode(self, items):
        return np.arange(len(items))[:, None] // [1, 4] % 4

ROWS = {how: lambda seed, how=how: Odd(how) for how in ("raises", "refuses", "dies", "works")}
"""


def test_what_fails_is_reported_and_gone_past_and_made_once_it_is_mended(shop, tmp_path):
    own = tmp_path / "own.py"
    own.write_text(BROKEN)
    wanted = request(shop, tmp_path / "out", parts=WITHOUT_RANKING, own=(own,))
    found, made = make(wanted)
    failed = {each["cell"]: each["error"] for each in found["cells"]["failed"]}
    bad = ("raises", "refuses", "dies")
    assert set(failed) == {f"{part}, {how}, seed 0" for how in bad for part in WITHOUT_RANKING}
    log = tmp_path / "out" / "unfinished" / "quantisation, raises, seed 0" / "log.txt"
    assert failed["quantisation, raises, seed 0"] == f"RuntimeError: out of luck; see {log}"
    assert log.read_text().startswith("fitting\nTraceback")
    assert failed["quantisation, refuses, seed 0"] == "too few items; give more"
    assert failed["quantisation, dies, seed 0"].startswith("its process ended with code 3;")
    for how in bad:
        needed = f"it needs the cell 'quantisation, {how}, seed 0', which failed"
        assert failed[f"retrieval, {how}, seed 0"] == needed
    assert len(made) == found["cells"]["done"] + len(failed)
    assert {path.name for path in (tmp_path / "out" / "cells").iterdir()} == set(made) - set(failed)
    rows = {row["name"]: row["figures"] for row in found["tables"]["table1"]["rows"]}
    assert rows["works"]["recall@10"]["values"]
    assert not any(rows["dies"].values())
    page = write_paper(found, tmp_path / "out").read_text("utf-8")
    assert "out of luck" in page

    own.write_text(BROKEN.replace("if self.how ==", "if self.how == 0 =="))
    found, made = make(wanted)
    assert sorted(made) == sorted(failed)
    assert found["cells"]["failed"] == []
    assert not any((tmp_path / "out" / "unfinished").iterdir())


# --- kills ---


def killed(arguments, ready):
    """Run the command and ``kill -9`` it when it is ready; the ids of its workers."""
    child = subprocess.Popen([sys.executable, "-m", "mmq", *map(str, arguments)])
    deadline = time.monotonic() + 90
    while not ready():
        assert child.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    return workers


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_command_goes_on_to_the_same_tables(whole, shop, waiting, tmp_path):
    wanted, _, made = whole
    wait, config, out = waiting / "wait", tmp_path / "tiny.toml", tmp_path / "out"
    config.write_text(to_toml(TINY))
    arguments = ["reproduce", "table1", "--data", shop, "--out", out, "--seeds", 1]
    arguments += ["--config", config, "--jobs", 2, "--device", "cpu", "--json"]
    arguments += [each for path in wanted.own for each in ("--own", path)]
    killed(arguments, lambda: len(when(out)) >= 5)
    early = when(out)
    assert len(early) < len(made) / 2
    wait.touch()
    stuck = out / "unfinished" / "quantisation, waiting, seed 0" / "log.txt"
    workers = killed(arguments, stuck.exists)
    deadline = time.monotonic() + 10
    while any(map(alive, workers)):  # one that lived on would write beside the next run
        assert time.monotonic() < deadline, "a worker outlived its command"
        time.sleep(0.02)
    before = when(out)
    assert early.items() <= before.items()
    assert "quantisation, waiting, seed 0" not in before
    assert not (out / "results.json").exists()
    wait.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "mmq", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert before.items() <= when(out).items()
    assert not any(out.glob("cells/.*"))
    assert not any((out / "unfinished").iterdir())
    assert figures(out) == figures(wanted.out)  # which one process made, and nobody killed


# --- data ---

GENERATED = {"shop_items": 200, "shop_shoppers": 150, "min_interactions": 2}


def test_a_shop_that_was_not_generated_to_the_end_is_generated_again(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    wanted = request(None, tmp_path / "out", settings=GENERATED)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[prepare.__module__], "write_interactions", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(wanted)
    assert sorted(path.name for path in wanted.out.iterdir()) == ["data", "reproduction.json"]
    prepared = prepare(wanted)
    assert (prepared.about["name"], prepared.about["items"]) == ("toyshop", 200)
    assert len(prepared.left()) == len(prepared.plan.cells) > 30
    with pytest.raises(DataError, match="a reproduction made from other inputs"):
        prepare(request(None, tmp_path / "out", settings={**GENERATED, "cold_share": 0.2}))


def test_a_log_that_does_not_suffice_leaves_no_folder_behind(shop, tmp_path):
    for data in (shop, None):
        settings = {**GENERATED, "min_interactions": 5000}
        with pytest.raises(DataError, match=r"no interactions are left of .* above 3 with 5000"):
            prepare(request(data, tmp_path / "out", settings=settings))
        assert not (tmp_path / "out").exists()


def test_a_log_whose_ratings_are_broken_is_refused(tmp_path):
    shop = write_shop(tmp_path / "shop")
    log = pq.read_table(shop / "interactions.parquet")
    ratings = log.column("rating").to_pylist()
    ratings[5] = None
    place = log.column_names.index("rating")
    broken = log.set_column(place, "rating", pa.array(ratings, log.column("rating").type))
    pq.write_table(broken, shop / "interactions.parquet")
    with pytest.raises(DataError, match="row 5 has no rating"):
        prepare(request(shop, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_behaviour_that_the_catalogue_brings_is_refused(tmp_path):
    shop = write_shop(tmp_path / "shop")
    items = read_catalogue(shop / "catalogue.parquet")
    more = {**items.embeddings, "behaviour": np.ones((len(items), 3), np.float32)}
    write_catalogue(shop / "catalogue.parquet", Catalogue.build(items.item_ids, more))
    with pytest.raises(DataError, match="has a modality 'behaviour'"):
        prepare(request(shop, tmp_path / "out"))


def test_a_log_without_ratings_is_not_ranked(tmp_path):
    shop = write_shop(tmp_path / "shop", ratings=False)
    prepared = prepare(request(shop, tmp_path / "out"))
    assert {cell.part for cell in prepared.plan.cells} == set(WITHOUT_RANKING)
    assert prepared.about["ranking_rows"] is None
