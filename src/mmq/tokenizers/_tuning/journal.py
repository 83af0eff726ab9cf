"""The folder of a tuning: plan.json, a line of trials.jsonl for every fit, then the result.

``plan.json`` says what is searched, and a tuning is only ever gone on with under the same plan.
``trials.jsonl`` grows by one whole line when a fit is done; a line torn by a kill is cut off.
``tuning.json`` (all of it as data) and ``best.toml`` (the settings chosen) come at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmq._artifacts import (
    check_own_folder,
    check_replaceable,
    disk_errors,
    write_file,
    write_folder,
)
from mmq._formats import (
    CHECKSUM,
    is_as_written,
    parse_json,
    read_json,
    to_json,
    with_checksum,
    write_json,
)
from mmq.errors import DataError, FormatError
from mmq.made_from import differences
from mmq.settings import to_toml
from mmq.tokenizers._base import Figures

FORMAT = 1
PLAN, TRIALS, RESULT, BEST = "plan.json", "trials.jsonl", "tuning.json", "best.toml"


Standing = Literal["refuse", "resume", "replace"]
"""What to do with a tuning that stands in the folder: refuse to touch it, go on with it, or make
another in its place."""


class Trial(NamedTuple):
    """One fit.

    Attributes:
        number: which of the settings; 0 are the defaults.
        rung: "short" for a third of the epochs, "full" for all.
        epochs: passes made; None for a kind of tokenizer that has no epochs.
        settings: those that are fixed and those drawn; all others are the defaults.
        figures: of the fit, with the parts "fit" and "held_out"; None where it failed.
        error: why it failed; None where it did not.
        seconds: wall time.
    """

    number: int
    rung: str
    epochs: int | None
    settings: dict[str, Any]
    figures: dict[str, Any] | None
    error: str | None
    seconds: float


class Journal:
    """The trials that are done, in memory and, with a folder, on disk.

    The folder is made when the first trial is done, so that a mistake leaves nothing behind.

    Args:
        folder: where; None keeps trials in memory alone.
        plan: what is searched, as plain values.
        standing: what to do with a tuning that is there; it goes when the first trial is done.

    Raises:
        DataError: the folder holds something else, or a tuning that nobody said what to do with.
        FormatError: the tuning that is there has another plan, or is damaged.
    """

    def __init__(self, folder: Path | None, plan: Mapping[str, Any], standing: Standing) -> None:
        self.folder = folder
        self.plan: dict[str, Any] = json.loads(to_json({"format": FORMAT, **plan}))
        self.trials: list[Trial] = []
        self._begun = False
        if folder is None:
            return
        check_replaceable(folder, PLAN)
        if (folder / PLAN).exists() and standing == "replace":
            check_own_folder(folder, (PLAN, TRIALS, RESULT, BEST), PLAN, ("format", "space"))
        elif (folder / PLAN).exists():
            self._check_plan(folder)
            if standing == "refuse":
                raise DataError(
                    f"{folder} holds a tuning already; go on with it by --resume, choose another "
                    "--out, or replace it with --force"
                )
            self.trials = _read_trials(folder / TRIALS)
            self._begun = True

    def find(self, number: int, rung: str) -> Trial | None:
        """A trial that is done."""
        return next((t for t in self.trials if (t.number, t.rung) == (number, rung)), None)

    def add(self, trial: Trial) -> None:
        """Keep a trial."""
        self.trials.append(trial)
        if self.folder is None:
            return
        with disk_errors(self.folder):
            if not self._begun:
                with write_folder(self.folder, PLAN) as temporary:
                    write_json(temporary / PLAN, self.plan)
                self._begun = True
            with (self.folder / TRIALS).open("ab") as file:
                file.write((to_json(with_checksum(trial._asdict())) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())

    def finish(self, result: Mapping[str, Any], settings: Mapping[str, Any], note: str) -> None:
        """Write tuning.json and best.toml, which begins with ``note``."""
        if self.folder is None:
            return
        write_json(self.folder / RESULT, {**self.plan, **result})
        with write_file(self.folder / BEST) as temporary:
            temporary.write_text(f"# {note}\n{to_toml(settings)}", "utf-8")

    def _check_plan(self, folder: Path) -> None:
        found = read_json(folder / PLAN, "plan of a tuning")
        if told := differences(self.plan, found):
            raise FormatError(
                f"{folder} holds a tuning with another plan ({told}); repeat the command that it "
                "was started with, choose another --out, or replace it with --force"
            )


def _checked(line: bytes) -> dict[str, Any]:
    values = parse_json(line)
    if not is_as_written(values):
        raise ValueError("a line is not as it was written")
    return {name: each for name, each in values.items() if name != CHECKSUM}


def _read_trials(path: Path) -> list[Trial]:
    """The whole lines; a torn last one is cut off the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    try:
        trials = [Trial(**_checked(line)) for line in content[:whole].splitlines()]
        for figures in (trial.figures for trial in trials if trial.figures is not None):
            for name in Figures._fields:
                figures[name]["held_out"]
        return trials
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(
            f"{path} is damaged ({error}); remove the folder and run again without --resume"
        ) from None
