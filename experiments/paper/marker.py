"""The file that marks the folder of a reproduction: what it is of, and what its report shows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.cells import CELLS, UNFINISHED
from experiments.paper.folders import DATA, REPORT, RESULTS
from mmq._artifacts import made_folder
from mmq._formats import read_json, write_json
from mmq.errors import DataError
from mmq.made_from import differences

MARKER = "reproduction.json"
FORMAT = 1


class OtherReproductionError(DataError):
    """A folder holds a reproduction of something else."""


def mark_folder(out: Path, of: Mapping[str, Any]) -> None:
    """Say what the folder is of, as far as it is known.

    Raises:
        OtherReproductionError: it is of something else.
    """
    known = marked(out)
    both = of.keys() & known.keys()
    if told := differences({name: of[name] for name in both}, {name: known[name] for name in both}):
        raise OtherReproductionError(
            f"{out} holds a reproduction made from other inputs ({told}); choose another --out, or "
            "replace it with --force"
        )
    if of.keys() - known.keys():
        with made_folder(out):
            write_json(out / MARKER, {**known, **of})


def clear(out: Path) -> None:
    """Remove a reproduction; what else is in its folder stays."""
    shown = [*out.glob("table*.csv"), *out.glob("figure*")]
    for path in (*shown, *(out / name for name in (CELLS, UNFINISHED, DATA, RESULTS, REPORT))):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (out / MARKER).unlink()


def remember(out: Path, artefacts: list[str], parts: list[str], seeds: int) -> None:
    """Let later runs in the folder know what its report shows."""
    asked = {"artefacts": artefacts, "parts": parts, "seeds": seeds}
    write_json(out / MARKER, {**marked(out), **asked})


def marked(out: Path) -> dict[str, Any]:
    """What is known of the folder."""
    path = out / MARKER
    return read_json(path, "reproduction") if path.exists() else {"format": FORMAT}
