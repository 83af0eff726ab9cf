"""The figures, from the cells: panels of points with their sd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.paper.plan import JOINTLY, LONGER, QUANTISATION, RANKING, RETRIEVAL, Row
from experiments.paper.tables import AUC, RECALL, RECON, Column, Found
from experiments.paper.variants import MMQ, baselines, length_of, lengths, specific_only

CHANCE = 0.5
"""AUC of whoever knows nothing."""

_PARAMETERS = Column(QUANTISATION, "parameters", "Parameters", None, 0)
_HELD = Column(QUANTISATION, "fvu_codes held_out", "FVU of new items, codes alone", "lower")


class Line(NamedTuple):
    """A series of a panel: its name, and the row of each point."""

    name: str
    rows: Sequence[Row]


def panel(
    found: Found, column: Column, lines: Sequence[Line], x: Sequence[Any], **looks: Any
) -> dict[str, Any] | None:
    """A panel as plain values; None where no point has a figure.

    Args:
        found: the cells.
        column: what is plotted.
        lines: the series.
        x: of the points.
        looks: ``kind`` ("bars" or "lines"), ``x_label``, and ``floor``, where bars start.
    """
    series = []
    for line in lines:
        points = [found.of(row, column) for row in line.rows]
        if any(points):
            values = [point["mean"] if point else None for point in points]
            sd = [point["sd"] if point else None for point in points]
            series.append({"name": line.name, "values": values, "sd": sd})
    if not series:
        return None
    return {"title": column.title, "y_label": column.title, "x": list(x), "series": series, **looks}


def figure3(found: Found) -> list[Any]:
    """What models find of the most popular quarter of the items, and of the least popular."""
    rows, panels = found.plan.rows["figure3"], []
    for part, key, short, floor in (
        (RETRIEVAL, "recall@10", "R@10", 0.0),
        (RANKING, "auc", "AUC", CHANCE),
    ):
        names = [row for row in rows if part in row.parts]
        for stratum, word in (("head", "popular"), ("tail", "unpopular")):
            column = Column(part, f"{stratum} {key}", f"{short}, {word} items", "higher")
            x = [row.name for row in names]
            looks = {"kind": "bars", "x_label": "", "floor": floor}
            panels.append(panel(found, column, [Line("", names)], x, **looks))
    return panels


def figure4(found: Found) -> list[Any]:
    """Before and after stage 2."""
    variants = [
        *(name for name in baselines(found.modalities) if name.endswith("RQ-VAE")), MMQ,
    ]  # fmt: skip
    stages = {"frozen": "", "trained longer": LONGER, "fine-tuned": JOINTLY}
    lines = [
        Line(name, [Row(variant, stage) for variant in variants]) for name, stage in stages.items()
    ]
    floors = {RECALL: 0.0, AUC: CHANCE}
    return [
        panel(found, each, lines, variants, kind="bars", x_label="", floor=floor)
        for each, floor in floors.items()
    ]


def figure5(found: Found) -> list[Any]:
    """By the length of the ID."""
    m = len(found.modalities)
    counts = list(lengths(m))
    rows = [Row(MMQ if n == length_of(m) else f"{MMQ}, {n} codes") for n in counts]
    return [
        panel(found, each, [Line(MMQ, rows)], counts, kind="lines", x_label="codes of an ID")
        for each in (RECON, _HELD, RECALL, AUC)
    ]


def figure6(found: Found) -> list[Any]:
    """With and without shared experts."""
    m = len(found.modalities)
    alone = specific_only(m)
    counts = [each * m for each in alone.values()]
    six = length_of(m)
    with_shared = [Row(MMQ) if n == six else Row("") for n in counts]
    lines = [
        Line("specific experts alone", [Row(name) for name in alone]),
        Line("with shared experts", with_shared),
    ]
    columns = (_PARAMETERS, RECON, _HELD, RECALL, AUC)
    return [panel(found, each, lines, counts, kind="lines", x_label="experts") for each in columns]


FIGURES: Mapping[str, Callable[[Found], list[Any]]] = {
    "figure3": figure3,
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
}
