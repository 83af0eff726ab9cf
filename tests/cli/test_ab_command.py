"""``mmq ab`` from the plan to the verdict, on a small simulated market."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmq.ab import MarketSettings, open_market, target_scores, write_table
from mmq.cli import main

SMALL = ["items=40", "shoppers=1500", "days=14", "visits=0.4", "slate=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ab") / "market"
    sets = [word for each in SMALL for word in ("--set", each)]
    assert main(["ab", "simulate", "--out", str(out), *sets, "--seed", "1"]) == 0
    return out


def analyse(folder: Path, *more: str) -> int:
    logs = ["--exposures", str(folder / "exposures.parquet"), "--events"]
    logs.append(str(folder / "events.parquet"))
    return main(["ab", "analyse", str(folder / "experiments.toml"), *logs, *more])


def test_simulate_leaves_logs_a_page_and_the_truth(folder: Path) -> None:
    names = {"exposures.parquet", "events.parquet", "experiments.toml", "report.html", "truth.json"}
    assert {path.name for path in folder.iterdir()} == names
    truth = json.loads((folder / "truth.json").read_text())
    means = truth["means"]
    effect = means["treatment"]["revenue"] / means["control"]["revenue"] - 1
    assert truth["relative"]["treatment"]["revenue"] == pytest.approx(effect)
    assert "The market is simulated" in (folder / "report.html").read_text()


def test_analyse_prints_writes_and_agrees_with_itself(folder: Path, tmp_path: Path, capsys) -> None:
    table, page = tmp_path / "figures.csv", tmp_path / "page.html"
    assert analyse(folder, "--json", "--csv", str(table), "--report", str(page)) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["trusted"]
    difference = result["results"][0]["differences"]["revenue"]
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["stratum"] == "all users"]
    revenue = next(row for row in rows if row["metric"] == "revenue")
    assert float(revenue["effect"]) == pytest.approx(difference["effect"])
    assert float(revenue["anytime_low"]) == pytest.approx(difference["anytime"][0])
    assert page.is_file()
    assert analyse(folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("control: ")
    assert any(line.startswith("treatment against control: ") for line in lines)


def test_the_window_is_a_setting(folder: Path, capsys) -> None:
    assert analyse(folder, "--json", "--set", "window_days=3") == 0
    assert json.loads(capsys.readouterr().out)["windows"]["window_days"] == 3
    assert analyse(folder, "--set", "window=3") == 2
    assert "did you mean 'window_days'" in capsys.readouterr().err
    assert analyse(folder, "--metric", "revenu") == 2
    assert "did you mean 'revenue'" in capsys.readouterr().err


def test_plan_by_a_rate_and_by_a_log(folder: Path, capsys) -> None:
    words = ["ab", "plan", "--effect", "0.1", "--rate", "0.05", "--users-per-day", "4000"]
    assert main(words) == 0
    assert "days" in capsys.readouterr().out
    assert main(["ab", "plan", "--events", str(folder / "events.parquet"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["users"]["anytime"] > found["users"]["fixed"] > 0
    assert found["baseline"]["correlation"] > 0
    assert main(["ab", "plan", "--rate", "0.05", "--mean", "3"]) == 2
    assert "give one of --rate" in capsys.readouterr().err


def test_replay_of_the_other_arm(folder: Path, tmp_path: Path, capsys) -> None:
    values = dict(each.split("=") for each in SMALL)
    market = open_market(MarketSettings.parse(values))
    exposures = pq.read_table(folder / "exposures.parquet")
    write_table(target_scores(market, "treatment", exposures), tmp_path / "target.parquet")
    logs = ["--exposures", str(folder / "exposures.parquet"), "--events"]
    logs += [str(folder / "events.parquet"), "--target", str(tmp_path / "target.parquet")]
    assert main(["ab", "replay", *logs, "--reward", "clicks", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["estimates"]) == {"ips", "snips", "doubly_robust"}
    low, high = found["estimates"]["snips"]["interval"]
    assert low < found["estimates"]["snips"]["value"] < high
    assert 0 < found["effective_slates"] <= found["slates"]
    assert main(["ab", "replay", *logs, "--reward", "click"]) == 2
    assert "did you mean 'clicks'" in capsys.readouterr().err
