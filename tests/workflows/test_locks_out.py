"""Two verbs on one output: the second is refused before it reads anything."""

from pathlib import Path

import pytest

from mmq._artifacts import output_lock
from mmq.workflows._run import locks_out
from tests.children import print_to, start


@locks_out
def verb(data, out, *, write=True):
    if write:
        Path(out).write_text(data)
    return data


def test_a_verb_holds_the_lock_of_its_output_and_lets_go(tmp_path):
    assert verb("whole", tmp_path / "new" / "out") == "whole"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_folders_made_for_the_lock_alone_vanish(tmp_path):
    with pytest.raises(TypeError):
        verb(None, out=tmp_path / "new" / "out")
    assert not list(tmp_path.iterdir())


def test_the_second_process_says_so_and_leaves_the_output_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ids.parquet").write_text("work")
    with output_lock("ids.parquet"):
        for arguments in (
            ["encode", "catalogue.parquet", "--tokenizer", "tok", "--out", "ids.parquet"],
            ["demo", "--out", "ids.parquet"],
        ):
            child = start(print_to, arguments, tmp_path / "printed")
            child.join()
            assert child.exitcode == 2
    printed = "".join(path.read_text() for path in tmp_path.glob("printed*"))
    assert printed.count("another process is writing ids.parquet; wait for it to end") == 2
    assert Path("ids.parquet").read_text() == "work"
