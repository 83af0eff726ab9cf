"""Tables of models: retrieval, ranking, stage 2, new items."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.render.markdown import (
    Column,
    ahead,
    at,
    cell,
    figures,
    measured,
    p_value,
    table,
    versions,
    with_seeds,
)
from experiments.results import Row
from mmq.metrics.resampling import paired_t_test

PROTOCOLS = {"history competes": "history_competes", "history left out": "history_left_out"}
BOTH = [
    Column(f"{short}, {title}", f"{path}/{figure}")
    for title, path in PROTOCOLS.items()
    for short, figure in (("R@10", "recall@10"), ("N@10", "ndcg@10"))
]
SEEDLESS = ("Popularity", "Item-kNN", "EASE")
BEFORE = {
    "SASRec": "SASRec, before the norm",
    "HeterRec, MMQ 6 x 100": "HeterRec, codes alone, before the norm",
    "HeterRec, MMQ": "HeterRec, codes alone, before the norm",
}
"""Rows of recommenders_*.json -> what they are called in the leaderboard."""


# --- retrieval ---


def leaderboard(rows: Sequence[Row]) -> str:
    """All rows under both protocols, with what their fit cost."""
    cold = Column("R@10 of cold items, history competes", "cold/history_competes/recall@10")
    seconds = Column("processor seconds to fit", "processor_seconds", 0)
    columns = [*BOTH, *measured(rows, [cold]), seconds, Column("peak MB", "peak_mb", 0)]
    return figures("recommender", rows, columns, _named)


def _named(row: Row) -> str:
    """The name of a row, and how many seeds it has where there should be more."""
    return str(row["row"]) if row["row"] in SEEDLESS else with_seeds(row)


def short_leaderboard(rows: Sequence[Row]) -> str:
    """Recall and NDCG at 10 of the rows of today's models, as a shop would use them."""
    left_out = ("before the norm", "codes alone")
    today = [row for row in rows if not any(words in row["row"] for words in left_out)]
    return figures("Amazon Beauty", today, BOTH, _named)


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
        runs = zip(row["runs"].values(), row["best_epoch"]["values"], strict=True)
        epochs = ", ".join(
            f"{len(run['training'])} epochs (best: {best:.0f}; ended by {run['ended_by']})"
            for run, best in runs
        )
        origin = f"commit {', '.join(row['commit'])}; {epochs}; {versions(row['machine'][0])}"
        found.append(f"{row['row']}: `{command}`, {origin}.\n")
    return "".join(found)


RETRIEVAL = (
    *(
        Column(f"{short}{at_k}", f"history_competes/{figure}{at_k}")
        for short, figure in (("R", "recall"), ("N", "ndcg"))
        for at_k in ("@5", "@10")
    ),
    Column("R@10, history left out", "history_left_out/recall@10"),
    Column("R@10 of IDs", "id_level/recall@10"),
    Column("coverage", "history_competes/coverage"),
    Column("R@10 of cold items", "cold/history_competes/recall@10"),
)


def recommenders(rows: Sequence[Row], other: str) -> str:
    """All rows, with the paired test of NDCG@10 against one of them."""
    columns = measured(rows, RETRIEVAL)
    more = {f"N@10 less that of {other} (p)": ahead(rows, other)}
    return figures("recommender", rows, columns, more=more)


BEAMS = ("10", "20", "50")


def beams(rows: Sequence[Row]) -> str:
    """What beam search loses against exact search."""
    searched = [row for row in rows if at(row, "beams/exact/recall@10")]
    columns = [Column("exact R@10", "beams/exact/recall@10")]
    for count in BEAMS:
        columns += [
            Column(f"{count} beams: R@10", f"beams/{count}/recall@10"),
            Column("share of exact's ten", f"beams/{count}/of exact", 3),
        ]
    return figures("recommender", searched, columns, lambda row: str(row["row"]))


SETTINGS = (
    "hidden_dim", "token_layers", "item_layers", "history", "dropout", "epochs", "batch_size",
    "learning_rate", "schedule", "objective",
)  # fmt: skip


def settings(rows: Sequence[Row]) -> str:
    """What each row was trained with, where it is not the default of all."""
    lines = []
    for row in rows:
        if row["settings"]:
            values = [str(row["settings"].get(key, "-")) for key in SETTINGS]
            epochs = ", ".join(f"{each:.0f}" for each in row["best_epoch"]["values"])
            parameters = f"{row['parameters']['values'][0]:,.0f}"
            lines.append([row["row"], parameters, *values, epochs])
    return table(["recommender", "parameters", *SETTINGS, "best epochs"], lines)


