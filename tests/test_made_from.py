"""A result of the same inputs is replaced, another only when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmq.errors import DataError
from mmq.made_from import NOTE, check_replaced, file_input, write_note


def inputs(tmp_path: Path, text: str = "a,b", name: str = "log.csv", **more: Any) -> dict[str, Any]:
    (tmp_path / name).write_text(text)
    settings = {"epochs": 2, "seed": 0, "hidden": (64, 64), **more}
    return {"log": file_input(tmp_path / name), "kind": "mmq", "sample": None, "settings": settings}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_note(folder, inputs(tmp_path))
    return folder


def refusal(folder: Path, asked: dict[str, Any]) -> str:
    with pytest.raises(DataError) as error:
        check_replaced(folder, "a tokenizer", asked, force=False)
    check_replaced(folder, "a tokenizer", asked, force=True)
    return str(error.value)


def test_what_is_free_and_what_is_the_same_may_be_written(made: Path, tmp_path: Path) -> None:
    check_replaced(tmp_path / "new", "a tokenizer", inputs(tmp_path), force=False)
    (tmp_path / "empty").mkdir()
    check_replaced(tmp_path / "empty", "a tokenizer", inputs(tmp_path), force=False)
    check_replaced(made, "a tokenizer", inputs(tmp_path), force=False)


def test_the_sentence_says_what_stands_there(made: Path, tmp_path: Path) -> None:
    remedy = "choose another --out, or replace it with --force"
    start = f"{made} holds a tokenizer made from other inputs"
    other = refusal(made, inputs(tmp_path, name="next.csv", text="c"))
    assert other == f"{start} (log log.csv, not next.csv); {remedy}"
    changed = refusal(made, inputs(tmp_path, text="c,d"))
    assert changed == f"{start} (log another log.csv); {remedy}"
    settings = refusal(made, inputs(tmp_path, epochs=30, hidden=(8,), seed=1) | {"sample": 5})
    assert settings == (
        f"{start} (sample none, not 5, epochs 2, not 30, seed 0, not 1 and 1 more); {remedy}"
    )


def test_the_same_content_under_another_name_is_the_same(made: Path, tmp_path: Path) -> None:
    check_replaced(made, "a tokenizer", inputs(tmp_path, name="copy.csv"), force=False)


def test_a_result_that_does_not_say_what_it_was_made_from(made: Path, tmp_path: Path) -> None:
    (made / NOTE).unlink()
    assert refusal(made, inputs(tmp_path)) == (
        f"{made} holds a tokenizer that does not say what it was made from; choose another --out, "
        "or replace it with --force"
    )
