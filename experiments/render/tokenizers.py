"""Tables of tokenizers: tuned ones, the zoo of embeddings, variants, catalogues, probes, peers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from experiments.render.markdown import Column, cell, figures, group, p_value, table
from experiments.results import Row
from mmq.data._datasets.toyshop import FACTORS

FVU = (Column("FVU, fit", "fvu fit"), Column("FVU, held out", "fvu held_out"))
USE = (
    Column("entropy (nats)", "entropy"),
    Column("utilisation", "utilisation"),
    Column("distinct IDs", "distinct_share"),
)


def _digits(columns: Iterable[Column], digits: int) -> list[Column]:
    return [each._replace(digits=digits) for each in columns]


def _bold(row: Row, name: str = "MMQ") -> str:
    return f"**{row['row']}**" if row["row"] == name else str(row["row"])


def _plain(row: Row) -> str:
    return str(row["row"])


# --- tuned tokenizers ---

QUANTISED = (
    Column("L_recon, fit", "l_recon fit", 3),
    Column("L_recon, held out", "l_recon held_out", 3),
    *_digits((*FVU, *USE[:2]), 3),
    USE[2],
    Column("fit, s", "fit seconds", 1),
)


def quantisers(rows: Sequence[Row]) -> str:
    """The quantisation table of the tuned rows, with the paired tests on the tested items."""
    tuned = group(rows, "tuned")
    known = {row["row"]: row for row in tuned}
    more = {
        f"{name}: error less its (p over items; over seeds)": _tests(ours)
        for name, ours in known.items()
        if name in ("MMQ", "MMQ, no shared experts") and ours.get("against")
    }
    return figures("tokenizer", tuned, QUANTISED, _bold, more)


def _tests(ours: Row) -> Any:
    def tell(row: Row) -> str:
        found = ours["against"].get(f"tuned | {row['row']}")
        if found is None:
            return "-"
        own, theirs = (each["fvu held_out"]["values"] for each in (ours, row))
        both = min(len(own), len(theirs))
        over_seeds = float(ttest_rel(own[:both], theirs[:both]).pvalue)
        tests = "; ".join(map(p_value, (found["p_value"], over_seeds)))
        return f"{found['difference']:+.3f} ({tests})"

    return tell


def ablations(rows: Sequence[Row]) -> str:
    """What every change does to the tuned MMQ."""
    base, *_ = changed = group(rows, "ablation")

    def change(row: Row) -> str:
        return f"{row['fvu held_out']['mean'] - base['fvu held_out']['mean']:+.4f}"

    columns = [*FVU, *USE]
    return figures("MMQ", changed, columns, _plain, {"change held out": change})


def unrefined(rows: Sequence[Row]) -> str:
    """Held-out FVU of the same settings with and without refinement."""
    tuned = {row["row"]: row for row in group(rows, "tuned")}
    both = [
        {"row": row["row"], "as found": row, "refined": tuned[row["row"]]}
        for row in group(rows, "unrefined")
    ]
    columns = [
        Column(f"{each.title}, {how}", f"{how}/{each.path}", 3)
        for each in (Column("FVU fit", "fvu fit"), Column("FVU held out", "fvu held_out"))
        for how in ("as found", "refined")
    ]
    return figures("tokenizer", both, columns, _plain)


def speed(rows: Sequence[Row]) -> str:
    """Items a second that each kind encodes."""
    columns = [
        Column("items/s, codes as found", "as found", 0),
        Column("items/s, refined", "refined", 0),
    ]
    return figures("tokenizer", group(rows, "speed"), columns, _plain)


def tuning(rows: Sequence[Row]) -> str:
    """What tuning chose for each tokenizer, and what it took."""

    def chosen(row: Row) -> str:
        return ", ".join(f"{key} {value}" for key, value in row["settings"].items())

    def fits(row: Row, whole: bool) -> str:
        return str(sum((trial["rung"] == "full") == whole for trial in row["trials"]))

    more = {
        "chosen": chosen,
        "short fits": lambda row: fits(row, False),
        "whole fits": lambda row: fits(row, True),
        "seconds": lambda row: f"{row['seconds']['mean']:,.0f}",
    }
    return figures("tokenizer", rows, [], _plain, more)


def lengths(rows: Sequence[Row]) -> dict[str, list[tuple[int, float, float]]]:
    """Tokenizer -> (length, mean, sd) of the held-out FVU."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for row in rows:
        of, _, name = row["row"].partition(" | ")
        if of.startswith("length "):
            value = row["fvu held_out"]
            point = (int(of.split()[1]), value["mean"], value["sd"] or 0.0)
            found.setdefault(name, []).append(point)
    return {name: sorted(points) for name, points in found.items()}


