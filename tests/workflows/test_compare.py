"""``mmq compare``: the figures are those of ``evaluate``, and differences are paired."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from cli.retrieval_shop import SIZES, codes, run, train, write_shop
from mmq import SemanticIDs
from mmq.metrics.resampling import PerUser, paired_by_user, paired_t_test
from mmq.semantic_ids._table_folder import finish
from mmq.workflows import Contender, compare, evaluate

PROTOCOLS = ("history_competes", "history_left_out")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    write_shop(folder)
    fast = ["--set", "hidden_dim=8", "--set", "heads=2", "--set", "epochs=1"]
    for seed in (0, 1):
        ids = ["--ids", folder / "ids.parquet", "--seed", seed]
        assert train(folder, f"sasrec{seed}", "--model", "sasrec", *fast, *ids) == 0
        assert train(folder, f"heterrec{seed}", "--model", "heterrec", *fast, *ids) == 0
    assert train(folder, "popularity", "--model", "popularity") == 0
    other = ["--model", "popularity", "--min-interactions", "0"]
    assert train(folder, "whole", *other) == 0
    shuffled = np.random.default_rng(0).permutation(codes(45))
    SemanticIDs.build(range(45), shuffled, SIZES).write(folder / "shuffled.parquet")
    return folder


def log(shop):
    return shop / "log.parquet"


def by_user(shop, model):
    file = shop / f"{model}.users.parquet"
    evaluate(shop / model, log(shop), per_user=file)
    table = pq.read_table(file).sort_by("user_id")
    return {name: table[name].to_numpy() for name in table.column_names}


def test_figures_are_those_of_evaluate_and_differences_are_paired(shop):
    found = compare([shop / "sasrec0", shop / "popularity"], log(shop))
    one, other = by_user(shop, "sasrec0"), by_user(shop, "popularity")
    assert [row["model"] for row in found["rows"]] == ["sasrec", "popularity"]
    (difference,) = found["differences"]
    for protocol in PROTOCOLS:
        for row, model in zip(found["rows"], ("sasrec0", "popularity"), strict=True):
            alone = evaluate(shop / model, log(shop))[protocol]
            means = {name: each["mean"] for name, each in row[protocol].items()}
            assert means == pytest.approx({n: v for n, v in alone.items() if n != "coverage"})
        for figure, tested in difference[protocol].items():
            name = f"{protocol}.{figure}"
            expected = paired_t_test(one[name], other[name])
            assert tested == pytest.approx(expected._asdict())


def test_seeds_are_paired_too(shop):
    names = [
        Contender(kind, tuple(shop / f"{kind}{seed}" for seed in (0, 1)))
        for kind in ("sasrec", "heterrec")
    ]
    found = compare(names, log(shop), cutoffs=[10])
    figures = {each.name: [by_user(shop, path.name) for path in each.paths] for each in names}
    name = "history_left_out.ndcg@10"
    expected = paired_by_user(
        [
            (PerUser(a["user_id"], a[name]), PerUser(b["user_id"], b[name]))
            for a, b in zip(*figures.values(), strict=True)
        ]
    )
    (difference,) = found["differences"]
    assert difference["history_left_out"]["ndcg@10"] == pytest.approx(expected._asdict())
    row = found["rows"][0]["history_left_out"]["ndcg@10"]
    assert row["values"] == pytest.approx([each[name].mean() for each in figures["sasrec"]])
    assert row["sd"] == pytest.approx(np.std(row["values"], ddof=1))
    assert not [each for each in found["warnings"] if "one seed" in each]


def test_a_table_in_parts_is_a_table(shop, tmp_path):
    shutil.copy(shop / "shuffled.parquet", tmp_path / "shuffled.parquet")
    finish(tmp_path, ["shuffled.parquet"], SemanticIDs.read(shop / "shuffled.parquet").manifest)
    rows = [
        compare([shop / "ids.parquet", other], log(shop))["rows"][1]
        for other in (tmp_path, shop / "shuffled.parquet")
    ]
    assert rows[0]["history_competes"] == rows[1]["history_competes"]
    assert rows[0]["ids"] == rows[1]["ids"]


def test_tables_of_ids_are_told_apart_by_what_follows_what(shop):
    found = compare([shop / "ids.parquet", shop / "shuffled.parquet"], log(shop))
    assert [row["model"] for row in found["rows"]] == ["code-transitions"] * 2
    assert found["rows"][0]["ids"]["codebook_sizes"] == SIZES
    assert found["rows"][0]["users"] == 60


def test_the_command_says_who_is_ahead(shop, capsys):
    asked = ["compare", shop / "sasrec0", f"floor={shop / 'popularity'}"]
    code, out, err = run(capsys, *asked, "--interactions", log(shop), "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert [row["name"] for row in result["rows"]] == [str(shop / "sasrec0"), "floor"]
    code, out, _ = run(capsys, *asked, "--interactions", log(shop), "--k", "3")
    assert code == 0
    assert result["verdict"][0] in out.splitlines()
    assert " floor where the history competes (" in result["verdict"][0]
    assert "N@10 on test, 95% interval " in result["verdict"][0]
    assert "recall@3" in out


@pytest.mark.parametrize(
    ("contenders", "error"),
    [
        (["{shop}/popularity"], "one model cannot be compared; give two or more"),
        (["{shop}/popularity", "{shop}/popularity"], "was given twice; name them apart, such as"),
        (["{shop}/popularity", "{shop}/none"], "there is no model or ID table at"),
        (["{shop}/popularity", "{shop}/ids.parquet"], "models cannot be compared with ID tables"),
        (["{shop}/popularity", "{shop}/whole"], "another split of the log than"),
        (["{shop}/ids.parquet", "{shop}/log.parquet"], ""),
        (["a=", "b={shop}/popularity"], "'a=' should read PATH, or NAME=PATH,PATH with a path"),
    ],
)
def test_what_cannot_be_compared(shop, capsys, contenders, error):
    given = [each.format(shop=shop) for each in contenders]
    code, out, err = run(capsys, "compare", *given, "--interactions", log(shop))
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1
