"""The plots of a report, as SVG in data URIs; no pyplot, so no state and no display."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, LINE = "#26292e", "#6b7078", "#dcd9d2"
ACCENT = "#23877a"

MOST_POINTS = 400
"""Points of a usage curve; larger codebooks are thinned out evenly, the ends stay."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "text.parse_math": False,  # names of modalities are text, whatever is in them
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.hashsalt": "mmq",  # equal plots are equal bytes
}


def usage_plot(count: np.ndarray, colour: str) -> str:
    """Items of every code of a codebook, most used first, with the line of even use.

    Args:
        count: ``(codebook size,)`` items of each code.
        colour: of the filled curve.
    """
    ordered, size = np.sort(count)[::-1], len(count)
    place = np.unique(np.linspace(0, size - 1, min(size, MOST_POINTS)).astype(np.int64))
    even, top = count.sum() / size, float(max(count.max(), 1))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.3, 1.75), layout="constrained")
        axes = figure.add_subplot()
        axes.fill_between(place + 0.5, ordered[place], step="mid", color=colour, alpha=0.85, lw=0)
        axes.axhline(even, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"even use: {_short(even)}",
            (size, even),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
        )
        axes.set(
            xlim=(0, size), ylim=(0, 1.05 * top), xlabel=f"its {size:,} codes, most used first"
        )
        axes.set_ylabel("items")
        axes.set_yticks([0, top], ["0", _short(top)])
        axes.set_xticks([])
        axes.spines[["top", "right"]].set_visible(False)
        return data_uri(svg(figure))


def bars_plot(parts: Mapping[str, Mapping[str, float]], colours: Mapping[str, str]) -> str:
    """Horizontal bars from 0 to 1, one block a modality, one bar a part.

    Args:
        parts: part -> modality -> figure.
        colours: of each modality.
    """
    modalities = list(dict.fromkeys(name for part in parts.values() for name in part))
    shades = np.linspace(1, 0.45, len(parts))
    with mpl.rc_context(STYLE):
        height = 0.35 + 0.26 * (len(parts) + 0.7) * len(modalities)
        figure = Figure(figsize=(5.4, height), layout="constrained")
        axes = figure.add_subplot()
        ticks, place = [], 0.0
        for modality in modalities:
            for (part, figures), shade in zip(parts.items(), shades, strict=True):
                if modality in figures:
                    value = figures[modality]
                    axes.barh(place, value, 0.82, color=colours[modality], alpha=shade)
                    axes.text(value + 0.01, place, f"{value:.3f}", va="center")
                    ticks.append((place, f"{modality}, {part.replace('_', ' ')}"))
                    place += 1
            place += 0.7
        longest = max((value for part in parts.values() for value in part.values()), default=1.0)
        axes.set(xlim=(0, max(1.0, longest) * 1.1))
        axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(*_columns(ticks))
        axes.set_xticks([0, 0.5, 1], ["0: nothing lost", "0.5", "1: all lost"])
        axes.invert_yaxis()
        axes.tick_params(left=False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        return data_uri(svg(figure))


def nearness_plot(by_codes: Mapping[str, tuple[np.ndarray, np.ndarray]], least_pairs: int) -> str:
    """How alike items are that share 0, 1, 2... codes, one line for each ID.

    Args:
        by_codes: name -> mean likeness by codes shared, and the pairs that each is a mean of.
        least_pairs: points of fewer are left out.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.6), layout="constrained")
        axes = figure.add_subplot()
        styles = zip(by_codes.items(), (MUTED, ACCENT), (":", "-"), strict=False)
        for (name, (alike, pairs)), colour, line in styles:
            there = np.flatnonzero(pairs >= least_pairs)
            axes.plot(there, alike[there], line, marker="o", markersize=4, color=colour, label=name)
        axes.set(xlabel="codes that two items share", ylabel="likeness in behaviour")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
        return data_uri(svg(figure))


def curves_plot(values: Sequence[float], name: str, best: int) -> str:
    """A figure by epoch, counted from 1, with a line at the epoch that was kept.

    Args:
        values: one an epoch.
        name: of the figure.
        best: the epoch that was kept; 0 for none.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.3, 1.9), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(range(1, len(values) + 1), values, "-o", color=ACCENT, markersize=3)
        if best:
            axes.axvline(best, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        return data_uri(svg(figure))


def epochs_plot(
    before: Mapping[str, float], log: Sequence[Mapping[str, float]], selected: str
) -> str:
    """The figure that epochs are selected by, and the share of moved items, by epoch."""
    joint = [each for each in log if "items_moved" in each]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 2.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        epochs = range(len(joint) + 1)
        for axes, name, label in ((upper, selected, selected), (lower, "items_moved", "moved")):
            axes.plot(epochs, [each[name] for each in (before, *joint)], "-o", color=ACCENT, ms=4)
            axes.set_ylabel(label)
            axes.spines[["top", "right"]].set_visible(False)
        lower.set(xlabel="epoch", ylim=(0, 1.05))
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        return data_uri(svg(figure))


def svg(figure: Figure) -> bytes:
    """The bytes of a figure as SVG, equal for equal figures drawn in :data:`STYLE`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def data_uri(picture: bytes) -> str:
    """An SVG as the address of a picture that a page holds in itself."""
    return "data:image/svg+xml;base64," + base64.b64encode(picture).decode()


def _columns(ticks: Sequence[tuple[float, str]]) -> tuple[list[float], list[str]]:
    return [place for place, _ in ticks], [label for _, label in ticks]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.3g}"
