from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from mmq import SemanticIDs, cli
from mmq._version import __version__
from mmq.cli import main
from mmq.errors import DataError, MMQError


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--nope"], 2, "mmq: no such option: --nope; see mmq --help\n"),
        (["imprt"], 2, "mmq: no such command 'imprt'"),
        (["import", "npy", "--nope"], 2, "see mmq import npy --help\n"),
        (["import", "npy"], 2, "missing option '--items'"),
        (["import", "npy", "--reduce", "many"], 2, "'--reduce'"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(capsys, arguments, code, error):
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert error in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["import", "--help"], ["import", "npy", "--help"]]
)
def test_help_is_exit_code_0(capsys, arguments):
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "Usage: mmq" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "heading"), [([], "From items to semantic IDs"), (["import"], "Commands")]
)
def test_a_bare_group_shows_its_help_and_is_exit_code_2(capsys, arguments, heading):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert heading in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("raised", "code", "error"),
    [
        (DataError("mend it"), 2, "mmq: mend it\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
        (typer.Exit(5), 5, ""),
        (OSError(36, "File name too long", "x"), 2, "mmq: x: File name too long"),
        (OSError(28, "No space left on device"), 2, "mmq: standard output: No space left"),
        (MemoryError(), 2, "the memory does not suffice"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 2, "does not suffice"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "does not suffice"),
    ],
)
def test_what_a_verb_raises(monkeypatch, capsys, raised, code, error):
    app = typer.Typer()

    @app.command()
    def verb() -> None:
        raise raised

    monkeypatch.setattr(cli, "app", app)
    assert main([]) == code
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    "bug", [MMQError("a bug"), RuntimeError("illegal memory access"), KeyError("a bug")]
)
def test_our_own_mistakes_are_not_hidden(monkeypatch, bug):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def verb() -> None:
        raise bug

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(type(bug)):
        main([])


@pytest.mark.parametrize(
    ("streams", "arguments", "code", "out", "err"),
    [
        (">&-", "--help", 0, "", ""),
        ("<&-", "fitt", 2, "", "mmq: no such command"),
        ("2>&-", "fitt", 2, "", ""),
        ("> /dev/full", "--help", 2, "", "mmq: standard output: No space left"),
        ("| true; exit ${PIPESTATUS[0]}", "--help", 1, "", ""),
    ],
)
def test_streams_that_are_closed_full_or_not_read(streams, arguments, code, out, err):
    if "full" in streams and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    command = f'"{sys.executable}" -m mmq {arguments} {streams}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout == out
    assert done.stderr.startswith(err)
    assert done.stderr.count("\n") == (1 if err else 0)


def test_what_a_stream_cannot_encode_is_an_escape(tmp_path, monkeypatch):
    ids = SemanticIDs.build(["日1", "😀"], np.array([[0, 1], [1, 0]]), [2, 2])
    ids.write(tmp_path / "ids.parquet")
    command = ["inspect", str(tmp_path / "ids.parquet"), "--item"]
    for item in ("日1", "😀"):
        printed = json.loads(printed_in_cp1252(monkeypatch, *command, item, "--json"))
        assert printed["item"]["item_id"] == item
        escaped = item.encode("ascii", "backslashreplace")
        assert escaped in printed_in_cp1252(monkeypatch, *command, item)


def printed_in_cp1252(monkeypatch, *arguments):
    """What a command writes to the stream that PYTHONIOENCODING=cp1252 gives it."""
    written = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
        assert main(arguments) == 0
        return written.getvalue()


def test_the_installed_command_is_this_one():
    command = [Path(sys.executable).with_name("mmq"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"mmq {__version__}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from mmq.cli import main; main(['--help']); "
        "print(sorted({'torch', 'numpy', 'scipy', 'pyarrow', 'pydantic', 'matplotlib', 'sklearn'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
