import dataclasses
import json
import re
import resource
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from children import kill_when, print_to, start
from mmq import Catalogue, MMQTokenizer, SemanticIDs, read_catalogue, write_catalogue
from mmq.cli import main
from mmq.data import Reduction
from mmq.testing import tiny_catalogue
from mmq.training import _loop as loop
from tests.rewritten import replace_in_json

GRADIENT = ["--set", "learning=gradient"]
SMALL = [*GRADIENT, "--set", "codebook_size=16", "--set", "latent_dim=8", "--set", "batch_size=64"]


def shop(items, seed=0, first=0):
    rng = np.random.default_rng(seed)
    return Catalogue.build(
        np.arange(first, first + items),
        {"text": rng.normal(size=(items, 12)), "image": rng.normal(size=(items, 8))},
    )


@pytest.fixture
def catalogue(tmp_path):
    write_catalogue(tmp_path / "catalogue.parquet", shop(400))
    return tmp_path / "catalogue.parquet"


@pytest.fixture
def tokenizer(catalogue, tmp_path):
    folder = tmp_path / "tokenizer"
    assert main(["fit", str(catalogue), "--out", str(folder), *SMALL, "--set", "epochs=2"]) == 0
    return folder


def run(capsys, *arguments):
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_fit_prints_one_json_object(catalogue, tmp_path, capsys):
    code, out, _ = run(
        capsys, "fit", catalogue, "--out", tmp_path / "t", "--hold-out", 0.1, "--json",
        *SMALL, "--set", "epochs=2", "--seed", 3,
    )  # fmt: skip
    figures = json.loads(out)
    assert code == 0
    assert set(figures["fvu"]) == {"fit", "held_out"}
    assert {"l_recon", "entropy", "utilisation", "seconds", "items_per_second"} <= set(figures)
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    assert config["settings"]["seed"] == 3
    assert config["figures"]["l_recon"] == figures["l_recon"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("more", "fitted"), [([], 2048), (["--sample", 100], 100)])
def test_a_large_catalogue_is_fitted_by_a_sample_that_says_so(tmp_path, capsys, more, fitted):
    write_catalogue(tmp_path / "catalogue" / "a.parquet", shop(2000))
    write_catalogue(tmp_path / "catalogue" / "b.parquet", shop(1000, first=2000))
    arguments = ["fit", tmp_path / "catalogue", "--tokenizer", "rqkmeans", "--hold-out", 0.1]
    arguments += ["--set", "codebook_size=2", "--out", tmp_path / "t", *more]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert f"fitted on {fitted:,} of 3,000 items" in out
    items = json.loads((tmp_path / "t" / "config.json").read_text())["figures"]["items"]
    assert items == {"fit": fitted, "held_out": int(fitted / 0.9) - fitted, "catalogue": 3000}
    assert "| items, catalogue | 3000 |" in (tmp_path / "t" / "README.md").read_text()


def test_a_small_catalogue_is_fitted_whole(catalogue, tmp_path, capsys):
    _, out, _ = run(capsys, "fit", catalogue, "--out", tmp_path / "t", *SMALL, "--json")
    assert json.loads(out)["items"] == {"fit": 400}


def test_settings_from_a_file_yield_to_the_command_line(catalogue, tmp_path):
    (tmp_path / "s.toml").write_text(
        'learning = "gradient"\nepochs = 1\ncodebook_size = 16\nlatent_dim = 4\n'
    )
    arguments = ["fit", str(catalogue), "--out", str(tmp_path / "t")]
    assert main([*arguments, "--config", str(tmp_path / "s.toml"), "--set", "latent_dim=6"]) == 0
    settings = json.loads((tmp_path / "t" / "config.json").read_text())["settings"]
    assert (settings["codebook_size"], settings["latent_dim"]) == (16, 6)


BASELINES = [(kind, fusion) for kind in ("rqvae", "rqkmeans", "opq")
             for fusion in ("aligned", "separated")]  # fmt: skip


