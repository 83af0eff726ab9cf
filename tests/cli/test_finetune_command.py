"""``mmq finetune``: what it writes and prints, kill and resume, and what it refuses."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import rank_shop
from retrieval_shop import SMALL, columns, run, write_shop

from children import kill_at, printed_by_two
from mmq import Catalogue, SemanticIDs, load, read_catalogue, write_catalogue
from mmq._model_folder import fingerprint
from mmq.cli import main
from mmq.data._interactions import Interactions, write_interactions
from mmq.semantic_ids import drift
from mmq.tokenizers import MMQTokenizer, OPQTokenizer, RQKMeansTokenizer

PROBLEMS = ["retrieval", "ranking"]
LOG = {"retrieval": "log.parquet", "ranking": "shown.parquet"}
MODEL = {"retrieval": "recommender", "ranking": "ranker"}
SETTINGS = ("mode=joint", "input_noise=0", "epochs=2", "learning_rate=0.01", "tokenizer_rate=0.5",
            "max_colliding=1")  # fmt: skip
MOVING = [word for each in SETTINGS for word in ("--set", each)]
STEPS = ["--set", "batch_size=8"]
"""More than one an epoch, so that there is something to be gained in two."""
WRITTEN = ["finetune.json", "ids.parquet", "made_from.json", "model", "report.html", "tokenizer"]


def labels():
    """Even users like even items, odd ones the others: more than two epochs are needed to see."""
    log = rank_shop.columns()
    return ((log["user_id"] + log["item_id"]) % 2 == 0).astype(np.int8)


def make_tokenizer(folder, seed=0, **changes):
    values = {"codebook_size": 6, "latent_dim": 4, "epochs": 5, "seed": seed, **changes}
    made = MMQTokenizer(
        learning="gradient", **values, shared_experts=1, specific_experts=2, device="cpu"
    )
    made.fit(read_catalogue(folder / "catalogue.parquet"))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A shop with a tokenizer, IDs, and models that were trained on them; no test changes it."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    rank_shop.write(folder / "shown.parquet", label=labels())
    make_tokenizer(folder).save(folder / "tokenizer")
    paths = {name: folder / f"{name}.parquet" for name in ("catalogue", "ids", "log", "shown")}
    assert main(["encode", str(paths["catalogue"]), "--tokenizer", str(folder / "tokenizer"),
                 "--out", str(paths["ids"]), "--force"]) == 0  # fmt: skip
    ids = ["--ids", str(paths["ids"])]
    assert main(["train", "retrieval", "--interactions", str(paths["log"]), *ids, "--out",
                 str(folder / "recommender"), *SMALL, *STEPS]) == 0  # fmt: skip
    assert main(["train", "ranking", "--interactions", str(paths["shown"]), *ids, "--out",
                 str(folder / "ranker"), "--column", "device", *rank_shop.SMALL]) == 0  # fmt: skip
    return folder


@pytest.fixture
def shop(made, monkeypatch, tmp_path):
    """A copy of it, as the current folder."""
    shutil.copytree(made, tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def arguments(problem, *more, control=False):
    """Without the control, which takes as long again, unless it is asked for."""
    more = ("--force", *more) if control else ("--force", "--no-control", *more)
    return ["finetune", problem, "--tokenizer", "tokenizer", "--model", MODEL[problem],
            "--catalogue", "catalogue.parquet", "--interactions", LOG[problem],
            "--out", "tuned", *MOVING, *map(str, more)]  # fmt: skip


def tuned(capsys, problem, *more, control=False):
    code, out, err = run(capsys, *arguments(problem, *more, control=control), "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def files(folder, but=("finetune.json",)):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }


# --- what is written ---


@pytest.mark.parametrize("problem", PROBLEMS)
def test_tokenizer_ids_and_model_belong_together(problem, shop, capsys):
    result = tuned(capsys, problem)
    assert sorted(path.name for path in (shop / "tuned").iterdir()) == WRITTEN
    assert not list(shop.glob(".*"))
    assert (result["finetune"], result["out"], result["epochs"]) == (problem, "tuned", 2)
    ids = SemanticIDs.read(shop / "tuned" / "ids.parquet")
    old = SemanticIDs.read(shop / "ids.parquet")
    assert ids.item_ids.equals(old.item_ids)
    assert result["best_epoch"] > 0
    moved = (ids.codes != old.codes).any(1).mean()
    assert result["after"]["validation"]["items_moved"] == pytest.approx(moved)
    assert moved > 0
    made, was = ids.manifest["tokenizer"], old.manifest["tokenizer"]
    assert made["name"] == "mmq"
    assert made["fingerprint"] == fingerprint(shop / "tuned" / "tokenizer") != was["fingerprint"]
    assert made["tuned_from"] == [was["fingerprint"]]
    assert drift(old, ids).comparable
    assert ids.manifest["catalogue"] == old.manifest["catalogue"]
    model = load(shop / "tuned" / "model")
    assert model.semantic_ids.fingerprint() == ids.fingerprint()
    assert model.semantic_ids.manifest == ids.manifest
    stored = json.loads((shop / "tuned" / "finetune.json").read_text())
    assert {name: stored[name] for name in result} == result
    assert len(stored["log"]) == 2
    assert stored["settings"]["tokenizer_rate"] == 0.5
    assert (shop / "tuned" / "report.html").read_text().startswith("<!DOCTYPE html>")
    encode = [
        "encode",
        "catalogue.parquet",
        "--tokenizer",
        "tuned/tokenizer",
        "--out",
        "new.parquet",
    ]
    assert run(capsys, *encode)[0] == 0
    again = SemanticIDs.read(shop / "new.parquet")
    assert again.fingerprint() == ids.fingerprint()
    assert again.manifest == ids.manifest


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_figures_are_those_of_the_models(problem, shop, capsys):
    result = tuned(capsys, problem)
    for folder, when in ((MODEL[problem], "before"), ("tuned/model", "after")):
        for part in ("test", "validation"):
            code, out, _ = run(
                capsys, "evaluate", folder, "--interactions", LOG[problem], "--part", part, "--json"
            )
            assert code == 0
            found = json.loads(out)
            found = found["history_competes"] if problem == "retrieval" else found
            printed = result[when][part]
            names = found.keys() & printed.keys()
            assert {"ndcg@10", "recall@10"} <= names or "auc" in names
            assert {name: found[name] for name in names} == {name: printed[name] for name in names}


def test_the_new_model_recommends_and_new_items_can_follow(shop, capsys):
    """Encoded with the new tokenizer and appended to the new IDs, the new model knows them."""
    tuned(capsys, "retrieval")
    code, out, _ = run(capsys, "recommend", "tuned/model", "--history", "1,5", "-k", 5, "--json")
    assert code == 0
    assert len(json.loads(out)["recommendations"]) == 5
    old = read_catalogue(shop / "catalogue.parquet")
    text = np.concatenate([old.embeddings["text"], np.eye(2, 4)])
    write_catalogue(shop / "more.parquet", Catalogue.build(range(len(text)), {"text": text}))
    code, _, err = run(
        capsys, "encode", "more.parquet", "--tokenizer", "tuned/tokenizer", "--append",
        "tuned/ids.parquet", "--out", "more_ids.parquet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    code, out, _ = run(
        capsys, "recommend", "tuned/model", "--ids", "more_ids.parquet", "--history", "1", "-k",
        len(text), "--json",
    )  # fmt: skip
    assert code == 0
    found = {each["item_id"] for each in json.loads(out)["recommendations"]}
    assert {len(text) - 1, len(text) - 2} <= found
    code, _, err = run(capsys, "recommend", "tuned/model", "--ids", "ids.parquet", "--history", "1")
    assert code == 2
    assert "come from tokenizer" in err


@pytest.mark.parametrize("problem", PROBLEMS)
def test_people_read_what_happened(problem, shop, capsys):
    code, out, err = run(capsys, *arguments(problem, control=True))
    assert (code, err) == (0, "")
    assert out.startswith(f"fine-tuned for {problem} -> tuned\n")
    assert re.search(r"\n  best epoch [12] of 2: \d+\.\d% of the items have a new ID\n", out)
    name = "ndcg@10" if problem == "retrieval" else "auc"
    for part in ("validation", "test"):
        assert re.search(rf"\n  {part}, {name}( +0\.\d{{4}}){{3}}\n", out)
        gain, own = r"[+-]0\.\d{4} over the control", r"frozen tokenizer and gained [+-]0\.\d{4} it"
        assert re.search(
            rf"\n  {part}, {name}: {gain}, which learned for as long with a {own}", out
        )
    assert re.search(r"\n  colliding( +\d\.\d{4}){3}\n", out)
    assert re.search(r"\n  over \d+ users of the test part .* p [\d.e-]+\), of one seed\n", out)
    code, out, _ = run(capsys, *arguments(problem, "--set", "learning_rate=1e-12", "--set",
                                          "refit_epochs=1"))  # fmt: skip
    assert code == 0
    assert re.search(r"\n  colliding( +\d\.\d{4}){2}\n", out)
    assert "no control was run (--no-control), so this gain is that of longer training too" in out
    assert "\n  the start was best of 2 epochs, so the IDs are as they were\n" in out


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_gain_is_told_against_as_long_a_training_with_a_frozen_tokenizer(problem, shop, capsys):
    found = tuned(capsys, problem, control=True)
    learned = files(shop / "tuned", ("finetune.json", "report.html"))
    assert "over the control: as long a training" in (shop / "tuned" / "report.html").read_text()
    control, name = found["control"], "ndcg@10" if problem == "retrieval" else "auc"
    for part in ("validation", "test"):
        expected = found["after"][part][name] - control[part][name]
        assert found["gain"][part][name] == pytest.approx(expected)
    assert found["gain_test"]["low"] <= found["gain_test"]["high"]
    plain = tuned(capsys, problem)  # the control changes nothing of what is written
    assert (plain["control"], plain["gain"], plain["gain_test"]) == (None, None, None)
    assert plain["after"] == found["after"]
    assert files(shop / "tuned", ("finetune.json", "report.html")) == learned
    frozen = tuned(capsys, problem, "--set", "tokenizer_rate=0", control=True)
    assert frozen["control"] is None  # it is the control
    assert frozen["after"]["test"] == {name: control["test"][name] for name in control["test"]}
    assert frozen["after"]["validation"] == control["validation"]
    assert not list(shop.glob(".*"))


def test_a_frozen_tokenizer_is_the_same_tokenizer(shop, capsys):
    tuned(capsys, "retrieval", "--set", "tokenizer_rate=0")
    ids = SemanticIDs.read(shop / "tuned" / "ids.parquet")
    assert ids.manifest == SemanticIDs.read(shop / "ids.parquet").manifest
    assert fingerprint("tuned/tokenizer") == fingerprint("tokenizer")


def test_settings_come_from_a_file_and_the_command_line(shop, capsys):
    (shop / "s.toml").write_text("epochs = 4\nnoise = 0.25\n")
    result = tuned(capsys, "retrieval", "--config", "s.toml", "--seed", 7)
    settings = result["settings"]
    assert (settings["epochs"], settings["noise"], settings["seed"]) == (2, 0.25, 7)


def test_a_log_with_other_names_of_columns(shop, capsys):
    expected = tuned(capsys, "ranking")
    log = pq.read_table("shown.parquet")
    names = {"user_id": "who", "item_id": "what", "label": "clicked"}
    pq.write_table(log.rename_columns([names.get(n, n) for n in log.column_names]), "shown.parquet")
    mapped = ["--user-column", "who", "--item-column", "what", "--label-column", "clicked"]
    assert tuned(capsys, "ranking", *mapped)["after"] == expected["after"]
    kept = json.loads((shop / "tuned" / "model" / "config.json").read_text())["log_columns"]
    assert kept == {"user_id": "who", "item_id": "what", "label": "clicked"}
    code, out, _ = run(capsys, "evaluate", "tuned/model", "--interactions", "shown.parquet")
    assert (code, out.startswith("ppnet on the test part: ")) == (0, True)


def test_same_seed_same_files_and_ours_are_replaced(shop, capsys):
    tuned(capsys, "retrieval")
    first = files(shop / "tuned")
    (shop / "tuned").rename(shop / "first")
    tuned(capsys, "retrieval", "--seed", 1)
    assert files(shop / "tuned") != first
    words = [word for word in arguments("retrieval") if word != "--force"]
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "tuned holds a fine-tuned model made from other inputs (seed 1, not 0); choose" in err
    tuned(capsys, "retrieval")
    assert files(shop / "tuned") == first
    assert not list(shop.glob(".*"))


# --- it fails, or it is killed ---


def test_a_full_disk_keeps_what_was_learned(shop, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mmq.reports._moves.write_page", full)
        code, _, err = run(capsys, *arguments("retrieval"))
    assert code == 2
    assert "the disk is full: tuned was not written" in err
    assert not (shop / "tuned").exists()
    assert {path.name for path in shop.glob(".*")} == {".tuned.checkpoint.safetensors"}
    assert tuned(capsys, "retrieval", "--resume")["seconds"] < 1
    resumed = files(shop / "tuned")
    assert not list(shop.glob(".*"))
    tuned(capsys, "retrieval")
    assert files(shop / "tuned") == resumed


KILLED = ["checkpoint.safetensors", "control.safetensors",
          pytest.param("checkpoint.safetensors.refit", marks=pytest.mark.slow)]  # fmt: skip


@pytest.mark.parametrize("name", KILLED)
def test_resumed_after_a_kill_it_is_the_same_to_the_byte(name, shop, capsys):
    more = ["--set", "epochs=3", "--set", "refit_epochs=3", "--set", "noise=0.2"]
    control = name.startswith("control")
    whole = tuned(capsys, "retrieval", *more, control=control)
    expected = files(shop / "tuned")
    shutil.rmtree(shop / "tuned")
    kill_at(shop / f".tuned.{name}", arguments("retrieval", *more, control=control))
    assert not (shop / "tuned").exists()
    for other in (["--set", "noise=0.1"], ["--seed", "3"]):
        code, _, err = run(capsys, *arguments("retrieval", *more, *other, "--resume"))
        assert code == 2
        assert "other data or other settings" in err
    resumed = tuned(capsys, "retrieval", *more, "--resume", control=control)
    assert files(shop / "tuned") == expected
    for each in (resumed, whole):
        each["seconds"] = 0
        if control:
            each["control"]["seconds"] = 0
    assert resumed == whole
    assert not list(shop.glob(".*"))


@pytest.mark.slow
def test_two_processes_write_what_one_does(shop, capsys, tmp_path):
    """One of them writes and prints; apart from rounding, the figures are those of one process."""
    assert main(["train", "retrieval", "--interactions", "log.parquet", "--ids", "ids.parquet",
                 "--out", "recommender", *SMALL, "--set", "dropout=0", "--force"]) == 0  # fmt: skip
    alone = tuned(capsys, "retrieval", "--set", "epochs=1")
    words = arguments("retrieval", "--set", "epochs=1", "--out", "two", "--json")
    together = json.loads(printed_by_two(words, tmp_path / "printed"))
    assert together["before"] == alone["before"]
    one, two = (
        json.loads((shop / name / "finetune.json").read_text()) for name in ("tuned", "two")
    )
    for name in ("loss", "mean_task", "mean_reconstruction", "fvu"):
        assert two["log"][0][name] == pytest.approx(one["log"][0][name], rel=1e-3)
    assert sorted(path.name for path in (shop / "two").iterdir()) == WRITTEN
    assert not list(shop.glob(".*"))


# --- mistakes ---


@pytest.fixture(scope="module")
def bad_shop(made, tmp_path_factory):
    """The shop with things that go wrong lying about; no test changes it."""
    folder = tmp_path_factory.mktemp("bad") / "shop"
    shutil.copytree(made, folder)
    log = ["--interactions", str(folder / "log.parquet")]
    shown = ["--interactions", str(folder / "shown.parquet")]
    ids = ["--ids", str(folder / "ids.parquet")]
    for kind in ("sasrec", "popularity"):
        small = SMALL if kind == "sasrec" else []
        assert main(["train", "retrieval", *log, *ids, "--model", kind, "--out",
                     str(folder / kind), *small]) == 0  # fmt: skip
    for name, options in (("plain", []), ("prefixes", [*ids, "--set", "code_features=prefixes"])):
        assert main(["train", "ranking", *shown, *options, "--out", str(folder / name),
                     *rank_shop.SMALL]) == 0  # fmt: skip
    items = read_catalogue(folder / "catalogue.parquet")
    for made_of in (OPQTokenizer, RQKMeansTokenizer):
        other = made_of(codebook_size=4, length=2, device="cpu")
        other.fit(items)
        other.save(folder / other.kind)
    make_tokenizer(folder, seed=5).save(folder / "foreign")
    write_catalogue(folder / "few.parquet", items.take(np.arange(40)))
    wide = Catalogue.build(range(50), {"text": np.ones((50, 7))})
    write_catalogue(folder / "wide.parquet", wide)
    changed = columns()
    changed["item_id"] = changed["item_id"][::-1]
    write_interactions(folder / "others.parquet", Interactions.build(changed))
    table = pq.read_table(folder / "log.parquet")
    ratings = np.where(np.arange(len(table)) == 5, np.nan, columns()["rating"])
    nan = table.set_column(table.column_names.index("rating"), "rating", [ratings])
    pq.write_table(nan, folder / "nan.parquet")
    rank_shop.write(folder / "shown_others.parquet", label=labels()[::-1],
                    item_id=rank_shop.columns()["item_id"][::-1])  # fmt: skip
    shutil.copytree(folder / "recommender", folder / "broken")
    weights = folder / "broken" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    (folder / "somebody").mkdir()
    (folder / "somebody" / "thesis.tex").write_text("work")
    for inner in ("tokenizer", "recommender"):
        shutil.copytree(folder / inner, folder / "earlier" / inner)
    (folder / "earlier" / "recommender").rename(folder / "earlier" / "model")
    (folder / "earlier" / "finetune.json").write_text('{"finetune": "retrieval", "mmq": "0"}')
    return folder


BAD = {
    "retrieval": [
        (["--model", "sasrec"], "sasrec models cannot be fine-tuned; give a heterrec model"),
        (["--model", "popularity"], "popularity models cannot be fine-tuned"),
        (["--model", "ranker"], "ranker holds a ranker"),
        (["--model", "none"], "check the path"),
        (["--model", "broken"], "it is truncated or damaged"),
        (["--model", "somebody"], "check the path"),
        (["--model", "tokenizer"], "mmq recommender"),
        (["--tokenizer", "opq"], "opq does not learn by gradients"),
        (["--tokenizer", "rqkmeans"], "rqkmeans does not learn by gradients"),
        (["--tokenizer", "foreign"], "have another ID in the model than the tokenizer gives them"),
        (["--tokenizer", "none"], "check the path"),
        (["--tokenizer", "recommender"], "not the config of an mmq tokenizer"),
        (["--catalogue", "few.parquet"], "item 40 is not in the catalogue"),
        (["--catalogue", "wide.parquet"], "text"),
        (["--catalogue", "none.parquet"], "none.parquet"),
        (["--catalogue", "log.parquet"], "log.parquet"),
        (["--interactions", "none.parquet"], "there is no table at none.parquet"),
        (["--interactions", "others.parquet"], "not what the model was trained on"),
        (["--interactions", "nan.parquet"], "not what the model was trained on"),
        (["--interactions", "log.parquet", "--user-column", "customer"], "no column 'customer'"),
        (["--set", "tokeniser_rate=1"], "unknown setting 'tokeniser_rate'; did you mean"),
        (["--set", "epochs=0"], "setting 'epochs' = 0 is not valid"),
        (["--set", "temperature=nan"], "setting 'temperature' = nan is not valid"),
        (["--set", "target_codes=hard"], "setting 'target_codes' = 'hard' is not valid"),
        (["--set", "epochs"], "should read key=value"),
        (["--set", "learning_rate=1e30"], "diverged"),
        (["--config", "no.toml"], "no settings file at no.toml"),
        (["--seed", 2**63], "seed"),
        (["--out", "tokenizer"], "holds other files"),
        (["--out", "recommender"], "holds other files"),
        (["--out", "somebody"], "holds other files (no finetune.json among them)"),
        (["--out", "log.parquet"], "is a file, not a folder"),
        (["--out", "."], "other files"),
        (["--out", "catalogue.parquet/new"], "is a file, not a folder"),
        (["--out", "earlier", "--tokenizer", "earlier/tokenizer"],
         "earlier/tokenizer is read here and would be lost; choose another --out"),
        (["--out", "earlier", "--model", "earlier/model"], "earlier/model is read here"),
    ],
    "ranking": [
        (["--model", "recommender"], "holds a recommender, which finds items and gives"),
        (["--model", "plain"], "trained without semantic IDs"),
        (["--model", "prefixes"], "a ranker of prefixes"),
        (["--tokenizer", "foreign"], "have another ID in the model than the tokenizer gives them"),
        (["--interactions", "shown_others.parquet"], "not what the model was trained on"),
        (["--interactions", "log.parquet"], "device"),
        (["--catalogue", "few.parquet"], "item 40 is not in the catalogue"),
        (["--set", "learning_rate=1e30"], "diverged"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "more", "expected"),
    [(problem, *each) for problem, cases in BAD.items() for each in cases],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(
    problem, more, expected, bad_shop, capsys, monkeypatch
):
    monkeypatch.chdir(bad_shop)
    before = files(bad_shop, but=())
    code, out, err = run(capsys, *arguments(problem, *more))
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert files(bad_shop, but=()) == before


@pytest.mark.parametrize("out", ["tokenizer", "earlier"])
def test_a_bad_place_is_refused_before_any_work(out, bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    monkeypatch.setattr("mmq.model.Model.load", lambda *_: pytest.fail("it was loaded"))
    more = ["--out", out, "--tokenizer", f"{'earlier/' * (out == 'earlier')}tokenizer"]
    assert run(capsys, *arguments("retrieval", *more))[0] == 2


def test_what_is_for_must_be_known(bad_shop, capsys, monkeypatch):
    monkeypatch.chdir(bad_shop)
    code, out, err = run(capsys, *arguments("retrieval")[:1], "reading", *arguments("ranking")[2:])
    assert (code, out) == (2, "")
    assert "'reading' is not one of 'retrieval', 'ranking'" in err


def test_help_says_what_there_is(capsys):
    code, out, _ = run(capsys, "finetune", "--help")
    assert code == 0
    for option in ("--tokenizer", "--model", "--catalogue", "--resume", "--label-column"):
        assert option in out


def test_alternating(shop, capsys):
    found = tuned(capsys, "retrieval", "--set", "mode=alternating", "--set", "moving=1")
    assert found["settings"]["mode"] == "alternating"
    log = json.loads((shop / "tuned" / "finetune.json").read_text())["log"]
    assert log[-1]["codes_moved"] > 0
