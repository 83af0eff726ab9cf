"""Markdown tables and the plot of the quantiser comparison, from benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

FIGURES = {
    "l_recon fit": ("L_recon, fit", 3),
    "l_recon held_out": ("L_recon, held out", 3),
    "fvu fit": ("FVU, fit", 3),
    "fvu held_out": ("FVU, held out", 3),
    "entropy": ("entropy (nats)", 3),
    "utilisation": ("utilisation", 3),
    "distinct_share": ("distinct IDs", 4),
    "fit seconds": ("fit, s", 1),
}


def cell(value: Row | None, digits: int = 3) -> str:
    """``mean ± sd``, or a dash."""
    if value is None:
        return "-"
    if value["sd"] is None:
        return f"{value['mean']:,.{digits}f}"
    return f"{value['mean']:,.{digits}f} ± {value['sd']:,.{digits}f}"


def counted(seeds: int) -> str:
    """So many seeds, in words."""
    return f"{seeds} seed{'s' * (seeds > 1)}"


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def names_of(record: Row, group: str) -> list[str]:
    """Rows of a group (tuned, unrefined, ablation, length 6), in the order they were made."""
    start = f"{group} | "
    return [key.removeprefix(start) for key in record["summary"] if key.startswith(start)]


def quantisers(record: Row) -> str:
    """The quantisation table of the tuned rows, with the paired tests on the tested items."""
    header = ["tokenizer", *(title for title, _ in FIGURES.values())]
    rows = []
    for name in names_of(record, "tuned"):
        figures = record["summary"][f"tuned | {name}"]
        row = [f"**{name}**" if name == "MMQ" else name]
        row += [cell(figures.get(key), places) for key, (_, places) in FIGURES.items()]
        row += [_test(against.get(name)) for against in record["paired"].values()]
        rows.append(row)
    compared = (f"{ours}: error less its (p over items; over seeds)" for ours in record["paired"])
    return table([*header, *compared], rows)


def _test(found: Row | None) -> str:
    if found is None:
        return "-"
    tests = (found["p"], found["p over seeds, fvu held_out"])
    return f"{found['difference']:+.3f} ({'; '.join(map(p_value, tests))})"


def p_value(p: float) -> str:
    """Two digits of it, or that it is small."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def ablations(record: Row) -> str:
    """What every change does to the tuned MMQ."""
    base = record["summary"]["ablation | tuned MMQ"]
    keys = ("fvu fit", "fvu held_out", "entropy", "utilisation", "distinct_share")
    rows = []
    for name in names_of(record, "ablation"):
        figures = record["summary"][f"ablation | {name}"]
        change = figures["fvu held_out"]["mean"] - base["fvu held_out"]["mean"]
        rows.append([name, *(cell(figures[key], 4) for key in keys), f"{change:+.4f}"])
    return table(["MMQ", *(FIGURES[key][0] for key in keys), "change held out"], rows)


def unrefined(record: Row) -> str:
    """Held-out FVU of the same settings with and without refinement."""
    rows = []
    for name in names_of(record, "unrefined"):
        plain, refined = (record["summary"][f"{g} | {name}"] for g in ("unrefined", "tuned"))
        rows.append(
            [
                name,
                *(
                    cell(row[key])
                    for key in ("fvu fit", "fvu held_out")
                    for row in (plain, refined)
                ),
            ]
        )
    both = ["as found", "refined"]
    header = [f"{what}, {how}" for what in ("FVU fit", "FVU held out") for how in both]
    return table(["tokenizer", *header], rows)


def speed(record: Row) -> str:
    """Items a second that each kind encodes."""
    rows = [
        [name, *(f"{row[how]:,.0f}" if how in row else "-" for how in ("as found", "refined"))]
        for name, row in record["speed"]["rows"].items()
    ]
    return table(["tokenizer", "items/s, codes as found", "items/s, refined"], rows)


def settings(record: Row) -> str:
    """What tuning chose for each tokenizer, and what it took."""
    rows = []
    for name, found in record["tuning"].items():
        chosen = ", ".join(f"{key} {value}" for key, value in found["settings"].items())
        full = [trial for trial in found["trials"] if trial["rung"] == "full"]
        rows.append(
            [
                name,
                chosen,
                str(len(found["trials"]) - len(full)),
                str(len(full)),
                f"{found['seconds']:,.0f}",
            ]
        )
    return table(["tokenizer", "chosen", "short fits", "whole fits", "seconds"], rows)