@pytest.mark.parametrize(("kind", "fusion"), BASELINES)
def test_every_kind_is_fitted_encoded_and_inspected(kind, fusion, tmp_path, capsys):
    path, folder = tmp_path / "catalogue.parquet", tmp_path / "t"
    write_catalogue(path, tiny_catalogue(300, missing=0.3))
    options = ["--set", "codebook_size=12", "--set", "length=4", "--hold-out", 0.1]
    options += ["--set", "epochs=60"] if kind == "rqvae" else []
    code, out, _ = run(
        capsys, "fit", path, "--out", folder, "--tokenizer", kind, "--fusion", fusion, *options
    )
    assert code == 0
    assert out.startswith(f"{kind} tokenizer of 4 codes -> {folder}")
    assert ("epochs" in out) == (kind == "rqvae")
    config = json.loads((folder / "config.json").read_text())
    assert (config["tokenizer"], config["settings"]["fusion"]) == (kind, fusion)
    code, out, _ = run(
        capsys, "encode", path, "--tokenizer", folder, "--out", tmp_path / "ids.parquet",
        "--collisions", "move", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["moved"] > 0
    ids = SemanticIDs.read(tmp_path / "ids.parquet")
    assert ids.manifest["tokenizer"]["name"] == kind
    assert ids.manifest["ordered"] == (fusion == "aligned" and kind != "opq")
    assert len(np.unique(ids.codes, axis=0)) == 300
    code, out, _ = run(
        capsys, "inspect", tmp_path / "ids.parquet", "--catalogue", path, "--tokenizer", folder,
        "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert code == 0
    assert out.startswith("good: ")
    report = (tmp_path / "report.html").read_text()
    sentence = "All codes see all modalities" if fusion == "aligned" else "Each code sees one mod"
    assert sentence in report
    assert ("refines those before it" in report) == ids.manifest["ordered"]
    ranked = tmp_path / "ranked.parquet"  # here all that lack an image still share its codes
    assert run(capsys, "encode", path, "--tokenizer", folder, "--out", ranked)[0] == 0
    code, out, _ = run(capsys, "inspect", ranked, "--catalogue", path, "--tokenizer", folder)
    assert code == 0
    assert ("have no image and are left out" in out) == (fusion == "separated")


def test_without_an_option_the_default_fusion_of_the_settings_holds(catalogue, tmp_path, capsys):
    arguments = ["fit", catalogue, "--out", tmp_path / "t", "--tokenizer", "opq"]
    assert run(capsys, *arguments, "--set", "codebook_size=8", "--set", "fusion=separated")[0] == 0
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    assert config["settings"]["fusion"] == "separated"


def test_encode_gives_every_item_an_id(catalogue, tokenizer, tmp_path, capsys):
    out = tmp_path / "ids.parquet"
    code, printed, _ = run(
        capsys, "encode", catalogue, "--tokenizer", tokenizer, "--out", out, "--json"
    )
    assert code == 0
    assert json.loads(printed)["items"] == 400
    ids = SemanticIDs.read(out)
    assert ids.item_ids.to_pylist() == list(range(400))
    assert ids.manifest["tokenizer"]["name"] == "mmq"
    assert ids.manifest["catalogue"]["items"] == 400
    assert not list(tmp_path.glob(".*"))


def test_move_leaves_fewer_collisions(tokenizer, tmp_path):
    twins = shop(20, seed=5)
    twins = Catalogue.build(
        range(60), {m: np.repeat(matrix, 3, axis=0) for m, matrix in twins.embeddings.items()}
    )
    path = tmp_path / "twins.parquet"
    write_catalogue(path, twins)
    arguments = ["encode", str(path), "--tokenizer", str(tokenizer), "--out"]
    assert main([*arguments, str(tmp_path / "rank.parquet")]) == 0
    assert main([*arguments, str(tmp_path / "move.parquet"), "--collisions", "move"]) == 0
    ranked = SemanticIDs.read(tmp_path / "rank.parquet")
    moved = SemanticIDs.read(tmp_path / "move.parquet")
    assert len(np.unique(ranked.codes, axis=0)) <= 20
    assert len(np.unique(moved.codes, axis=0)) == 60
    first = ranked.rank == 0
    assert np.array_equal(moved.codes[first], ranked.codes[first])


def test_append_moves_no_old_row(catalogue, tokenizer, tmp_path):
    old, new, both = (tmp_path / f"{name}.parquet" for name in ("old", "new", "both"))
    assert main(["encode", str(catalogue), "--tokenizer", str(tokenizer), "--out", str(old)]) == 0
    write_catalogue(new, shop(300, seed=9, first=350))
    assert (
        main(["encode", str(new), "--tokenizer", str(tokenizer), "--append", str(old),
              "--out", str(both)]) == 0
    )  # fmt: skip
    before, after = SemanticIDs.read(old), SemanticIDs.read(both)
    assert len(after) == 650
    assert np.array_equal(after.codes[:400], before.codes)
    assert np.array_equal(after.rank[:400], before.rank)
    pairs = np.column_stack([after.codes, after.rank])
    assert len(np.unique(pairs, axis=0)) == 650


def test_append_with_another_tokenizer(catalogue, tokenizer, tmp_path, capsys):
    old = tmp_path / "old.parquet"
    assert main(["encode", str(catalogue), "--tokenizer", str(tokenizer), "--out", str(old)]) == 0
    assert main(["fit", str(catalogue), "--out", str(tmp_path / "other"), *SMALL,
                 "--set", "epochs=1"]) == 0  # fmt: skip
    code, _, err = run(
        capsys, "encode", catalogue, "--tokenizer", tmp_path / "other", "--append", old,
        "--out", tmp_path / "both.parquet",
    )  # fmt: skip
    assert code == 2
    assert "mix two code spaces" in err
    assert not (tmp_path / "both.parquet").exists()


def test_embeddings_of_another_reduction_are_refused(tmp_path, capsys):
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(200, 20))
    for name, rows in (("a", wide), ("b", wide[:100])):
        pca = Reduction.fit(rows, 8)
        made = {"text": pca.apply(wide)}
        small = Catalogue.build(np.arange(200), made, reductions={"text": pca})
        write_catalogue(tmp_path / f"{name}.parquet", small)
    assert main(["fit", str(tmp_path / "a.parquet"), "--out", str(tmp_path / "t"), *SMALL,
                 "--set", "epochs=1"]) == 0  # fmt: skip
    code, _, err = run(
        capsys, "encode", tmp_path / "b.parquet", "--tokenizer", tmp_path / "t",
        "--out", tmp_path / "ids.parquet",
    )  # fmt: skip
    assert code == 2
    assert "--reduce-like" in err


# --- what stands there already ---


def test_a_tokenizer_of_another_catalogue_or_settings_is_kept(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_catalogue(tmp_path / f"{name}.parquet", shop(60, seed=seed))
    fit = ["--out", tmp_path / "t", *SMALL, "--set", "epochs=1"]
    assert run(capsys, "fit", tmp_path / "a.parquet", *fit)[0] == 0
    kept = files(tmp_path / "t")
    for more, expected in (
        ([tmp_path / "b.parquet", *fit], "(catalogue a.parquet, not b.parquet); choose another"),
        ([tmp_path / "a.parquet", *fit, "--seed", 4], "(seed 0, not 4); choose another --out"),
        ([tmp_path / "a.parquet", *fit, "--hold-out", 0.1], "(hold-out 0.0, not 0.1); choose"),
    ):
        code, _, err = run(capsys, "fit", *more)
        assert code == 2
        assert f"{tmp_path / 't'} holds a tokenizer made from other inputs {expected}" in err
        assert files(tmp_path / "t") == kept
    assert run(capsys, "fit", tmp_path / "a.parquet", *fit)[0] == 0  # the same again
    assert files(tmp_path / "t") == kept
    assert run(capsys, "fit", tmp_path / "b.parquet", *fit, "--force")[0] == 0
    assert files(tmp_path / "t") != kept


def test_an_id_table_of_other_inputs_is_kept(catalogue, tokenizer, tmp_path, capsys):
    out = tmp_path / "ids.parquet"
    words = ["--tokenizer", tokenizer, "--out", out]
    assert run(capsys, "encode", catalogue, *words)[0] == 0
    kept = out.read_bytes()
    write_catalogue(tmp_path / "next.parquet", shop(450))
    code, _, err = run(capsys, "encode", tmp_path / "next.parquet", *words)
    assert code == 2
    assert f"{out} holds an ID table made from other inputs (catalogue " in err
    assert "of 400 items, not " in err
    code, _, err = run(capsys, "encode", catalogue, *words, "--collisions", "move")
    assert code == 2
    assert "(collisions rank, not move); choose another --out, or replace it with --force" in err
    assert out.read_bytes() == kept
    assert run(capsys, "encode", catalogue, *words)[0] == 0  # the same again
    assert out.read_bytes() == kept
    # a table goes on in its own place: no old row is lost
    assert run(capsys, "encode", tmp_path / "next.parquet", *words, "--append", out)[0] == 0
    assert len(SemanticIDs.read(out)) == 450
    assert run(capsys, "encode", catalogue, *words, "--force")[0] == 0
    assert out.read_bytes() == kept


def test_a_file_of_somebody_is_no_id_table_to_be_replaced(catalogue, tokenizer, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    words = ["--tokenizer", tokenizer, "--out", tmp_path / "notes.txt"]
    code, _, err = run(capsys, "encode", catalogue, *words)
    assert code == 2
    assert "notes.txt holds a file that does not say what it was made from; choose another" in err
    assert (tmp_path / "notes.txt").read_text() == "mine"


# --- kill -9, then --resume ---


def slowly(arguments):
    """The command line, whose fits store every epoch and which pauses before it encodes."""
    loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    plain = MMQTokenizer.encode

    def slow(self, catalogue):
        time.sleep(0.2)
        return plain(self, catalogue)

    MMQTokenizer.encode = slow
    return main(arguments)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("codebook", ["index", "ema"])
def test_fit_resumed_after_a_kill_is_the_same_to_the_byte(codebook, catalogue, tmp_path):
    options = [*SMALL, "--set", "epochs=60", "--set", f"codebook={codebook}", "--hold-out", "0.1"]
    assert main(["fit", str(catalogue), "--out", str(tmp_path / "whole"), *options]) == 0
    arguments = ["fit", str(catalogue), "--out", str(tmp_path / "killed"), *options]
    checkpoint = tmp_path / ".killed.checkpoint.safetensors"
    kill_when(checkpoint.exists, slowly, arguments)
    assert not (tmp_path / "killed").exists()
    assert main([*arguments, "--resume"]) == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert not checkpoint.exists()


def test_encode_resumed_after_a_kill_is_the_same_to_the_byte(tokenizer, tmp_path):
    path = tmp_path / "large.parquet"
    write_catalogue(path, shop(30_000, seed=2))
    arguments = ["encode", str(path), "--tokenizer", str(tokenizer), "--out"]
    assert main([*arguments, str(tmp_path / "whole.parquet")]) == 0
    partial = tmp_path / ".killed.parquet.partial" / "codes.bin"
    kill_when(
        lambda: partial.exists() and partial.stat().st_size > 0,
        slowly,
        [*arguments, str(tmp_path / "killed.parquet")],
    )
    assert not (tmp_path / "killed.parquet").exists()
    with partial.open("ab") as file:
        file.write(b"torn")  # a write cut in the middle
    assert main([*arguments, str(tmp_path / "killed.parquet"), "--resume"]) == 0
    whole = (tmp_path / "whole.parquet").read_bytes()
    assert (tmp_path / "killed.parquet").read_bytes() == whole
    assert not partial.exists()


def test_resume_refuses_other_data_and_other_settings(catalogue, tokenizer, tmp_path, capsys):
    arguments = ["fit", str(catalogue), "--out", str(tmp_path / "t"), *SMALL, "--set", "epochs=60"]
    kill_when((tmp_path / ".t.checkpoint.safetensors").exists, slowly, arguments)
    code, _, err = run(capsys, *arguments, "--set", "temperature=0.2", "--resume")
    assert code == 2
    assert "other settings" in err
    (tmp_path / ".ids.parquet.partial").mkdir()
    note = tmp_path / ".ids.parquet.partial" / "made_from.json"
    note.write_text('{"tokenizer": "x", "catalogue": "y"}')
    code, _, err = run(
        capsys, "encode", catalogue, "--tokenizer", tokenizer,
        "--out", tmp_path / "ids.parquet", "--resume",
    )  # fmt: skip
    assert code == 2
    assert (
        "unfinished work on other data or other settings (another tokenizer, another catalogue"
        in err
    )


# --- bad input: one sentence, exit 2, nothing written ---


def broken(name, tmp_path):
    """A catalogue with one thing wrong; the words its message must hold."""
    path = tmp_path / "bad.parquet"
    good = shop(50)
    table = {
        "item_id": good.item_ids,
        **{
            m: pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])
            for m, x in good.embeddings.items()
        },
    }
    matrix = good.embeddings["text"].copy()
    expected = {}
    if name in {"nan", "inf", "zero"}:
        matrix[7] = {"nan": np.nan, "inf": np.inf, "zero": 0.0}[name]
        matrix[7, 1:] = matrix[7, 1:] if name == "zero" else 1.0
        table["text"] = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), 12)
        expected = "zero vector" if name == "zero" else "holds NaN or infinity"
    elif name == "duplicate":
        table["item_id"], expected = pa.array([1, *range(1, 50)]), "item id 1 occurs 2 times"
    elif name == "null id":
        table["item_id"], expected = pa.array([None, *range(1, 50)]), "row 0 has no item id"
    elif name == "no ids":
        del table["item_id"]
        expected = "no column item_id"
    elif name == "no modality":
        table, expected = {"item_id": good.item_ids}, "no embedding column"
    elif name == "empty":
        table, expected = {k: v[:0] for k, v in table.items()}, "the catalogue is empty"
    elif name == "few":
        table, expected = {k: v[:9] for k, v in table.items()}, "fewer than the 16 codes"
    pq.write_table(pa.table(table), path)
    if name == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
        expected = "not a whole Parquet file"
    return path, expected


