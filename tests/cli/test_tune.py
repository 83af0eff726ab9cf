import json
import re

import pytest

from children import kill_when
from mmq import SemanticIDs, write_catalogue
from mmq.cli import main
from mmq.testing import tiny_catalogue

GRADIENT = ["--set", "learning=gradient"]
SMALL = [*GRADIENT, "--set", "codebook_size=8", "--set", "latent_dim=8", "--set", "batch_size=64"]
QUICK = [*SMALL, "--set", "epochs=6", "--trials", "3", "--hold-out", "0.2"]


@pytest.fixture
def catalogue(tmp_path):
    write_catalogue(tmp_path / "catalogue.parquet", tiny_catalogue(missing=0.1))
    return tmp_path / "catalogue.parquet"


def run(capsys, *arguments):
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_tune_prints_one_json_object_and_its_choice_can_be_fitted(catalogue, tmp_path, capsys):
    code, out, err = run(capsys, "tune", catalogue, "--out", tmp_path / "tuned", *QUICK, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["tokenizer"], found["trials"], found["failed"]) == ("mmq", 3, 0)
    assert found["fits"] in (4, 5)  # three short ones, the best of them and the defaults
    code, out, _ = run(
        capsys, "fit", catalogue, "--out", tmp_path / "t", "--hold-out", 0.2, "--json",
        "--config", tmp_path / "tuned" / "best.toml",
    )  # fmt: skip
    assert code == 0
    figures = found["best"]["figures"]["fvu_codes"]
    assert json.loads(out)["fvu_codes"] == figures
    assert figures["held_out"] <= found["default"]["figures"]["fvu_codes"]["held_out"]


def test_tune_says_what_it_found(catalogue, tmp_path, capsys):
    arguments = ["tune", catalogue, "--out", tmp_path / "tuned", "--tokenizer", "rqkmeans",
                 "--fusion", "separated", "--trials", 4, "--set", "codebook_size=8"]  # fmt: skip
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    first, default, *rest = out.splitlines()
    assert re.fullmatch(rf"rqkmeans: 4 trials, 4 fits in \d+ s -> {tmp_path}/tuned", first)
    assert re.fullmatch(r"  defaults: held-out fvu_codes 0\.\d{4}", default)
    best = json.loads((tmp_path / "tuned" / "tuning.json").read_text())["best"]
    assert best["settings"]["fusion"] == "separated"
    if best["number"]:
        assert rest[0].startswith(f"  trial {best['number'] + 1}: held-out fvu_codes 0.")
        assert f"--tokenizer rqkmeans --config {tmp_path}/tuned/best.toml" in rest[1]
    else:
        assert rest == ["  no trial was better than the defaults"]


def test_a_killed_tune_goes_on_to_the_same_result(catalogue, tmp_path, capsys):
    options = [*SMALL, "--set", "epochs=9", "--trials", "4", "--hold-out", "0.2"]
    assert run(capsys, "tune", catalogue, "--out", tmp_path / "whole", *options)[0] == 0
    arguments = ["tune", str(catalogue), "--out", str(tmp_path / "killed"), *options]
    trials = tmp_path / "killed" / "trials.jsonl"
    kill_when(lambda: trials.exists() and trials.read_bytes().count(b"\n") >= 2, main, arguments)
    assert not (tmp_path / "killed" / "best.toml").exists()
    assert run(capsys, *arguments, "--resume")[0] == 0
    results = []
    for name in ("whole", "killed"):
        result = json.loads((tmp_path / name / "tuning.json").read_text())
        for fit in (result, result["best"], *result["trials"]):
            del fit["seconds"]
        del result["checksum"]
        results.append(result)
    assert results[0] == results[1]
    best = [(tmp_path / name / "best.toml").read_bytes() for name in ("whole", "killed")]
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tokenizer", "opk"], "there is no tokenizer 'opk'; did you mean 'opq'?"),
        (["--fusion", "aligned"], "--fusion is not for mmq"),
        (["--tokenizer", "opq", "--fusion", "mixed"], "not one of 'aligned', 'separated'"),
        (
            ["--tokenizer", "opq", "--fusion", "separated", "--set", "length=1"],
            "an ID of length 1 is too short for 2 separated modalities",
        ),
        (["--trials", "0"], "invalid value for '--trials'"),
        (["--hold-out", "0"], "setting 'hold_out' = 0.0 is not valid: it should lie between 0 and"),
        (["--hold-out", "1"], "setting 'hold_out' = 1.0 is not valid"),
        (
            ["--hold-out", "0.001"],
            "a hold-out of 0.001 of 200 items is 0, too few to choose",
        ),
        (["--set", "epocs=3"], "unknown setting 'epocs'; did you mean 'epochs'?"),
        (["--set", "epochs=0"], "setting 'epochs' = 0 is not valid"),
        (["--set", "codebook_size=300"], "fewer than the 300 codes"),
        (["--out", "."], "holds other files"),
        (["--out", "C"], "is a file, not a folder"),
        (["--out", "C/t"], "is a file, not a folder"),
        (["--seed", "-1"], "--seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(arguments, expected, catalogue, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    named = [re.sub("^C", str(catalogue), argument) for argument in arguments]
    small = [] if "opq" in arguments else SMALL
    code, out, err = run(capsys, "tune", catalogue, "--out", "t", "--trials", 2, *small, *named)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tuning_of_something_else_is_refused(catalogue, tmp_path, capsys):
    arguments = ["--out", tmp_path / "tuned", *QUICK]
    assert run(capsys, "tune", catalogue, *arguments)[0] == 0
    other = tmp_path / "other.parquet"
    write_catalogue(other, tiny_catalogue(seed=1))
    before = {path.name: path.read_bytes() for path in (tmp_path / "tuned").iterdir()}
    for changed, expected in (
        ([catalogue, *arguments], "holds a tuning already; go on with it by --resume"),
        ([other, *arguments], "another plan (another catalogue)"),
        ([catalogue, *arguments, "--resume", "--force"], "exclude each other"),
        ([other, *arguments, "--resume"], "another plan (another catalogue)"),
        ([catalogue, *arguments, "--resume", "--trials", 4], "holds a tuning with another plan"),
        ([catalogue, *arguments, "--resume", "--seed", 4], "holds a tuning with another plan"),
        (
            [catalogue, *arguments, "--resume", "--set", "warmup=0.1"],
            "another plan (",
        ),
    ):
        code, out, err = run(capsys, "tune", *changed)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert expected in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "tuned").iterdir()} == before
    assert run(capsys, "tune", other, *arguments, "--force")[0] == 0
    assert (tmp_path / "tuned" / "plan.json").read_bytes() != before["plan.json"]


def test_a_folder_of_something_else_is_left_alone(catalogue, tmp_path, capsys):
    ids = tmp_path / "mine" / "ids.parquet"
    ids.parent.mkdir()
    SemanticIDs.build(range(3), [[1, 2]] * 3, [4, 4]).write(ids)
    for resume in ([], ["--resume"]):
        code, _, err = run(capsys, "tune", catalogue, "--out", tmp_path / "mine", *QUICK, *resume)
        assert code == 2
        assert "holds other files" in err
    assert [path.name for path in ids.parent.iterdir()] == ["ids.parquet"]
