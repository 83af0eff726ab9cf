"""What the documents say is so: examples run, links and names of functions lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import itertools
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import mmq
from children import start
from mmq import cli, model

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
EXECUTED = [
    ROOT / name
    for name in (
        "README.md",
        "docs/guides/a_shop_by_commands.md",
        "docs/guides/ab_tests.md",
        "docs/guides/add_a_tokenizer.md",
        "docs/guides/add_a_recommender.md",
        "docs/guides/notebook.md",
        "docs/guides/own_data.md",
        "docs/guides/recommenders.md",
        "docs/guides/ranking.md",
        "docs/guides/finetuning.md",
        "examples/own_data.md",
    )
]

_NOT_RUN = "<!-- not run -->"
_BLOCK = re.compile(
    rf"^(?:({_NOT_RUN})\n|<!-- file: ([\w.]+) -->\n)?```(python|sh)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FUNCTION = re.compile(r"`((?:src|experiments)/[\w/]+\.py):(\w+)`")


def all_modules() -> list[str]:
    """Every module of mmq but the one that runs the command line when it is imported."""
    names = [module.name for module in pkgutil.walk_packages(mmq.__path__, "mmq.")]
    return ["mmq", *(name for name in names if name != "mmq.__main__")]


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mmq"):
            raise
        pytest.skip(f"{name} needs {error.name}, which an extra installs")


class Block(NamedTuple):
    """A ``python`` or ``sh`` block; one with a file name is written, not run."""

    file: str | None
    language: str
    code: str


def blocks(text: str) -> list[Block]:
    """The blocks of a document, but for those marked as not run."""
    return [Block(*m.groups()[1:]) for m in _BLOCK.finditer(text) if not m[1]]


def run_examples(text: str, name: str, folder: Path) -> None:
    """Run a document's blocks in turn: prompts as a doctest, plain Python and sh as programs."""
    names: dict[str, object] = {}
    for file, language, code in blocks(text):
        if file is not None:
            (folder / file).write_text(code, "utf-8")
        elif language == "sh":
            run_shell(code, folder)
        elif ">>>" in code:
            test = doctest.DocTestParser().get_doctest(code, names, name, name, 0)
            results = doctest.DocTestRunner().run(test, clear_globs=False)
            names = test.globs
            assert results.failed == 0, f"an example of {name} prints something else, see above"
        else:
            exec(compile(code, name, "exec"), names)


def run_shell(code: str, folder: Path) -> None:
    """Run commands in a folder: a plain call of mmq in a process that needs not import it first,
    everything else in a shell.
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for ours, lines in itertools.groupby(code.replace("\\\n", "").splitlines(), calls_mmq):
        if not ours:
            command = ["bash", "-eu", "-c", "\n".join(lines)]
            subprocess.run(command, cwd=folder, env=environment, check=True)
            continue
        for line in lines:
            with contextlib.chdir(folder):
                child = start(cli.main, shlex.split(line)[1:])
            child.join()
            if child.exitcode:
                raise subprocess.CalledProcessError(child.exitcode, line)


def calls_mmq(line: str) -> bool:
    """Whether a line calls mmq, and a shell has nothing to do but to split it into words."""
    return line.startswith("mmq ") and not set("|&;<>$`*?#~") & set(line)


@pytest.mark.parametrize("name", all_modules())
def test_docstring_examples(name: str) -> None:
    assert doctest.testmod(load(name)).failed == 0


def test_docstring_examples_are_found() -> None:
    assert doctest.testmod(importlib.import_module("mmq.errors")).attempted > 0


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_of_documents(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = path.read_text("utf-8")
    assert {"python"} <= {block.language for block in blocks(text)} <= {"python", "sh"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # what a document adds to the kinds is gone after it
    monkeypatch.setattr(model, "_KINDS", {name: {**each} for name, each in model._KINDS.items()})
    run_examples(text, path.name, tmp_path)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("```python\n>>> 1 + 1\n3\n```\n", AssertionError),
        ("```python\n1 / 0\n```\n", ZeroDivisionError),
        ("```sh\nmmq no-such-verb\n```\n", subprocess.CalledProcessError),
    ],
)
def test_a_wrong_example_is_found(block: str, error: type[Exception], tmp_path: Path) -> None:
    run_examples(f"{_NOT_RUN}\n{block}", "unmarked", tmp_path)
    with pytest.raises(error):
        run_examples(block, "wrong", tmp_path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = _LINK.findall(path.read_text("utf-8"))
    assert [f"{to}#{place}" for to, place in links if not leads(path, to, place)] == []


def leads(path: Path, to: str, place: str) -> bool:
    """Whether a link of a document leads to a file, and to a heading of it where it names one."""
    target = path.parent / to if to else path
    return target.exists() and (not place or place in anchors(target.read_text("utf-8")))


def anchors(text: str) -> set[str]:
    """What links call the headings of a document."""
    headings = (re.sub(r"[^\w\- ]", "", each).lower() for each in _HEADING.findall(text))
    return {each.strip().replace(" ", "-") for each in headings}


def test_architecture_names_what_exists() -> None:
    named = _FUNCTION.findall((ROOT / "docs" / "guides" / "architecture.md").read_text("utf-8"))
    assert len(named) > 15, "the table of equations was not read"
    assert [f"{path}:{name}" for path, name in named if name not in defined(ROOT / path)] == []


def defined(path: Path) -> set[str]:
    """Names of the classes and functions of a module; none where there is no such file."""
    if not path.is_file():
        return set()
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {n.name for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, kinds)}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200
