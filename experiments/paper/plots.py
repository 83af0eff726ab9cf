"""The figures of the paper, drawn from plain results: panels of bars or lines, with whiskers."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmq._artifacts import write_file
from mmq.reports._page import MODALITIES, SHARED
from mmq.reports._plots import INK, LINE, MUTED, STYLE, data_uri, svg

PALETTE = (*MODALITIES[:2], SHARED, MODALITIES[4], MODALITIES[2], MODALITIES[3], MODALITIES[5])
"""The project's colours, in an order that keeps like ones apart; lighter ones follow."""

MARKERS = "osD^vPX"
"""One a colour, so that lines can be told apart in print without colours."""

WIDTHS = {1: 5.6, 2: 9.6, 3: 10.2}
"""Inches of a figure by its panels in a row."""

HEIGHT, ENTRY = 2.65, 0.18
"""Inches of a row of panels, and of a row of the legend."""

MOST_LABELS = 8
"""Bars of a panel that still have space for their values above them."""

CLOSEST = 0.09
"""Share of the axis that two numbers on it may be apart; nearer ones are spaced evenly instead."""

CHARACTER = 0.066
"""Inches of an average character."""

Colours = Mapping[str, str]


class Look(NamedTuple):
    """How a series is told from the others."""

    colour: str
    marker: str


Looks = Mapping[str, Look]


def series_colours(figures: Iterable[Mapping[str, Any]], first: Sequence[str] = ()) -> Colours:
    """Colour of every series, by name: the same in all figures, and its own within each.

    Args:
        figures: all that appear together.
        first: names that choose before the others.
    """
    together = [_names(figure) for figure in figures]
    chosen: dict[str, int] = {}
    for name in dict.fromkeys([*first, *(name for names in together for name in names)]):
        near = {other for names in together if name in names for other in names}
        taken = {chosen[other] for other in near if other in chosen}
        chosen[name] = next(number for number in count() if number not in taken)
    return {name: _colour(number) for name, number in chosen.items()}


def draw(figure: Mapping[str, Any], colours: Colours | None = None) -> Figure:
    """The figure with its panels side by side, at most three in a row, and one legend for all.

    Bars that are null have a dash in their place, points that are null leave a gap.

    Args:
        figure: ``panels``, each with ``title``, ``kind`` (``bars`` or ``lines``), ``x_label``,
            ``y_label``, ``x``, ``series`` of ``name`` (empty for one that needs none), ``values``
            and ``sd``, and, if bars do not start at 0, ``floor``.
        colours: of the series by name, where they are to be those of other figures too.
    """
    panels = figure["panels"]
    columns = 2 if len(panels) == 4 else max(1, min(3, len(panels)))
    rows, width = max(1, -(-len(panels) // columns)), WIDTHS[columns]
    names, colours = _names(figure), colours or series_colours([figure])
    looks = {name: Look(colours[name], mark) for name, mark in zip(names, cycle(MARKERS))}
    entries = _legend_columns(names, width)
    turns = [_turn(panel, width / columns) for panel in panels]
    height = 0.2 + ENTRY * -(-len(names) // entries) + (HEIGHT + 0.4 * any(turns)) * rows
    with mpl.rc_context(STYLE | {"text.parse_math": False}):  # a $ in a name is a $
        layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06)
        drawn = Figure(figsize=(width, height), layout=layout)
        handles: dict[str, Any] = {}
        for number, (panel, turn) in enumerate(zip(panels, turns, strict=True), 1):
            axes = drawn.add_subplot(rows, columns, number)
            _frame(axes, panel)
            handles = _PANELS[panel["kind"]](axes, panel, looks) | handles
            if turn:
                for label in axes.get_xticklabels():
                    label.set(rotation=turn, ha="right", rotation_mode="anchor")
        if shown := [name for name in names if name]:
            drawn.legend(
                [handles[name] for name in shown],
                shown,
                loc="outside upper left",
                ncols=entries,
                frameon=False,
                handlelength=1.4,
                columnspacing=1.6,
            )
    return drawn


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write ``name.png`` and ``name.svg``, both whole or neither.

    Returns:
        The SVG as a data URI, for a page.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None}
        )
        vector = svg(figure)
    with write_file(folder / f"{name}.png") as png, write_file(folder / f"{name}.svg") as plain:
        png.write_bytes(buffer.getvalue())
        plain.write_bytes(vector)
    return data_uri(vector)


