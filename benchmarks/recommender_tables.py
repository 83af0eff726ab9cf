"""Markdown tables of the recommenders and of decoding, from benchmarks/results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tables import cell, counted, p_value, table

Row = Mapping[str, Any]

FIGURES = {
    "recall@5": "R@5",
    "recall@10": "R@10",
    "ndcg@5": "N@5",
    "ndcg@10": "N@10",
    "recall@10 without history": "R@10, history left out",
    "id recall@10": "R@10 of IDs",
    "coverage": "coverage",
    "cold recall@10": "R@10 of cold items",
}
BEAMS = ("10", "20", "50")
LEAST_SEEDS = 3


def leaderboard(rows: Sequence[Row]) -> str:
    """All rows under both protocols, with what their fit cost."""
    cold = any("cold" in row for row in rows)
    found = []
    for row in rows:
        line = [named(row)]
        for protocol in ("history_competes", "history_left_out"):
            line += [cell(row[protocol].get(figure), 4) for figure in ("recall@10", "ndcg@10")]
        if cold:
            of_cold = row.get("cold", {}).get("history_competes", {})
            line.append(cell(of_cold.get("recall@10"), 4))
        found.append([*line, cell(row.get("processor_seconds"), 0), cell(row.get("peak_mb"), 0)])
    header = ["recommender"]
    for protocol in ("history competes", "history left out"):
        header += [f"R@10, {protocol}", f"N@10, {protocol}"]
    if cold:
        header.append("R@10 of cold items, history competes")
    return table([*header, "processor seconds to fit", "peak MB"], found)


SEEDLESS = ("Popularity", "Item-kNN", "EASE")


def named(row: Row) -> str:
    """The name of a row, and how many seeds it has where there should be more."""
    seeds = len(row["seeds"])
    few = seeds < LEAST_SEEDS and row["row"] not in SEEDLESS
    return f"{row['row']} ({counted(seeds)})" if few else str(row["row"])


def short_leaderboard(rows: Sequence[Row]) -> str:
    """Recall and NDCG at 10 of the rows of today's models, as a shop would use them."""
    found = []
    for row in rows:
        if not any(words in row["row"] for words in ("before the norm", "codes alone")):
            line = [named(row)]
            for protocol in ("history_competes", "history_left_out"):
                line += [cell(row[protocol][figure], 4) for figure in ("recall@10", "ndcg@10")]
            found.append(line)
    header = ["Amazon Beauty"]
    for protocol in ("history competes", "history left out"):
        header += [f"R@10, {protocol}", f"N@10, {protocol}"]
    return table(header, found)


def with_peer(rows: Sequence[Row], peer: Sequence[Row]) -> list[Row]:
    """The rows of a leaderboard, with SASRec of another library below ours."""
    found: list[Row] = []
    for row in rows:
        found += [row, *peer] if row["row"] == "SASRec" else [row]
    return found


def peer_measured(peer: Sequence[Row], command: str) -> str:
    """Where the row of another library comes from, and how long it was trained."""
    found = []
    for row in peer:
        runs = zip(row["runs"].values(), row["best_epochs"], strict=True)
        epochs = ", ".join(
            f"{len(run['training'])} epochs (best: {best}; ended by {run['ended_by']})"
            for run, best in runs
        )
        versions = row["machine"]["versions"].items()
        origin = f"commit {', '.join(row['commit'])}; {epochs}"
        named = ", ".join(f"{name} {number}" for name, number in versions)
        found.append(f"{row['row']}: `{command}`, {origin}; {named}.\n")
    return "".join(found)


def measured(rows: Sequence[Row], command: str) -> str:
    """Where the rows of a leaderboard come from."""
    commits = sorted({commit for row in rows for commit in row["commit"]})
    machine = rows[0]["machine"]
    return (
        f"`{command}`, commit {', '.join(commits)}; {machine['cores']} cores "
        f"({machine['processor']}), {machine['threads']} threads.\n"
    )


def comparison(record: Row, against: str) -> str:
    """All rows, with the paired test of NDCG@10 against one of them."""
    columns = {
        key: title
        for key, title in FIGURES.items()
        if any(key in row for row in record["summary"].values())
    }
    rows = []
    for name, figures in record["summary"].items():
        row = [with_seeds(record, name)]
        row += [cell(figures.get(key), 4) for key in columns]
        rows.append([*row, paired(record["paired"], name, against)])
    return table(["recommender", *columns.values(), f"N@10 less that of {against} (p)"], rows)


def with_seeds(record: Row, name: str) -> str:
    """The name of a row, and how many seeds it has where these are few."""
    seeds = len(record["cells"][name])
    return name if seeds >= LEAST_SEEDS else f"{name} ({counted(seeds)})"


