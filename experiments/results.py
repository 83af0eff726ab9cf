"""Results of rows over seeds: one form for all, a list of rows under ``benchmarks/results``.

A row is ``{"data", "row", "seeds", ...}``; what its cells measured stands there under the same
names, a number as ``{"mean", "sd", "values"}`` over the seeds, anything else as it is, or, where
seeds differ, as ``{"values"}``. ``against`` holds paired tests with other rows; ``commit`` and
``machine`` say where the cells were made.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmq.metrics.resampling import PerUser, paired_by_user

Row = dict[str, Any]
Cells = Mapping[int, Mapping[str, Any]]
Users = Mapping[int, Mapping[str, np.ndarray]]

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
MACHINE = ("cores", "processor", "threads", "python", "versions")


def mean_sd(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation of the seeds, with the values."""
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "values": [float(value) for value in values],
    }


def spread(found: Sequence[Any]) -> Any:
    """What several cells say under one name, in the form of the module."""
    first = found[0]
    if all(isinstance(each, Mapping) for each in found):
        names = dict.fromkeys(itertools.chain.from_iterable(found))
        return {name: spread([each[name] for each in found if name in each]) for name in names}
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in found):
        return mean_sd(found)
    return first if all(each == first for each in found) else {"values": list(found)}


def common(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of several cells, but for their seeds, which are those of the row."""
    names = dict.fromkeys(itertools.chain.from_iterable(found))
    kept = {name: [each[name] for each in found if name in each] for name in names}
    return {
        name: each[0] if all(value == each[0] for value in each) else {"values": each}
        for name, each in kept.items()
        if name != "seed"
    }


def as_row(data: str, name: str, cells: Cells) -> Row:
    """The row of some cells.

    Args:
        data: what it was measured on.
        name: of the row.
        cells: seed -> ``{"settings", "figures", "log"}`` and where it was made.
    """
    runs = list(cells.values())
    row = {
        "data": data,
        "row": name,
        "seeds": list(cells),
        **spread([run["figures"] for run in runs]),
        "settings": common([run.get("settings") or {} for run in runs]),
        "commit": sorted({run["commit"] or "unknown" for run in runs}),
        "machine": machines(runs),
    }
    if any(run.get("log") for run in runs):
        row["log"] = [run.get("log") for run in runs]
    return row


def machines(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where some cells were made, each machine once."""
    found: list[dict[str, Any]] = []
    for run in runs:
        machine = {name: run[name] for name in MACHINE if name in run}
        if "mmq" in run:
            machine["versions"] = {"mmq-tokenizer": run["mmq"], **machine["versions"]}
        if machine not in found:
            found.append(machine)
    return found


def compare(rows: Iterable[Row], users: Mapping[str, Users]) -> None:
    """Add the paired tests of all rows whose figures of single users are at hand.

    Args:
        rows: to add them to; the test of two rows stands with the first.
        users: name of a row -> seed -> ``figure`` of each user, and ``user``, their ids.
    """
    for one, other in itertools.combinations(rows, 2):
        first, second = (users.get(row["row"], {}) for row in (one, other))
        seeds = sorted(first.keys() & second.keys())
        if len(seeds) > 1:
            runs = [(_per_user(first[seed]), _per_user(second[seed])) for seed in seeds]
            test = {"seeds": len(seeds), **paired_by_user(runs)._asdict()}
            one.setdefault("against", {})[other["row"]] = test


def _per_user(stored: Mapping[str, np.ndarray]) -> PerUser:
    figures = stored["figure"]
    return PerUser(stored.get("user", np.arange(len(figures))), figures)


def read(name: str) -> list[Row]:
    """The rows of a results file, by its name; none where there is no such file."""
    path = RESULTS / f"{name}.json"
    rows: list[Row] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return rows


def renew(name: str, rows: Sequence[Row], order: Iterable[str]) -> None:
    """Write rows to a results file, in the place of namesakes of no more seeds; the others stay.

    Args:
        name: of the file.
        rows: that were measured.
        order: names of all rows, as they are to stand there.
    """
    old = {row["row"]: row for row in read(name)}
    new = {
        row["row"]: row
        for row in rows
        if len(row["seeds"]) >= len(old.get(row["row"], row)["seeds"])
    }
    for row in new.values():  # tests against rows that were not measured here stay as well
        kept = old.get(row["row"], {}).get("against", {})
        if against := {**kept, **row.get("against", {})}:
            row["against"] = against
    found = {**old, **new}
    first = {row: found[row] for row in order if row in found}
    write(RESULTS / f"{name}.json", list({**first, **found}.values()))


def write(path: Path, value: Any) -> None:
    """Write a results file by renaming."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    temporary.replace(path)