def _bars(axes: Axes, panel: Mapping[str, Any], looks: Looks) -> dict[str, Any]:
    """Draw one bar a series at each x; the handles of the legend by name."""
    series = panel["series"]
    width, floor = 0.8 / max(1, len(series)), float(panel.get("floor", 0.0))
    labelled = len(series) * len(panel["x"]) <= MOST_LABELS
    for number, each in enumerate(series):
        values, spread = _numbers(each)
        places = np.arange(len(values)) + (number - (len(series) - 1) / 2) * width
        there = ~np.isnan(values)
        axes.bar(
            places[there],
            values[there] - floor,
            0.92 * width,
            bottom=floor,
            color=looks[each["name"]].colour,
            label=each["name"],
        )
        _whiskers(axes, places, values, spread, INK)
        for place in places[~there]:
            axes.text(place, floor, "\N{EN DASH}", ha="center", va="bottom", color=MUTED)
        if labelled:
            _label(axes, places[there], values[there], np.nan_to_num(spread[there]))
    axes.axhline(floor, color=MUTED, linewidth=0.8)
    axes.set_xticks(np.arange(len(panel["x"])), [str(each) for each in panel["x"]])
    axes.set_xlim(-0.6, len(panel["x"]) - 0.4)
    axes.margins(y=0.12 if labelled else 0.05)
    axes.tick_params(axis="x", length=0)
    return {each["name"]: Patch(color=looks[each["name"]].colour) for each in series}


def _lines(axes: Axes, panel: Mapping[str, Any], looks: Looks) -> dict[str, Any]:
    """Draw one line a series; the handles of the legend by name."""
    places = _places(panel["x"])
    handles = {}
    for each in panel["series"]:
        values, spread = _numbers(each)
        colour, marker = looks[each["name"]]
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 4.5,
            "linewidth": 1.5,
        }
        axes.plot(places, values, label=each["name"], **style)
        _whiskers(axes, places, values, spread, colour)
        handles[each["name"]] = Line2D([], [], **style)
    axes.set_xticks(places, [str(each) for each in panel["x"]])
    axes.margins(x=0.06, y=0.08)
    return handles


_PANELS = {"bars": _bars, "lines": _lines}


def _whiskers(
    axes: Axes, places: np.ndarray, values: np.ndarray, spread: np.ndarray, colour: str
) -> None:
    there = ~np.isnan(values + spread)
    if there.any():
        axes.errorbar(
            places[there], values[there], spread[there],
            fmt="none", ecolor=colour, elinewidth=1, capsize=2,
        )  # fmt: skip


def _label(axes: Axes, places: np.ndarray, values: np.ndarray, spread: np.ndarray) -> None:
    """Write the values beyond the ends of their bars and whiskers, the largest in three digits."""
    largest = float(np.abs(values).max(initial=0))
    digits = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    for place, value, beyond in zip(places, values, spread, strict=True):
        up = 1 if value >= 0 else -1
        axes.annotate(
            f"{value:,.{digits}f}",
            (place, value + up * beyond),
            xytext=(0, up * 2),
            textcoords="offset points",
            ha="center",
            va="bottom" if up > 0 else "top",
            fontsize=7,
        )


def _frame(axes: Axes, panel: Mapping[str, Any]) -> None:
    axes.set_title(panel["title"], loc="left", fontsize=8.5, fontweight="bold", pad=8)
    axes.set(xlabel=panel["x_label"] or "", ylabel=panel["y_label"] or "")
    axes.locator_params(axis="y", nbins=5, min_n_ticks=3)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _turn(panel: Mapping[str, Any], width: float) -> int:
    """Degrees that the names below an axis are turned by, so as not to run into each other."""
    longest = max((len(str(each)) for each in panel["x"]), default=0)
    each = (width - 0.6) / max(1, len(panel["x"]))
    if (longest + 1) * CHARACTER <= each:
        return 0
    return 30 if each > 0.27 else 60


def _places(x: Sequence[Any]) -> np.ndarray:
    """Where the x of a line stand: as numbers where these are rising and not too close."""
    even = np.arange(len(x), dtype=np.float64)
    if len(x) < 2 or not all(isinstance(each, int | float) for each in x):
        return even
    numbers = np.array(x, np.float64)
    close = np.diff(numbers).min() < CLOSEST * np.ptp(numbers)
    return even if close else numbers


def _numbers(series: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values and deviations; null is NaN."""
    values = np.array(series["values"], np.float64)
    spread = series.get("sd")
    return values, np.full(len(values), np.nan) if spread is None else np.array(spread, np.float64)


def _names(figure: Mapping[str, Any]) -> list[str]:
    return list(
        dict.fromkeys(each["name"] for panel in figure["panels"] for each in panel["series"])
    )


def _legend_columns(names: Sequence[str], width: float) -> int:
    longest = max((len(name) for name in names), default=0)
    return max(1, min(len(names), int(width / (CHARACTER * longest + 0.5))))


def _colour(number: int) -> str:
    """The palette's colours in turn, each round halfway nearer to white."""
    turn, place = divmod(number, len(PALETTE))
    share = 0.5**turn
    red, green, blue = (share * part + 1 - share for part in to_rgb(PALETTE[place]))
    return to_hex((red, green, blue))