def lengths(record: Row) -> dict[str, list[tuple[int, float, float]]]:
    """Tokenizer -> (length, mean, sd) of the held-out FVU."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for key, figures in record["summary"].items():
        group, _, name = key.partition(" | ")
        if group.startswith("length "):
            value = figures["fvu held_out"]
            point = (int(group.split()[1]), value["mean"], value["sd"] or 0.0)
            found.setdefault(name, []).append(point)
    return {name: sorted(points) for name, points in found.items()}


def length_table(record: Row) -> str:
    """Held-out FVU by length of the ID."""
    found = lengths(record)
    sizes = sorted({length for points in found.values() for length, _, _ in points})
    rows = []
    for name, points in found.items():
        by = {length: f"{mean:.3f} ± {sd:.3f}" for length, mean, sd in points}
        rows.append([name, *(by.get(size, "-") for size in sizes)])
    return table(["held-out FVU at length", *map(str, sizes)], rows)


def plot_lengths(record: Row, path: Path) -> None:
    """Held-out FVU against the length of the ID, a line a tokenizer."""
    from matplotlib.figure import Figure

    colours = {
        "MMQ": "#b3362b",
        "MMQ, no shared experts": "#e08a7f",
        "RQ-VAE": "#2f6c9e",
        "RQ-KMeans": "#3a8a5c",
        "OPQ": "#8a6d1d",
    }
    figure = Figure(figsize=(7.2, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for name, points in lengths(record).items():
        kind = name.removeprefix("MA-").removeprefix("MS-")
        x, y, spread = (list(column) for column in zip(*points, strict=True))
        style = {"color": colours[kind], "linestyle": "--" if name.startswith("MA-") else "-"}
        width = 2.4 if name == "MMQ" else 1.4
        axes.errorbar(x, y, spread, label=name, marker="o", ms=4, lw=width, capsize=2, **style)
    axes.set(xlabel="length of the ID (codes of 100)", ylabel="held-out FVU (codes alone)")
    axes.set_xticks(sorted({p[0] for points in lengths(record).values() for p in points}))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    figure.savefig(path)


def peers(record: Row, least_seeds: int = 3) -> str:
    """Our tokenizers at their defaults beside other libraries; rows of fewer seeds say so."""
    keys = ("fvu fit", "fvu held_out", "entropy", "utilisation", "distinct_share", "fit seconds")
    rows = []
    for name, figures in record["summary"].items():
        seeds = len(figures["fvu fit"]["values"])
        if seeds < least_seeds:
            continue
        row = [name, *(cell(figures[key], 1 if key == "fit seconds" else 3) for key in keys)]
        rows.append([*row, record["notes"][name]])
    return table(["row", *(FIGURES[key][0] for key in keys), "what it is"], rows)


def kmeans_opq(record: Row) -> str:
    """RQ-KMeans and OPQ against faiss."""
    rows = []
    for threads, cases in record["threads_run"].items():
        for name, found in cases.items():
            peer = found["faiss"]
            for who, figures in found.items():
                fit, held = (_last(figures["error"][part]) for part in ("fit", "held_out"))
                row = [name.replace(" | ", ": "), who, str(threads), f"{figures['seconds']:.2f}"]
                ratio = peer["seconds"] / figures["seconds"]
                rows.append([*row, f"{ratio:.2f}", f"{fit:.4f}", f"{held:.4f}"])
    header = ["case", "who", "threads", "seconds", "faiss' time / this"]
    return table([*header, "error, fit", "error, held out"], rows)


def _last(value: float | list[float]) -> float:
    return value[-1] if isinstance(value, list) else value


def rqvae(record: Row) -> str:
    """Steps of an RQ-VAE with our quantiser against vector-quantize-pytorch's."""
    rows = []
    for found in record["cells"]:
        for part in ("step", "quantiser"):
            ratios = found[part]["ratio_of_least"]
            what = "whole step" if part == "step" else "quantiser alone"
            row = [found["shape"], f"{found['batch_size']:,}", str(found["threads"]), what]
            rows.append([*row, *(f"{ratios[key]:.2f}" for key in ("loss", "EMA", "as it comes"))])
    header = ["autoencoder", "batch", "threads", "timed", "codebook loss", "EMA"]
    return table([*header, "peer's defaults"], rows)
