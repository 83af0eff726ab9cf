"""The page on an experiment: the verdict, how every metric differs, and how that grew by day."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mmq._formats import to_json
from mmq.ab import METRICS, Analysis, ArmResult, Difference, Range, decided, trusted, verdict
from mmq.reports._page import check_report
from mmq.reports._plots import ACCENT, INK, LINE, MUTED, STYLE, data_uri, svg
from mmq.reports._template import write_page

BETTER, WORSE = "#2f7d4f", "#b2433c"
_GRADES = {"better": "good", "worse": "poor", "undecided": "fair", "no verdict": "poor"}


class TrueEffect(NamedTuple):
    """What a simulated market knows.

    Attributes:
        name: of the metric of the verdict.
        relative: its true relative effect.
    """

    name: str
    relative: float


def write_ab_report(
    analysis: Analysis,
    path: Path,
    inputs: Mapping[str, Any],
    truth: Mapping[str, TrueEffect] | None = None,
) -> None:
    """Write the page as one HTML file, whole or not at all.

    Args:
        analysis: what it shows.
        path: the file, ``.html``.
        inputs: what it was made from, to be kept in it.
        truth: arm -> its effect, of a simulated market.

    Raises:
        DataError: the path is no HTML file, or the disk is full.
    """
    check_report(path)
    grade, truth = _grade(analysis), truth or {}
    write_page(
        path,
        "ab.html",
        {
            "made_from": to_json(inputs),
            "analysis": analysis,
            "counts": analysis.sums.counts,
            "verdict": verdict(analysis),
            "grade": grade,
            "tone": _GRADES[grade],
            "notes": list(analysis.sums.counts.notes()),
            "metrics": METRICS,
            "shown": _shown,
            "change": _change,
            "arms": [_arm(analysis, each, truth.get(each.arm)) for each in analysis.results],
            "truth": truth,
        },
    )


def _grade(analysis: Analysis) -> str:
    """One word for all arms: the best that is proven of any."""
    if not trusted(analysis):
        return "no verdict"
    found = [each.differences.get(analysis.primary.name) for each in analysis.results]
    proven = [each for each in found if each is not None and decided(each)]
    if any(each.effect > 0 for each in proven):
        return "better"
    return "worse" if proven else "undecided"


def _arm(analysis: Analysis, result: ArmResult, truth: TrueEffect | None) -> dict[str, Any]:
    return {
        "name": result.arm,
        "result": result,
        "forest": forest_plot(result.differences) if result.differences else None,
        "looks": looks_plot(result, analysis, truth) if len(result.looks) > 1 else None,
    }


def forest_plot(differences: Mapping[str, Difference]) -> str:
    """Relative effects of all metrics; thick is the interval of one look, thin that of all."""
    rows = [(each.label, differences[each.name]) for each in METRICS]
    rows = [(label, found) for label, found in rows if _known(found)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.7 + 0.36 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, (_, found) in enumerate(rows):
            colour = MUTED if not decided(found) else BETTER if found.effect > 0 else WORSE
            axes.plot(found.anytime_relative, [place] * 2, color=colour, lw=1.2)
            axes.plot(found.relative_interval, [place] * 2, color=colour, lw=4, alpha=0.55)
            axes.plot(found.relative, place, "o", color=colour, ms=5)
        axes.axvline(0, color=INK, lw=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.set_xlabel("relative to the control")
        axes.invert_yaxis()
        _finish(axes, "x")
        return data_uri(svg(figure))


def looks_plot(result: ArmResult, analysis: Analysis, truth: TrueEffect | None) -> str:
    """The relative effect by day, in the bands of one look and of all looks."""
    days = [look.day + 1 for look in result.looks]
    found = [look.difference for look in result.looks]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.add_subplot()
        _band(axes, days, [each.anytime_relative for each in found], 0.16, "at every look")
        _band(axes, days, [each.relative_interval for each in found], 0.38, "at one look")
        axes.plot(days, [each.relative for each in found], color=ACCENT, lw=1.8)
        axes.axhline(0, color=INK, lw=1, linestyle=(0, (4, 3)))
        if truth is not None:
            axes.axhline(truth.relative, color=WORSE, lw=1.2, label="true effect")
        axes.set(xlabel="day", ylabel="relative effect", ylim=_window(found[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, loc="upper right", ncols=3)
        _finish(axes, "y")
        return data_uri(svg(figure))


def _band(axes: Axes, days: Sequence[int], ends: Sequence[Range], alpha: float, name: str) -> None:
    lows, highs = zip(*ends, strict=True)
    axes.fill_between(days, lows, highs, color=ACCENT, alpha=alpha, lw=0, label=name)


def _window(last: Difference) -> tuple[float, float]:
    """What to show of the first days' wide bands: twice the last one's width, and 0."""
    low, high = last.anytime_relative
    return min(low - (high - low) / 2, 0.0), max(high + (high - low) / 2, 0.0)


def _finish(axes: Axes, percent: str) -> None:
    axis = axes.xaxis if percent == "x" else axes.yaxis
    axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axis.grid(color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(left=False, bottom=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _known(found: Difference) -> bool:
    return all(math.isfinite(each) for each in (found.relative, *found.anytime_relative))


def _shown(value: float, share: bool) -> str:
    """A figure of an arm."""
    if math.isnan(value):
        return "-"
    return f"{value:.2%}" if share else f"{value:,.4g}"


def _change(value: float) -> str:
    """A relative effect."""
    return "-" if not math.isfinite(value) else f"{value:+.1%}"
