"""Markdown of rows: figures with their deviation, tests, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.results import Row

LEAST_SEEDS = 3
"""A row of fewer says so."""


class Column(NamedTuple):
    """A column of figures.

    Attributes:
        title: of the column.
        path: names of the figure in a row, with slashes between them.
        digits: after the point.
    """

    title: str
    path: str
    digits: int = 4


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    every = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in every) + "\n"


def templated(columns: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> str:
    """A table of records: title -> template of the cell, such as ``{items:,}``."""
    lines = [[each.format(**record) for each in columns.values()] for record in records]
    return table(list(columns), lines)


def at(row: Mapping[str, Any], path: str) -> Any:
    """What stands in a row at a path; None where nothing does."""
    found: Any = row
    for name in path.split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def cell(value: Any, digits: int = 3) -> str:
    """``mean ± sd``, a word, several words, or a dash."""
    if value is None:
        return "-"
    if not isinstance(value, Mapping):
        return str(value)
    if "mean" not in value:
        return ", ".join(sorted(set(map(str, value["values"]))))
    sd = "" if value["sd"] is None else f" ± {value['sd']:,.{digits}f}"
    return f"{value['mean']:,.{digits}f}{sd}"


def measured(rows: Sequence[Row], columns: Iterable[Column]) -> list[Column]:
    """The columns that any row has a figure of."""
    return [each for each in columns if any(at(row, each.path) is not None for row in rows)]


def figures(
    head: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    name: Callable[[Row], str] = lambda row: with_seeds(row),
    more: Mapping[str, Callable[[Row], str]] | None = None,
) -> str:
    """A line a row: its name, its figures, and what else is told of it."""
    more = more or {}
    lines = [
        [
            name(row),
            *(cell(at(row, each.path), each.digits) for each in columns),
            *(tell(row) for tell in more.values()),
        ]
        for row in rows
    ]
    return table([head, *(each.title for each in columns), *more], lines)


def counted(seeds: int) -> str:
    """So many seeds, in words."""
    return f"{seeds} seed{'s' * (seeds > 1)}"


def with_seeds(row: Row) -> str:
    """The name of a row, and how many seeds it has where these are few."""
    seeds = len(row["seeds"])
    return row["row"] if seeds >= LEAST_SEEDS else f"{row['row']} ({counted(seeds)})"


def group(rows: Iterable[Row], name: str) -> list[Row]:
    """The rows of a group, ``group | row``, without the group in their names."""
    start = f"{name} | "
    return [
        {**row, "row": row["row"].removeprefix(start)}
        for row in rows
        if row["row"].startswith(start)
    ]


def p_value(p: float) -> str:
    """Two digits of it, or that it is small."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def ahead(rows: Sequence[Row], other: str | Callable[[str], str]) -> Callable[[Row], str]:
    """Tells by how much a row is ahead of another one, and how likely that is by chance.

    Args:
        rows: all rows; the test of two stands with either.
        other: name of the other row, or what gives it from the name of a row.
    """
    tests = {(row["row"], name): test for row in rows for name, test in against(row).items()}

    def tell(row: Row) -> str:
        name = row["row"]
        control = other if isinstance(other, str) else other(name)
        for pair, sign in (((name, control), 1), ((control, name), -1)):
            if test := tests.get(pair):
                return f"{sign * test['difference']:+.4f} ({p_value(test['p_value'])})"
        return "-"

    return tell


def against(row: Row) -> Mapping[str, Any]:
    """The tests that stand with a row."""
    found: Mapping[str, Any] = row.get("against", {})
    return found


def source(rows: Iterable[Row], command: str) -> str:
    """Where rows come from: command, commits, machines, versions."""
    rows = list(rows)
    commits = sorted({commit for row in rows for commit in row["commit"]})
    every = [machine for row in rows for machine in row["machine"]]
    return origin(commits, every, command)


def origin(commits: Iterable[str], every: Sequence[Mapping[str, Any]], command: str) -> str:
    """The same of commits and machines."""
    machine = "{cores} cores ({processor}), {threads} threads"
    machines = sorted({machine.format(**each) for each in every})
    told = f"`{command}`, commit {', '.join(commits)}; {' and '.join(machines)}"
    if "python" in every[0]:
        told += f"; Python {every[0]['python']}, {versions(every[0])}"
    return f"{told}.\n"


def versions(machine: Mapping[str, Any]) -> str:
    """Names and numbers of libraries."""
    return ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