def length_table(rows: Sequence[Row]) -> str:
    """Held-out FVU by length of the ID."""
    found = lengths(rows)
    sizes = sorted({length for points in found.values() for length, _, _ in points})
    lines = []
    for name, points in found.items():
        by = {length: f"{mean:.3f} ± {sd:.3f}" for length, mean, sd in points}
        lines.append([name, *(by.get(size, "-") for size in sizes)])
    return table(["held-out FVU at length", *map(str, sizes)], lines)


COLOURS = {
    "MMQ": "#b3362b",
    "MMQ, no shared experts": "#e08a7f",
    "RQ-VAE": "#2f6c9e",
    "RQ-KMeans": "#3a8a5c",
    "OPQ": "#8a6d1d",
}


def plot_lengths(rows: Sequence[Row], path: Path) -> None:
    """Held-out FVU against the length of the ID, a line a tokenizer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for name, points in lengths(rows).items():
        kind = name.removeprefix("MA-").removeprefix("MS-")
        x, y, spread = (list(column) for column in zip(*points, strict=True))
        line = "--" if name.startswith("MA-") else "-"
        style: dict[str, Any] = {"color": COLOURS[kind], "linestyle": line}
        width = 2.4 if name == "MMQ" else 1.4
        axes.errorbar(x, y, spread, label=name, marker="o", ms=4, lw=width, capsize=2, **style)
    axes.set(xlabel="length of the ID (codes of 100)", ylabel="held-out FVU (codes alone)")
    axes.set_xticks(sorted({p[0] for points in lengths(rows).values() for p in points}))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    figure.savefig(path)


# --- variants, other catalogues, probes, other libraries ---


def variants(rows: Sequence[Row]) -> str:
    """The tokenizer and its variants on ML-1M."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name, _, part = row["row"].partition(" | ")
        found.setdefault(name, {"row": name})[part] = row
    for each in found.values():
        each["codes"] = each.get("all") or each["held_out"]
    columns = [
        Column("L_recon, fit", "held_out/l_recon fit", 3),
        Column("L_recon, held out", "held_out/l_recon held_out", 3),
        Column("L_recon, fitted on all", "all/l_recon fit", 3),
        *(each._replace(path=f"codes/{each.path}") for each in USE),
    ]
    return figures("tokenizer", list(found.values()), columns, lambda row: _bold(row, "default"))


def catalogues(rows: Sequence[Row]) -> str:
    """Other kinds of catalogue."""
    columns = [Column("length", "length", 0), *FVU, *USE, Column("verdict", "verdict")]
    rows = [{**row, "length": {**row["length"], "sd": None}} for row in rows]
    return figures("catalogue", rows, columns, _plain)


def probes(row: Row) -> str:
    """What each group of experts caught of toyshop's factors."""
    rows = [{"row": factor, "source": of.source, **row[factor]} for factor, of in FACTORS.items()]
    groups = ("shared", "text", "image", "all specific", "chance")
    columns = [Column("told by", "source"), *(Column(each, each, 2) for each in groups)]
    return figures("factor", rows, columns, _plain)


def peers(rows: Sequence[Row], least_seeds: int = 3) -> str:
    """Our tokenizers at their defaults beside other libraries; rows of fewer seeds are left out."""
    enough = [row for row in rows if len(row["seeds"]) >= least_seeds]
    columns = [*QUANTISED[2:5], *_digits(USE[1:], 3), QUANTISED[-1], Column("what it is", "note")]
    return figures("row", enough, columns, _plain)


# --- the zoo of embeddings ---

KINDS = ("RQ-KMeans", "RQ-VAE", "OPQ")
REAL = ("ML-1M, raw", "ML-1M, reduced", "ML-1M, counted", "Beauty, raw", "Beauty, reduced")
SHORT = (*REAL, "toyshop", "clusters", "half missing")
"""Those that the README shows."""

Zoo = Mapping[str, Mapping[str, Row]]