def losses(rows: Sequence[Row]) -> str:
    """Rows of the loss over a sample beside those over all items, and what the sample changes."""
    full = {row["row"]: row for row in rows}

    def change(row: Row) -> str:
        of = full.get(row["row"].replace("a sample", "all items"))
        if of is None or of is row or of["seeds"] != row["seeds"]:
            return "-"
        path = "history_competes/recall@10"
        one, other = (np.array(at(each, path)["values"]) for each in (row, of))
        if len(one) == 1:
            return f"{float(one[0] / other[0]) - 1:+.1%}"
        test = paired_t_test(one / other, np.ones(len(one)))
        return f"{test.difference:+.1%} ({test.low:+.1%} to {test.high:+.1%})"

    columns = [
        *BOTH[:2],
        Column("validation R@10", "validation/recall@10"),
        Column("processor seconds to fit", "processor_seconds", 0),
    ]
    more = {"R@10 against all items (95% over seeds)": change}
    return figures("recommender, what the loss compares", rows, measured(rows, columns), more=more)


def new_items(rows: Sequence[Row]) -> str:
    """What a bonus for new items finds, and what it costs."""
    bonuses = list(rows[0]["bonus"])
    whose = {"old items": "recall@10", "new items": "cold recall@10"}
    lines = [
        [with_seeds(row), title, *(cell(row["bonus"][each][key], 4) for each in bonuses)]
        for row, (title, key) in itertools.product(rows, whose.items())
    ]
    return table(["IDs", "R@10 of", *(f"bonus {bonus}" for bonus in bonuses)], lines)


# --- ranking ---

RANKED = (
    Column("AUC", "auc"),
    Column("GAUC", "gauc"),
    Column("GAUC, unweighted", "gauc_unweighted"),
    Column("log-loss", "log_loss"),
    Column("calibration", "calibration_ratio"),
)
STRATA = ("head", "tail", "cold", "new")


def _ranked(row: Row) -> list[Column]:
    """The columns; GAUC's says of how many users and impressions it is."""
    users, rows = (row[f"eligible_{of}"]["values"][0] for of in ("users", "impressions"))
    auc, gauc, *others = RANKED
    return [auc, gauc._replace(title=f"GAUC ({users:,.0f} users, {rows:,.0f} rows)"), *others]


def beside_means(rows: Sequence[Row]) -> str:
    """All rows, and by how much they are ahead of means."""

    def less(part: str) -> Any:
        def tell(row: Row) -> str:
            found = at(row, f"beside means/{part}")
            if not found:
                return "-"
            return f"{found['mean']['mean']:+.4f} ({p_value(max(found['p_value']['values']))})"

        return tell

    more = {
        f"{part.upper()} less that of means (largest p of the seeds)": less(part)
        for part in ("auc", "gauc")
    }
    return figures("ranker", rows, _ranked(rows[0]), more=more)


def rankers(rows: Sequence[Row], other: str = "item IDs") -> str:
    """All rows, with the paired test of users' AUC against one of them."""
    more = {f"users' AUC less that of {other} (p)": ahead(rows, other)}
    return figures("PPNet with", rows, _ranked(rows[0]), more=more)


def strata(rows: Sequence[Row]) -> str:
    """AUC by popularity of the item in training."""
    one = rows[0]["strata"]

    def title(name: str) -> str:
        sizes = (one[name][of]["values"][0] for of in ("rows", "items"))
        return "{} ({:,.0f} rows of {:,.0f})".format(name, *sizes)

    columns = [Column(title(name), f"strata/{name}/auc") for name in STRATA]
    return figures("ranker", rows, columns, lambda row: str(row["row"]))


# --- stage 2 ---

CONTROL = "longer"
STAGE2 = (
    Column("R@10", "history_competes/recall@10"),
    Column("N@10", "history_competes/ndcg@10"),
    Column("R@10 of cold items", "cold/history_competes/recall@10"),
    Column("codes of pairing", "pairing"),
    *RANKED[:2],
    Column("AUC, tail", "strata/tail/auc"),
    Column("AUC, cold", "strata/cold/auc"),
    Column("new IDs", "validation/items_moved"),
    Column("colliding", "validation/colliding"),
    Column("codes used", "validation/utilisation"),
    Column("FVU, unseen items", "held_out_fvu"),
)


def stage2(rows: Sequence[Row]) -> str:
    """All rows, with the paired test against the same tokenizer trained on frozen."""
    columns = measured(rows, STAGE2)
    selected = "N@10" if STAGE2[1] in columns else "users' AUC"
    control = ahead(rows, lambda name: f"{name.rpartition(', ')[0]}, {CONTROL}")
    return figures("IDs", rows, columns, more={f"{selected} less that of {CONTROL} (p)": control})


def sweep(rows: Sequence[Row]) -> str:
    """Settings of stage 2 by the validation part: before, the best epoch, and after every epoch."""
    lines = []
    for row in rows:
        selected = "ndcg@10" if "ndcg@10" in row["before"] else "auc"
        log: list[Mapping[str, float]] = row["log"][0]
        lines.append(
            [
                row["row"],
                *(f"{row[when][selected]['mean']:.4f}" for when in ("before", "after")),
                ", ".join(f"{each[selected]:.4f}" for each in log),
                ", ".join(f"{each['codes_moved']:.1%}" for each in log),
            ]
        )
    return table(["settings", "before", "kept", "after every epoch", "codes moved"], lines)
