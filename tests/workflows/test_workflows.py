"""Verbs called from Python: what they give back and write; the command line adds nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmq import Catalogue, Interactions, SemanticIDs, load, workflows, write_catalogue
from mmq._formats import to_json
from mmq.cli import main
from mmq.data._interactions import write_interactions
from mmq.errors import DataError, FormatError, SettingsError
from mmq.ranking import RankingSplit
from mmq.recommenders import SplitSettings
from mmq.recommenders._heterrec import HeterRecSettings
from mmq.recommenders._popularity import PopularitySettings
from mmq.workflows import (
    ItemFilters,
    LogFile,
    ModelFolder,
    Run,
    Stage1,
    embed_behaviour,
    encode,
    evaluate,
    finetune,
    fit,
    inspect,
    recommend,
    train_ranking,
    train_retrieval,
)

ITEMS, USERS, LENGTH = 40, 40, 12
CODES = {"codebook_size": 4, "learning": "gradient", "epochs": 2}
SMALL = {"hidden_dim": 16, "heads": 2, "epochs": 2}
RANKER = {"embedding_dim": 4, "hidden": [8], "gate_dim": 4, "batch_size": 50, "epochs": 2}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue, a log whose users go through it in order, a tokenizer, IDs and a recommender."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    embeddings = {"text": rng.normal(size=(ITEMS, 6)), "image": rng.normal(size=(ITEMS, 4))}
    titles = {"title": [f"Toy {item}" for item in range(ITEMS)]}
    write_catalogue(folder / "catalogue.parquet", Catalogue.build(range(ITEMS), embeddings, titles))
    users = np.repeat(np.arange(USERS), LENGTH)
    steps = np.tile(np.arange(LENGTH), USERS)
    log = {
        "user_id": users,
        "item_id": (users * 7 + steps) % ITEMS,
        "timestamp": 1_700_000_000 + steps * USERS + users,
        "label": (rng.random(len(users)) < 0.7).astype(np.int8),
    }
    write_interactions(folder / "log.parquet", Interactions.build(log))
    untimed = {name: log[name] for name in ("user_id", "item_id")}
    write_interactions(folder / "untimed.parquet", Interactions.build(untimed))
    fit(folder / "catalogue.parquet", folder / "tokenizer", settings=CODES)
    encode(folder / "catalogue.parquet", folder / "tokenizer", folder / "ids.parquet")
    split = SplitSettings(min_interactions=2)
    log_file, ids = folder / "log.parquet", folder / "ids.parquet"
    train_retrieval(log_file, folder / "model", ids=ids, split=split, settings=SMALL)
    train_ranking(log_file, folder / "ranker", ids=ids, settings=RANKER)
    return folder


def without_times(figures: Any) -> Any:
    """Plain values as ``--json`` prints them, without what is never the same."""
    plain = json.loads(to_json(figures))
    return {name: each for name, each in plain.items() if "second" not in name and name != "out"}


def test_tokenizer_and_ids_are_given_back_and_written(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = shop / "catalogue.parquet"
    tokenizer, figures = fit(catalogue, tmp_path / "t", settings=CODES, hold_out=0.25)
    assert set(figures["fvu"]) == {"fit", "held_out"}
    ids, counts = encode(catalogue, tmp_path / "t", tmp_path / "ids.parquet")
    assert (len(ids), counts["added"], counts["length"]) == (ITEMS, ITEMS, tokenizer.length)
    assert np.array_equal(ids.codes, SemanticIDs.read(tmp_path / "ids.parquet").codes)
    assert load(tmp_path / "t").codebook_sizes == tokenizer.codebook_sizes
    found = inspect(tmp_path / "ids.parquet", catalogue=catalogue, report=tmp_path / "r.html")
    assert found.ids.length == tokenizer.length
    assert (tmp_path / "r.html").is_file()
    printed = capsys.readouterr()
    assert printed.out == ""


def test_a_new_item_is_appended(shop: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    more = {"text": rng.normal(size=(ITEMS + 2, 6)), "image": rng.normal(size=(ITEMS + 2, 4))}
    write_catalogue(tmp_path / "more.parquet", Catalogue.build(range(ITEMS + 2), more))
    out, old = tmp_path / "ids.parquet", shop / "ids.parquet"
    ids, counts = encode(tmp_path / "more.parquet", shop / "tokenizer", out, append=old)
    assert (counts["added"], counts["kept"]) == (2, ITEMS)
    assert np.array_equal(ids.codes[:ITEMS], SemanticIDs.read(old).codes)


COMMANDS = {
    "fit": (
        "fit {shop}/catalogue.parquet --out {out} --tokenizer rqkmeans --set codebook_size=4",
        lambda shop, out: fit(
            shop / "catalogue.parquet", out, "rqkmeans", settings={"codebook_size": 4}
        )[1],
    ),
    "encode": (
        "encode {shop}/catalogue.parquet --tokenizer {shop}/tokenizer --out {out}.parquet",
        lambda shop, out: encode(
            shop / "catalogue.parquet", shop / "tokenizer", out.with_suffix(".parquet")
        )[1],
    ),
    "train retrieval": (
        "train retrieval --interactions {shop}/log.parquet --model sasrec --out {out} --seed 3"
        " --set hidden_dim=16 --set heads=2 --set epochs=2",
        lambda shop, out: train_retrieval(
            shop / "log.parquet", out, "sasrec", settings=SMALL, run=Run(seed=3)
        ),
    ),
    "train ranking": (
        "train ranking --interactions {shop}/log.parquet --model means --out {out}",
        lambda shop, out: train_ranking(shop / "log.parquet", out, "means"),
    ),
    "evaluate": (
        "evaluate {shop}/model --interactions {shop}/log.parquet --part validation",
        lambda shop, _: evaluate(shop / "model", shop / "log.parquet", "validation"),
    ),
    "evaluate a ranker": (
        "evaluate {shop}/ranker --interactions {shop}/log.parquet --seed 1",
        lambda shop, _: evaluate(shop / "ranker", shop / "log.parquet", seed=1),
    ),
    "recommend": (
        "recommend {shop}/model --history 3,4 -k 2 --catalogue {shop}/catalogue.parquet"
        " --exclude-history",
        lambda shop, _: recommend(
            shop / "model",
            [3, 4],
            2,
            catalogue=shop / "catalogue.parquet",
            filters=ItemFilters(exclude_history=True),
        ),
    ),
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_command_line_prints_what_the_function_gives(
    verb: str, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, call = COMMANDS[verb]
    given = call(shop, tmp_path / "function")
    assert capsys.readouterr().out == ""
    command = words.format(shop=shop, out=tmp_path / "command").split()
    assert main([*command, "--json"]) == 0
    assert without_times(json.loads(capsys.readouterr().out)) == without_times(given)


@pytest.mark.parametrize("what", ["retrieval", "ranking"])
def test_stage_2_is_a_function(what: Any, shop: Path, tmp_path: Path) -> None:
    model = shop / {"retrieval": "model", "ranking": "ranker"}[what]
    stage1 = Stage1(shop / "tokenizer", model, shop / "catalogue.parquet", shop / "log.parquet")
    settings = {"mode": "joint", "epochs": 1}
    result = finetune(what, stage1, tmp_path / "tuned", settings=settings, control=False)
    assert result is not None
    assert result["control"] is None
    assert set(result["after"]) == {"validation", "test"}
    assert len(SemanticIDs.read(tmp_path / "tuned" / "ids.parquet")) == ITEMS
    config = json.loads((tmp_path / "tuned" / "finetune.json").read_text())
    assert config["after"] == json.loads(to_json(result))["after"]


def test_behaviour_is_that_of_the_training_part_of_either_kind_of_model(
    shop: Path, tmp_path: Path
) -> None:
    given = (shop / "catalogue.parquet", shop / "log.parquet", tmp_path / "with.parquet")
    settings = {"dimension": 4}
    shown = embed_behaviour(*given, "acts", split=RankingSplit(), settings=settings)
    assert shown["liked_by"] == ["label"]
    met = embed_behaviour(
        *given, "acts", split=SplitSettings(min_interactions=2), settings=settings, force=True
    )
    assert met["training_interactions"] != shown["training_interactions"]
    with pytest.raises(SettingsError, match="--model is not for ranking"):
        embed_behaviour(*given, "x", model=shop / "model", split=RankingSplit(), force=True)


def test_a_log_without_times_has_to_say_what_ties_are(shop: Path, tmp_path: Path) -> None:
    log = shop / "untimed.parquet"
    with pytest.raises(DataError, match="has no timestamps"):
        train_retrieval(log, tmp_path / "m", "item-knn")
    split = SplitSettings(ties="file")
    figures = train_retrieval(LogFile(log), tmp_path / "m", "item-knn", split=split)
    assert figures is not None
    assert figures["rows"] == USERS * LENGTH
    assert load(tmp_path / "m").kind == "item-knn"


MISTAKES = {
    "kind": (lambda shop, out: fit(shop / "catalogue.parquet", out, "vq"), SettingsError),
    "setting": (
        lambda shop, out: fit(shop / "catalogue.parquet", out, settings={"codebooks": 3}),
        SettingsError,
    ),
    "catalogue": (lambda shop, out: fit(shop / "none.parquet", out), DataError),
    "tokenizer": (
        lambda shop, out: encode(shop / "catalogue.parquet", shop / "model", out),
        FormatError,
    ),
    "ids": (
        lambda shop, out: train_ranking(
            shop / "log.parquet", out, "means", ids=shop / "ids.parquet"
        ),
        SettingsError,
    ),
    "ranker": (lambda shop, out: recommend(shop / "ranker", [1]), SettingsError),
    "history": (lambda shop, out: recommend(shop / "model"), SettingsError),
    "bonus": (
        lambda shop, out: evaluate(
            ModelFolder(shop / "ranker", new_item_share=1), shop / "log.parquet"
        ),
        SettingsError,
    ),
    "stage 1": (
        lambda shop, out: finetune(
            "retrieval",
            Stage1(out / "t", shop / "model", shop / "catalogue.parquet", shop / "log.parquet"),
            out,
        ),
        DataError,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_user_error_before_anything_is_written(
    mistake: str, shop: Path, tmp_path: Path
) -> None:
    call, error = MISTAKES[mistake]
    with pytest.raises(error):
        call(shop, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_other_inputs_is_replaced_by_force_alone(shop: Path, tmp_path: Path) -> None:
    catalogue, out = shop / "catalogue.parquet", tmp_path / "t"
    fit(catalogue, out, "rqkmeans", settings={"codebook_size": 4})
    with pytest.raises(DataError, match="made from other inputs"):
        fit(catalogue, out, "rqkmeans", settings={"codebook_size": 5})
    tokenizer, _ = fit(
        catalogue, out, "rqkmeans", settings={"codebook_size": 5}, run=Run(force=True)
    )
    assert set(tokenizer.codebook_sizes) == {5}


def test_a_seed_wins_over_settings_where_there_is_one() -> None:
    assert Run(seed=3).parse(HeterRecSettings, {"seed": 1}).seed == 3
    assert Run().parse(HeterRecSettings, {"seed": 1}).seed == 1
    assert Run(seed=3).parse(PopularitySettings, None) == PopularitySettings()


def test_every_name_is_there_and_others_are_not() -> None:
    for name in workflows.__all__:
        assert callable(getattr(workflows, name))
        assert getattr(workflows, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = workflows.nope


def test_functions_neither_print_nor_parse() -> None:
    files = list(Path(workflows.__file__).parent.glob("*.py"))
    assert len(files) > 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Name) and node.id == "print"), path
            names = [each.name for each in getattr(node, "names", []) if hasattr(each, "name")]
            of = [getattr(node, "module", None) or "", *names]
            assert not {each.split(".")[0] for each in of} & {"typer", "rich"}, path