def by_member(rows: Iterable[Row]) -> Zoo:
    """Member -> name of a row -> the row, of members with a row of MMQ; real ones first."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        member, _, name = row["row"].partition(" | ")
        found.setdefault(member, {})[name] = row
    known = [name for name, own in found.items() if "MMQ" in own]
    order = sorted(known, key=lambda name: REAL.index(name) if name in REAL else len(REAL))
    return {name: found[name] for name in order}


def held_out(zoo: Zoo) -> str:
    """Fraction of variance unexplained of new items, beside the bound; the least in bold."""
    lines = []
    for name, own in zoo.items():
        shown = [own["MMQ"]["held_out"], *(_best(own, kind) for kind in KINDS)]
        least = min(each["mean"] for each in shown if each)
        bound = f"{own['MMQ']['bound']['mean']:.3f}"
        lines.append([name, bound, *(_marked(each, least) for each in shown)])
    header = ["embeddings", "Gaussian bound", "MMQ", *(f"{kind}, better fusion" for kind in KINDS)]
    return table(header, lines)


def _best(rows: Mapping[str, Row], kind: str) -> dict[str, Any] | None:
    """Held-out figure of the better fusion of a kind."""
    names = [f"{kind}, {fusion}" for fusion in ("aligned", "separated")]
    found = [rows[name]["held_out"] for name in names if name in rows]
    return min(found, key=lambda each: each["mean"]) if found else None


def _marked(figure: Mapping[str, Any] | None, least: float) -> str:
    if figure is None:
        return "-"
    text = cell(figure) + (" (1 seed)" if figure["sd"] is None else "")
    return f"**{text}**" if figure["mean"] == least else text


def over_best(own: Mapping[str, Row]) -> float | None:
    """MMQ's error over that of the best other row, each on the seeds that it and MMQ have."""
    ours, ratios = _by_seed(own["MMQ"]), []
    for name, row in own.items():
        theirs = _by_seed(row)
        both = ours.keys() & theirs.keys()
        if name != "MMQ" and both:
            ratios.append(sum(ours[each] for each in both) / sum(theirs[each] for each in both))
    return max(ratios, default=None)


def _by_seed(row: Row) -> dict[int, float]:
    return dict(zip(row["seeds"], row["held_out"]["values"], strict=True))


def use(zoo: Zoo) -> str:
    """What MMQ's codes are like, and what they cost."""

    def chosen(row: Row, key: str) -> list[Any]:
        leaf = row["chosen"][key]
        return list(leaf["values"]) if isinstance(leaf, Mapping) else [leaf]

    lines = []
    for name, own in zoo.items():
        ours, ratio = own["MMQ"], over_best(own)
        slow = own.get("RQ-VAE, separated", {}).get("seconds")
        lines.append(
            [
                name,
                ours["about"],
                f"{ratio:.3f}" if ratio else "-",
                cell(ours["utilisation"]),
                cell(ours["distinct_share"], 4),
                "; ".join(sorted(set(chosen(ours, "plan")))),
                ", ".join(sorted({f"{each:g}" for each in chosen(ours, "smoothing")})),
                f"{ours['seconds']['mean']:.0f}",
                f"{slow['mean']:.0f}" if slow else "-",
            ]
        )
    header = ["embeddings", "what they are", "MMQ over the best other", "utilisation"]
    more = ["distinct IDs", "start chosen", "noise chosen", "fit, s", "RQ-VAE, s"]
    return table([*header, *more], lines)


def parts(rows: Sequence[Row]) -> str:
    """What is left unexplained where parts of the default are left out."""
    found = {tuple(row["row"].split(" | ")): row for row in rows}
    members, titles = (list(dict.fromkeys(key[place] for key in found)) for place in (0, 1))
    lines = []
    for title in titles:
        line = [title]
        for member in members:
            own = found.get((member, title))
            line.append(cell(own and own["held_out"]))
            if title.startswith("by gradient") and own and "least" not in title:
                line[-1] += f" (with gates {own['fvu held_out']['mean']:.3f})"
        lines.append(line)
    return table(["MMQ", *members], lines)


def sentence(zoo: Zoo) -> str:
    """How MMQ stands over all members."""
    known = {name: over_best(own) for name, own in zoo.items()}
    ratios = {name: ratio for name, ratio in known.items() if ratio is not None}
    worst = max(ratios, key=lambda name: ratios[name])
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    ahead = sum(ratio <= 1 for ratio in ratios.values())
    return (
        f"Of {len(ratios)} kinds of embeddings MMQ leaves less unexplained than the best of the "
        f"others on {ahead}; over all it leaves {mean:.3f} times as much (geometric mean), at "
        f"worst {ratios[worst]:.3f} times ({worst}).\n"
    )