ONE_CODE = ["--set", "length=1", "--set", "codebook_size=8"]

FAULTS = ["nan", "inf", "zero", "duplicate", "null id", "no ids", "no modality", "empty", "few",
          "truncated"]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_catalogue(fault, tmp_path, capsys):
    path, expected = broken(fault, tmp_path)
    code, out, err = run(capsys, "fit", path, "--out", tmp_path / "t", *SMALL, "--json")
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.parquet"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fit", "nothing.parquet", "--out", "t"], "there is no catalogue at nothing.parquet"),
        (["fit", "C", "--out", "t", "--set", "codebok_size=3"], "did you mean 'codebook_size'"),
        (["fit", "C", "--out", "t", "--tokenizer", "rqvea"], "did you mean 'rqvae'?"),
        (["fit", "C", "--out", "t", "--fusion", "mixed"], "not one of 'aligned', 'separated'"),
        (["fit", "C", "--out", "t", "--fusion", "aligned"], "--fusion is not for mmq"),
        (
            ["fit", "C", "--out", "t", "--tokenizer", "opq", "--set", "rotation=3"],
            "unknown setting 'rotation'; did you mean 'rotations'?",
        ),
        (
            ["fit", "C", "--out", "t", "--tokenizer", "opq", "--set", "latent_dim=3"],
            "unknown setting 'latent_dim'",
        ),
        (
            ["fit", "C", "--out", "t", "--tokenizer", "opq", "--fusion", "separated", *ONE_CODE],
            "an ID of length 1 is too short for 2 separated modalities",
        ),
        (["fit", "C", "--out", "t", "--set", "device=cpu"], "unknown setting 'device'"),
        (["fit", "C", "--out", "t", "--set", "epochs"], "should read key=value"),
        (["fit", "C", "--out", "t", "--set", "epochs=0"], "setting 'epochs' = 0 is not valid"),
        (["fit", "C", "--out", "t", "--set", "epochs=abc"], "should be a valid integer"),
        (["fit", "C", "--out", "t", "--set", "learning_rate=inf"], "should be a finite number"),
        (["fit", "C", "--out", "t", "--seed", "-1"], "--seed"),
        (["fit", "C", "--out", "t", "--seed", str(2**63)], "seed"),
        (["fit", "C", "--out", "t", "--device", "gpu"], "not one of 'auto', 'cpu', 'cuda'"),
        (["fit", "C", "--out", "t", "--config", "no.toml"], "no settings file"),
        (["fit", "C", "--out", "t", "--config", "."], "no settings file"),
        (["fit", "C", "--out", "C/t"], "is a file, not a folder"),
        (["fit", "C", "--out", "x" * 300], "File name too long"),
        (["fit", "none/*.parquet", "--out", "t"], "no file matches none/*.parquet"),
        (["encode", "C", "--tokenizer", "none", "--out", "."], "should end in a name of its own"),
        (["encode", "C", "--tokenizer", "none", "--out", "C"], "would be lost"),
        (["encode", "C", "--tokenizer", "none", "--out", "C/i"], "is a file, not a folder"),
        (["fit", "C", "--out", "C"], "is a file, not a folder"),
        (["fit", "C", "--out", "."], "holds other files"),
        (["fit", "C", "--out", "t", "--hold-out", "2"], "hold-out"),
        (["encode", "C", "--tokenizer", "none", "--out", "i"], "there is no tokenizer"),
        (["encode", "C", "--tokenizer", ".", "--out", "i"], "there is no tokenizer"),
        (["fit", "C"], "--out"),
        (["fitt"], "fitt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(arguments, expected, catalogue, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    named = [re.sub("^C", str(catalogue), argument) for argument in arguments]
    code, out, err = run(capsys, *named)
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_when_the_tokenizer_is_saved_keeps_the_training(
    catalogue, tmp_path, capsys, monkeypatch
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    arguments = ["fit", catalogue, "--out", tmp_path / "t", *SMALL, "--set", "epochs=3"]
    with monkeypatch.context() as patch:
        patch.setattr("mmq._model_folder.write_tensors", full)
        code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "the disk is full" in err
    assert not (tmp_path / "t").exists()
    monkeypatch.setattr("mmq.training._loop.Training.run_epoch", full)  # none is to be run again
    code, out, _ = run(capsys, *arguments, "--resume", "--json")
    assert code == 0
    assert json.loads(out)["epochs"] == 3


@pytest.mark.parametrize("fault", ["nan", "inf", "zero"])
def test_bad_embedding_met_while_encoding(fault, tokenizer, tmp_path, capsys):
    """The catalogue has to be mended, so that nothing done so far is of use."""
    path, expected = broken(fault, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, _, err = run(
        capsys, "encode", path, "--tokenizer", tokenizer, "--out", tmp_path / "i.parquet"
    )
    assert code == 2
    assert expected in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("config.json", '"format": 2', '"format": 3', "has format 3, this mmq reads up to 2"),
        ("config.json", '"mmq",', '"mqm",', "did you mean 'mmq'?"),
        (
            "config.json",
            '"text": 12',
            '"text": "12"',
            "('modalities.text' is not as mmq writes it)",
        ),
        (
            "config.json",
            '"reductions": {}',
            '"reductions": []',
            "('reductions' is not as mmq writes it)",
        ),
        ("config.json", '"codebook_size": 16', '"codebook_size": 17', "config.json asks for"),
        ("config.json", '"codebook_size"', '"codebok_size"', "did you mean 'codebook_size'?"),
        ("config.json", "}", "", "is not valid JSON"),
        ("model.safetensors", None, None, "it is truncated or damaged"),
    ],
)
def test_bad_tokenizer(name, old, new, expected, catalogue, tokenizer, tmp_path, capsys):
    file = tokenizer / name
    if old is None:
        file.write_bytes(file.read_bytes()[:-100])
    else:
        replace_in_json(file, old, new)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(
        capsys, "encode", catalogue, "--tokenizer", tokenizer, "--out", tmp_path / "i", "--json"
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert sorted(tmp_path.rglob("*")) == before


def test_append_is_refused_before_anything_is_encoded(catalogue, tokenizer, tmp_path, capsys):
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    assert main(["encode", str(catalogue), "--tokenizer", str(tokenizer), "--out", str(old)]) == 0
    some = shop(20)
    write_catalogue(new, Catalogue.build([f"s{i}" for i in range(20)], some.embeddings))
    before = sorted(tmp_path.rglob("*"))
    for table, expected in ((old, "ids are string, those of the old table int64"),
                            (catalogue, "no semantic ID table")):  # fmt: skip
        code, _, err = run(
            capsys, "encode", new, "--tokenizer", tokenizer, "--append", table,
            "--out", tmp_path / "both.parquet",
        )  # fmt: skip
        assert code == 2
        assert expected in err
        assert sorted(tmp_path.rglob("*")) == before


def on_a_small_disk(arguments, out):
    """The command line, where no file can be larger than a disk that is about to be full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    return print_to(arguments, out)


def test_a_disk_that_ends_inside_a_batch(catalogue, tokenizer, tmp_path):
    """The system writes what fits and says how much; what did not fit must not be forgotten."""
    arguments = ["encode", catalogue, "--tokenizer", tokenizer, "--out", tmp_path / "ids.parquet"]
    child = start(on_a_small_disk, arguments, tmp_path / "printed.txt")
    child.join()
    printed = (tmp_path / "printed.err").read_text()
    assert child.exitcode == 2
    assert f"cannot write {tmp_path / 'ids.parquet'}: File too large" in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "ids.parquet").exists()
    assert main([*map(str, arguments), "--resume"]) == 0
    assert len(SemanticIDs.read(tmp_path / "ids.parquet")) == 400


def test_full_disk(catalogue, tokenizer, tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmq.semantic_ids._table_file.pq.write_table", full)
    code, _, err = run(
        capsys, "encode", catalogue, "--tokenizer", tokenizer, "--out", tmp_path / "ids.parquet"
    )
    assert code == 2
    assert "the disk is full" in err
    assert not (tmp_path / "ids.parquet").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_tokenizer_fitted_in_python_encodes_a_catalogue_after_the_same_pca(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(60, 8))
    pca = Reduction.fit(rows, 4)
    items = Catalogue.build(range(60), {"text": pca.apply(rows)})
    write_catalogue(tmp_path / "c.parquet", dataclasses.replace(items, reductions={"text": pca}))
    tokenizer = MMQTokenizer(codebook_size=8)
    tokenizer.fit(read_catalogue(tmp_path / "c.parquet"))
    tokenizer.save(tmp_path / "t")
    files = (tmp_path / "c.parquet", "--tokenizer", tmp_path / "t", "--out", tmp_path / "ids")
    code, _, _ = run(capsys, "encode", *files)
    assert code == 0
    write_catalogue(tmp_path / "c.parquet", items)
    code, _, error = run(capsys, "encode", *files)
    assert code == 2
    assert "did not go through the same PCA" in error


def test_a_table_made_in_python_is_appended_to_on_the_command_line(tmp_path, capsys):
    tokenizer = MMQTokenizer(codebook_size=8)
    tokenizer.fit(shop(60))
    tokenizer.save(tmp_path / "t")
    ids = tokenizer.ids(shop(60))
    ids.write(tmp_path / "ids.parquet")
    write_catalogue(tmp_path / "more.parquet", shop(70))
    files = ("--tokenizer", tmp_path / "t", "--append", tmp_path / "ids.parquet")
    more = tmp_path / "more_ids.parquet"
    code, _, _ = run(capsys, "encode", tmp_path / "more.parquet", *files, "--out", more)
    assert code == 0
    assert (SemanticIDs.read(more).codes[:60] == ids.codes).all()
    SemanticIDs.build(ids.item_ids, ids.codes, ids.codebook_sizes).write(tmp_path / "ids.parquet")
    code, _, err = run(capsys, "encode", tmp_path / "more.parquet", *files, "--out", more)
    assert code == 2
    assert "does not say which tokenizer made its semantic IDs" in err


def test_fit_prints_what_the_codes_alone_leave_first(catalogue, tmp_path, capsys):
    arguments = ("fit", catalogue, "--set", "codebook_size=16")
    _, out, _ = run(capsys, *arguments, "--out", tmp_path / "t", *GRADIENT, "--set", "epochs=2")
    figures = json.loads((tmp_path / "t" / "config.json").read_text())["figures"]
    assert f"fit: variance unexplained {figures['fvu_codes']['fit']:.3f}, L_recon" in out
    assert f"no part of the ID, {figures['fvu']['fit']:.3f} and" in out
    _, out, _ = run(capsys, *arguments, "--out", tmp_path / "k", "--tokenizer", "rqkmeans")
    assert "gates" not in out
