"""The report of a reproduction: its verdicts, tables and figures in one page, and as files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from experiments.paper.plots import Colours, draw, save, series_colours
from mmq._artifacts import write_file
from mmq._formats import to_json
from mmq._progress import duration
from mmq._version import __version__
from mmq.metrics.resampling import SIGNIFICANT
from mmq.reports._template import write_page

REPORT = "report.html"

TONES = {"holds": "good", "does not hold": "poor", "not decidable": "fair"}
"""Class of a verdict's colour."""

PIXELS = 118
"""Of an inch of a figure, so that its letters are as large in all."""

_FIGURE, _TEST = ("mean", "sd"), ("difference", "low", "high", "p")
"""Parts of a figure, and of its test against the row compared with, that a CSV has."""

NOTHING = "\N{EN DASH}"
"""What stands where there is no figure."""

Results = Mapping[str, Any]


class Picture(NamedTuple):
    """A figure as the page holds it, and the pixels of its width."""

    uri: str
    width: int


class Cell(NamedTuple):
    """A figure of a table as it is shown.

    Attributes:
        mean: its text, or a dash.
        sd: text of the deviation over seeds; empty where there is none.
        best: of its column.
        mark: ``better`` or ``worse`` than the row compared with; empty where neither is known.
        note: the figure of each seed, and interval and p of the difference, for whoever points at
            it.
        starts: whether a group of columns starts here.
    """

    mean: str
    sd: str
    best: bool
    mark: str
    note: str
    starts: bool


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write every table as ``NAME.csv``, each whole or not at all; their paths.

    The columns are ``row``, then of every figure ``KEY mean`` and ``KEY sd``, and of the paired
    test against the row compared with ``KEY difference``, ``KEY low`` and ``KEY high``, the ends of
    its 95% interval, and ``KEY p``. All are unrounded, and empty where nothing is known.

    Args:
        results: of the reproduction.
        folder: where to write; made if it is not there.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    paths = []
    for name, table in _all(results, "tables").items():
        paths.append(folder / f"{name}.csv")
        with (
            write_file(paths[-1]) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(_csv_rows(table))
    return paths


def write_paper(results: Results, folder: Path) -> Path:
    """Write tables and figures as files, and ``report.html``, which shows all and needs no other.

    Every file is written whole or not at all; the page comes last. Equal results give equal bytes.

    Args:
        results: of the reproduction, as read from its JSON.
        folder: where to write; made if it is not there.

    Returns:
        The path of the page.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    write_tables(results, folder)
    figures, tables = _all(results, "figures"), _all(results, "tables")
    compared = [each["compared_with"] for each in tables.values() if each.get("compared_with")]
    colours = series_colours(figures.values(), compared)
    pictures = {name: _picture(each, colours, folder, name) for name, each in figures.items()}
    write_page(folder / REPORT, REPORT, _context(results, pictures), Path(__file__).parent)
    return folder / REPORT


def _picture(figure: Results, colours: Colours, folder: Path, name: str) -> Picture:
    drawn = draw(figure, colours)
    return Picture(save(drawn, folder, name), round(PIXELS * drawn.get_figwidth()))


def _all(results: Results, kind: str) -> Mapping[str, Any]:
    """The tables or figures by name; a reproduction of a part has none of the others."""
    found: Mapping[str, Any] = results.get(kind) or {}
    return found


def _csv_rows(table: Results) -> Iterator[list[Any]]:
    keys = [column["key"] for column in table["columns"]]
    yield ["row", *(f"{key} {part}" for key in keys for part in (*_FIGURE, *_TEST))]
    for row in table["rows"]:
        values: list[Any] = [row["name"]]
        for key in keys:
            figure, test = row["figures"].get(key) or {}, _test(row, key)
            values += [*map(figure.get, _FIGURE), *map(test.get, _TEST)]
        yield values


def _context(results: Results, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    cells, claims = results["cells"], results.get("claims") or []
    artefacts = {**_all(results, "tables"), **_all(results, "figures")}
    return {
        "data": results["data"],
        "modalities": [
            f"{name} ({width})" for name, width in results["data"]["modalities"].items()
        ],
        "scale": results["scale"],
        "seeds": results["seeds"],
        "commit": results["provenance"].get("commit") or "unknown",
        "cells": cells,
        "runs": cells["done"] + cells["left"] + len(cells["failed"]),
        "duration": duration(cells["seconds"]),
        "summary": _summary([claim["verdict"] for claim in claims]),
        "tones": TONES,
        "claims": claims,
        "labels": {name: each["title"].partition(":")[0] for name, each in artefacts.items()},
        "tables": {name: _table(each) for name, each in _all(results, "tables").items()},
        "figures": {
            name: _figure(each) | {"picture": pictures[name]}
            for name, each in _all(results, "figures").items()
        },
        "nothing": NOTHING,
        "significant": SIGNIFICANT,
        "settings": _flat(results["settings"]),
        "made_by": results["provenance"].get("mmq", __version__),
        "provenance": _flat(results["provenance"]),
    }


def _table(table: Results) -> dict[str, Any]:
    """What the page shows of a table; ``has`` tells which signs its caption has to explain."""
    columns: Sequence[Mapping[str, Any]] = table["columns"]
    other = next((r for r in table["rows"] if r["name"] == table.get("compared_with")), None)
    groups = [(name, len(list(of))) for name, of in groupby(columns, lambda c: c.get("group"))]
    best = [_best(column, table["rows"]) for column in columns]
    starts = [
        at == 0 or column.get("group") != columns[at - 1].get("group")
        for at, column in enumerate(columns)
    ]
    rows = [
        {
            "name": row["name"],
            "compared": row is other,
            "cells": [_cell(row, other, *each) for each in zip(columns, best, starts, strict=True)],
        }
        for row in table["rows"]
    ]
    cells = [cell for row in rows for cell in row["cells"]]
    return {
        **table,
        "groups": groups if any(name for name, _ in groups) else [],
        "columns": [
            {**column, "starts": first} for column, first in zip(columns, starts, strict=True)
        ],
        "rows": rows,
        "has": {
            "sd": any(cell.sd for cell in cells),
            "alone": any(cell.mean != NOTHING and not cell.sd for cell in cells),
            "best": any(cell.best for cell in cells),
            "mark": any(cell.mark for cell in cells),
            "nothing": any(cell.mean == NOTHING for cell in cells),
            "better": any(column["better"] for column in columns),
        },
    }


def _figure(figure: Results) -> dict[str, Any]:
    """What the page shows of a figure; its caption explains whiskers and gaps where it has any."""
    series = [each for panel in figure["panels"] for each in panel["series"]]
    return {
        **figure,
        "spread": any(sd is not None for each in series for sd in each.get("sd") or []),
        "gaps": any(value is None for each in series for value in each["values"]),
    }


def _cell(row: Results, other: Results | None, column: Results, best: str, starts: bool) -> Cell:
    figure = _measured(row, column)
    if figure is None:
        return Cell(NOTHING, "", False, "", "", starts)
    shown, sd, test = _shown(figure["mean"], column), figure.get("sd"), _test(row, column["key"])
    seeds = [_shown(value, column) for value in figure.get("values") or []]
    notes = [f"seeds: {', '.join(seeds)}"] if len(seeds) > 1 else []
    if test and other is not None:
        low, high = (_shown(test[end], column, "+") for end in ("low", "high"))
        notes.append(f"{low} to {high} against {other['name']}, p = {test['p']:.2g}")
    return Cell(
        mean=shown,
        sd="" if sd is None else f"\N{PLUS-MINUS SIGN}{_shown(sd, column)}",
        best=shown == best,
        mark=_mark(test, column),
        note="; ".join(notes),
        starts=starts,
    )


def _test(row: Results, key: str) -> Mapping[str, float]:
    """The paired test of a figure of a row; nothing where there is none."""
    found: Mapping[str, float] = (row.get("against") or {}).get(key) or {}
    return found


def _mark(test: Mapping[str, float], column: Results) -> str:
    """Whether a figure is better or worse than the one compared with, by more than chance."""
    if not test or not column["better"] or test["p"] >= SIGNIFICANT:
        return ""
    return "better" if (test["difference"] > 0) == (column["better"] == "higher") else "worse"


def _best(column: Results, rows: Sequence[Results]) -> str:
    """Text of the best mean; empty where no direction is the better one, or all read the same.

    Means that read the same are all the best: the digits that would tell them apart are not shown.
    """
    means = [figure["mean"] for row in rows if (figure := _measured(row, column))]
    if not column["better"] or len({_shown(mean, column) for mean in means}) < 2:
        return ""
    return _shown(max(means) if column["better"] == "higher" else min(means), column)


def _measured(row: Results, column: Results) -> Mapping[str, Any] | None:
    """A figure of a row, None where it was not measured."""
    figure: Mapping[str, Any] = row["figures"].get(column["key"]) or {}
    return None if figure.get("mean") is None else figure


def _shown(value: float | None, column: Results, sign: str = "") -> str:
    if value is None:
        return NOTHING
    digits = column["digits"]
    return f"{round(value, digits) + 0.0:{sign},.{digits}f}"  # adding zero turns -0.0 into 0.0


def _summary(verdicts: Sequence[str]) -> list[str]:
    """How many claims got each verdict, as parts of a sentence."""
    spoken = {"holds": "hold", "does not hold": "do not hold", "not decidable": "cannot be decided"}
    counts = {verdict: verdicts.count(verdict) for verdict in spoken}
    return [
        f"{number} {verdict if number == 1 and verdict != 'not decidable' else spoken[verdict]}"
        for verdict, number in counts.items()
        if number
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as pairs of a dotted name and a text."""
    pairs = []
    for key, each in value.items():
        if isinstance(each, Mapping) and each:
            pairs += _flat(each, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", _text(each)))
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value) or NOTHING
    return value if isinstance(value, str) else to_json(value)
