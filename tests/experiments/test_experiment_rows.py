"""The one form of results: what cells say under one name, and how a results file is renewed."""

import json

import numpy as np
import pytest

from experiments import results
from mmq.metrics.resampling import PerUser, paired_by_user

MACHINE = {"cores": 2, "processor": "cpu", "threads": 1, "python": "3.11", "versions": {"mmq": "1"}}


def cell(seed, figures, commit="abc", **more):
    return {"settings": {"seed": seed, "epochs": 3}, "figures": figures, "commit": commit,
            **MACHINE, **more}  # fmt: skip


def row(name, *values, **more):
    cells = {seed: cell(seed, {"auc": value}) for seed, value in enumerate(values)}
    return {**results.as_row("shop", name, cells), **more}


def test_numbers_have_mean_and_deviation_and_the_rest_is_kept():
    found = results.spread(
        [
            {"auc": 0.5, "n": 3, "kind": "mmq", "ok": True, "cold": {"auc": 0.25}, "chosen": [1]},
            {"auc": 1.0, "n": 5, "kind": "mmq", "ok": True, "cold": {}, "chosen": [2]},
        ]
    )
    assert found == {
        "auc": {"mean": 0.75, "sd": pytest.approx(np.std([0.5, 1.0], ddof=1)), "values": [0.5, 1]},
        "n": {"mean": 4.0, "sd": pytest.approx(2**0.5), "values": [3.0, 5.0]},
        "kind": "mmq",
        "ok": True,
        "cold": {"auc": {"mean": 0.25, "sd": None, "values": [0.25]}},
        "chosen": {"values": [[1], [2]]},
    }


def test_a_row_says_where_its_cells_were_made_and_what_they_were_given():
    cells = {0: cell(0, {"auc": 0.5}, "b"), 2: cell(2, {"auc": 0.7}, "a", threads=2)}
    found = results.as_row("shop", "ours", cells)
    assert (found["data"], found["row"], found["seeds"]) == ("shop", "ours", [0, 2])
    assert found["settings"] == {"epochs": 3}, "the seeds are those of the row"
    assert found["commit"] == ["a", "b"]
    assert [each["threads"] for each in found["machine"]] == [1, 2]
    assert "log" not in found
    assert results.machines([cell(0, {}, mmq="0.1")])[0]["versions"] == {
        "mmq-tokenizer": "0.1", "mmq": "1",
    }  # fmt: skip


def test_rows_are_compared_over_the_seeds_and_users_that_both_have():
    generator = np.random.default_rng(0)
    ids = np.arange(20)
    users = {
        name: {seed: {"figure": generator.normal(size=20), "user": ids} for seed in seeds}
        for name, seeds in (("one", (0, 1, 2)), ("other", (1, 2)), ("single", (0,)))
    }
    rows = [row(name, 0.5) for name in ("one", "other", "single", "unknown")]
    results.compare(rows, users)
    assert list(rows[0]["against"]) == ["other"], "of the others there are too few"
    runs = [
        tuple(PerUser(ids, users[name][seed]["figure"]) for name in ("one", "other"))
        for seed in (1, 2)
    ]
    assert rows[0]["against"]["other"] == {"seeds": 2, **paired_by_user(runs)._asdict()}


def test_a_results_file_is_renewed_row_by_row(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    test = {"difference": 0.1, "p_value": 0.5}
    old = [row("a", 0.1, 0.2, against={"b": test}), row("b", 0.3), row("c", 0.4, 0.5)]
    results.renew("shop", old, "abcd")
    assert results.read("shop") == json.loads(json.dumps(old))
    results.renew("shop", [row("a", 0.6, 0.7), row("c", 0.8), row("d", 0.9)], "dabc")
    found = {each["row"]: each for each in results.read("shop")}
    assert list(found) == ["d", "a", "b", "c"]
    assert found["a"]["auc"]["values"] == [0.6, 0.7]
    assert found["a"]["against"] == {"b": test}, "a test of rows that were not measured again"
    assert found["c"]["auc"]["values"] == [0.4, 0.5], "fewer seeds do not take the place of more"
    assert results.read("none") == []
