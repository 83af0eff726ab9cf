from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

from mmq.cli import main
from mmq.tokenizers import MMQTokenizer
from mmq.workflows import _doctor as doctor


@pytest.fixture(autouse=True)
def _measured_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_SECONDS", 0.02)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["usable"] is True
    assert result["round_trip"] == "ok"
    assert result["versions"]["torch"] == version("torch")
    assert {"python", "mmq-tokenizer", "numpy", "pyarrow"} <= result["versions"].keys()
    assert result["cores"] >= 1
    assert result["matmul_gflops"] > 0
    assert result["temporary_folder"] == {"path": tempfile.gettempdir(), "writable": True}
    assert result["extras"]["test"]["installed"] is True


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("mmq can be used here\n")
    assert "GFLOP/s" in printed


def test_what_is_missing_is_named_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: None if name == "transformers" else installed(name)
    )
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "transformers not installed; run: pip install 'mmq-tokenizer[encoders]'" in printed


def test_a_failed_round_trip_is_not_usable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(MMQTokenizer, "fit", broken)
    assert main(["doctor", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["usable"] is False
    assert result["round_trip"] == "failed: RuntimeError: illegal instruction"


def test_codes_that_change_on_loading_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    load = MMQTokenizer.load

    def other(folder: Path) -> MMQTokenizer:
        tokenizer = load(folder)
        tokenizer.network.table.data.neg_()
        return tokenizer

    monkeypatch.setattr(MMQTokenizer, "load", other)
    assert doctor.round_trip() == "failed: codes differ after saving and loading"


def test_a_temporary_folder_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_writable", lambda _: False)
    assert main(["doctor"]) == 1
    assert "NOT writable" in capsys.readouterr().out
    monkeypatch.undo()
    assert doctor._writable(Path("/no/such/folder")) is False
    monkeypatch.setattr("tempfile.gettempdir", none_at_all)
    assert main(["doctor"]) == 1
    assert "NOT writable (None)" in capsys.readouterr().out


def none_at_all() -> str:
    raise FileNotFoundError("No usable temporary directory found")