def paired(tests: Row, name: str, other: str) -> str:
    """By how much a row is ahead of another one, and how likely that is by chance."""
    if f"{name} | {other}" in tests:
        found, sign = tests[f"{name} | {other}"], 1
    elif f"{other} | {name}" in tests:
        found, sign = tests[f"{other} | {name}"], -1
    else:
        return "-"
    return f"{sign * found['difference']:+.4f} ({p_value(found['p_value'])})"


def beams(record: Row) -> str:
    """What beam search loses against exact search."""
    rows = []
    for name, figures in record["summary"].items():
        if "exact recall@10" not in figures:
            continue
        row = [name, cell(figures["exact recall@10"], 4)]
        for count in BEAMS:
            row.append(cell(figures.get(f"{count} recall@10"), 4))
            row.append(cell(figures.get(f"{count} of exact"), 3))
        rows.append(row)
    header = ["recommender", "exact R@10"]
    for count in BEAMS:
        header += [f"{count} beams: R@10", "share of exact's ten"]
    return table(header, rows)


def settings(record: Row) -> str:
    """What each row was trained with, where it is not the default of all."""
    keys = (
        "hidden_dim",
        "token_layers",
        "item_layers",
        "history",
        "dropout",
        "epochs",
        "batch_size",
        "learning_rate",
        "schedule",
        "objective",
    )
    rows = []
    for name, cells in record["cells"].items():
        one = next(iter(cells.values()))
        if one["settings"]:
            values = [str(one["settings"].get(key, "-")) for key in keys]
            epochs = ", ".join(str(each["best_epoch"]) for each in cells.values())
            rows.append([name, f"{one['parameters']:,}", *values, epochs])
    return table(["recommender", "parameters", *keys, "best epochs"], rows)


def new_items(record: Row) -> str:
    """What a bonus for new items finds, and what it costs."""
    rows = []
    for name, by_bonus in record["summary"].items():
        for title, key in (("old items", "recall@10"), ("new items", "cold recall@10")):
            rows.append(
                [
                    with_seeds(record, name),
                    title,
                    *(cell(each[key], 4) for each in by_bonus.values()),
                ]
            )
    bonuses = next(iter(record["summary"].values()))
    return table(["IDs", "R@10 of", *(f"bonus {bonus}" for bonus in bonuses)], rows)


def training(record: Row) -> str:
    """Seconds an epoch on Beauty, and their ratio to the floor."""
    rows = []
    for threads in ("1 threads", "2 threads"):
        for name, found in record.get(threads, {}).items():
            rows.append(
                [
                    name,
                    threads.partition(" ")[0],
                    f"{found['seconds_per_epoch']:.0f}",
                    f"{found['floor_seconds']:.0f}",
                    f"{found['ratio']:.1f}",
                ]
            )
    return table(["model", "threads", "s an epoch", "s of its products alone", "ratio"], rows)


def generate(record: Row) -> str:
    """Users a second beside Hugging Face's generate."""
    rows = []
    for catalogue in record["generate"]:
        for found in catalogue["cells"]:
            rates = found["users_per_second"]
            best = [
                max(each["least"] for name, each in rates.items() if name.startswith(side))
                for side in ("ours", "from tokens", "generate")
            ]
            ratio = found["ours_to_generate"]
            rows.append(
                [
                    f"{found['items']:,}",
                    str(found["beams"]),
                    *(f"{rate:,.{1 if rate < 10 else 0}f}" for rate in best),
                    f"{ratio['ours']['least']:.0f}",
                    f"{ratio['from tokens']['least']:.0f}",
                ]
            )
    header = ["items", "beams", "HeterRec, users/s", "the same, item vectors made anew"]
    return table([*header, "generate", "ratio", "ratio, anew"], rows)


def search(record: Row, users: int = 256) -> str:
    """Microseconds a user of the search alone."""
    rows = []
    for found in record["search"]:
        if found["users"] == users:
            times = [each["own"] for each in found["microseconds_a_user"].values()]
            rows.append([f"{found['items']:,}", *(f"{each:,.0f}" for each in times)])
    names = list(record["search"][0]["microseconds_a_user"])
    return table(["items", *(name.replace("_", " ") for name in names)], rows)


def index(record: Row) -> str:
    """Size and building time of the prefix index."""
    rows = [
        [
            f"{found['items']:,}",
            found["codes"],
            f"{found['distinct_ids']:,}",
            f"{found['bytes'] / 1e6:.2f}",
            f"{found['bytes_a_level_and_item']:.1f}",
            f"{found['build_seconds']['own']:.2f}",
            f"{found['load_seconds']['least'] * 1e3:.1f}",
        ]
        for found in record["index"]
    ]
    header = ["items", "codes", "distinct IDs", "MB", "bytes a level and item"]
    return table([*header, "s to build", "ms to map from disk"], rows)
