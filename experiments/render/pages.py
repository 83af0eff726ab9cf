"""Which table stands where: documents, their marks, and what is written between two marks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments import results
from experiments.registry import PEERS, command
from experiments.render import ab, models, paper, speed, tokenizers
from experiments.render.markdown import origin, source, table
from experiments.results import MACHINE, RESULTS, Row
from mmq.errors import DataError

ROOT = Path(__file__).parents[2]
GUIDES, PAGES = ROOT / "docs" / "guides", ROOT / "docs" / "results"
PLOT = PAGES / "fvu_by_length.png"

Show = Callable[[Sequence[Row]], str]
Block = Callable[[], str]
"""What stands between the two marks of a name."""


def of(name: str, show: Show, meant: Callable[[str], bool] = lambda row: True) -> Block:
    """A table of an experiment, and where it comes from.

    Args:
        name: of the experiment.
        show: makes the table.
        meant: tells by its name whether a row's figures stand there.
    """

    def block() -> str:
        rows = results.read(name)
        shown = [row for row in rows if meant(row["row"])]
        return f"{show(rows)}\n{source(shown, command(name))}"

    return block


def bare(name: str, show: Show) -> Block:
    """A further table of an experiment."""
    return lambda: show(results.read(name))


def timed(name: str, show: Callable[[Mapping[str, Any]], str], told: str) -> Block:
    """A table of a benchmark, and what it was run by."""

    def block() -> str:
        record = stored(name)
        machine = {key: record[key] for key in MACHINE}
        origins = origin([record["commit"]], [machine], f"python -m benchmarks.{told}")
        return f"{show(record)}\n{origins}"

    return block


def further(name: str, show: Callable[[Mapping[str, Any]], str]) -> Block:
    """A further table of a benchmark."""
    return lambda: show(stored(name))


def stored(name: str) -> Any:
    """What a benchmark or a reproduction has stored."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def _zoo() -> str:
    rows = results.read("zoo")
    zoo = tokenizers.by_member(rows)
    told = f"{tokenizers.held_out(zoo)}\n{tokenizers.sentence(zoo)}"
    return f"{told}\n{source(rows, command('zoo'))}"


def _zoo_in_short() -> str:
    zoo = tokenizers.by_member(results.read("zoo"))
    short = {name: own for name, own in zoo.items() if name in tokenizers.SHORT}
    return (
        f"{tokenizers.held_out(short)}\n"
        "Fraction of variance that the codes alone leave unexplained of items held out, mean ± sd "
        "over 3 seeds, all tokenizers at their defaults (RQ-VAE with fewer epochs). "
        f"{tokenizers.sentence(zoo).strip()} From `{command('zoo')}`; all kinds: "
        "[Which tokenizer?](docs/guides/tokenizers.md); other figures: "
        "[variants, speed, other libraries](docs/results/variants_and_speed.md).\n"
    )


def _leaderboard(data: str) -> list[Row]:
    """The rows of the leaderboard, with another library's, and those of before the norm."""
    rows = models.with_peer(results.read(f"leaderboard_{data}"), results.read(f"recbole_{data}"))
    before = {row["row"]: row for row in results.read(f"recommenders_{data}")}
    return rows + [
        {**before[name], "row": title} for name, title in models.BEFORE.items() if name in before
    ]


def _leaderboard_page(data: str) -> str:
    rows, peer = _leaderboard(data), results.read(f"recbole_{data}")
    told = f"python -m benchmarks.recbole_peer {data} --data DATA --python RECBOLE/bin/python"
    commits = sorted({each for row in rows if row not in peer for each in row["commit"]})
    ours = origin(commits, rows[0]["machine"], command(f"leaderboard_{data}"))
    return f"{models.leaderboard(rows)}\n{ours}{models.peer_measured(peer, told)}"


def _leaderboard_in_short() -> str:
    return (
        f"{models.short_leaderboard(_leaderboard('beauty'))}\n"
        "Mean ± sd over the seeds that are named (3 where none is; popularity, item-kNN and EASE "
        f"have none), from `{command('leaderboard_beauty')}`; all items are ranked. What "
        "item tokens and a bonus do to new items: [old items and new ones]"
        "(docs/results/recommenders.md#old-items-and-new-ones); ML-1M and all rows: "
        "[recommenders, measured](docs/results/recommenders.md).\n"
    )


def _ties() -> str:
    lines = []
    for row in results.read("ties"):
        tied, users, rising = (row[key]["mean"] for key in ("tied_users", "users", "rising"))
        share, rule = f"{tied / users:.0%} of {users:,.0f}", f"{rising:.0%} (by {row['key']})"
        lines.append([row["row"], share, rule])
    head = ["data", "users whose held-out item is tied", "tied pairs in rising order"]
    return table(head, lines)


def _probes(row: str) -> Block:
    def show(rows: Sequence[Row]) -> str:
        return tokenizers.probes(next(each for each in rows if each["row"] == row))

    return of("probes", show, lambda name: name == row)


def _bonuses(setup: str) -> Block:
    return of(f"new_items_{setup}", models.new_items)


def _is_fit(row: str) -> bool:
    return not row.startswith("speed | ")


def _before_ranking() -> str:
    rows = results.read("ranking_before_ml1m")  # of a script that those commits had
    return f"{models.rankers(rows)}\n{source(rows, 'python benchmarks/ranking.py --data ML1M')}"


ML1M = "quantisers_ml1m"
DOCUMENTS: Mapping[Path, Mapping[str, Block]] = {
    ROOT / "README.md": {"results": _zoo_in_short, "retrieval": _leaderboard_in_short},
    PAGES / "variants_and_speed.md": {
        "variants": of("tokenizers_ml1m", tokenizers.variants),
        "catalogues": of("catalogues", tokenizers.catalogues),
        "probes": _probes("clusters of all modalities"),
        "probes-chosen": _probes("as the data choose"),
        "readers": timed("readers", speed.readers, "bench_readers --against CHECKOUT"),
        "encode": timed("encode", speed.encode, "bench_encode"),
        "fit": timed("fit", speed.fit, "bench_fit"),
        "peers": of(PEERS, tokenizers.peers),
        "kmeans": timed("kmeans_opq", speed.kmeans_opq, "bench_kmeans_opq --data DATA"),
        "rqvae": timed("rqvae_throughput", speed.rqvae, "bench_rqvae"),
        "generate": timed("decode", speed.generate, "bench_decode"),
        "search": further("decode", speed.search),
        "index": further("decode", speed.index),
        "training": timed("recommender_training", speed.training, "bench_recommenders"),
    },
    PAGES / "scale.md": {
        "scale": timed("scale", speed.scale, "bench_scale"),
        "growth": further("scale", speed.scale_growth),
        "extrapolated": further("scale", speed.scale_extrapolated),
    },
    PAGES / "tokenizers.md": {
        **{
            f"quantisers-{data}": of(f"quantisers_{data}", tokenizers.quantisers, _is_fit)
            for data in ("ml1m", "beauty", "toyshop")
        },
        "unrefined": bare(ML1M, tokenizers.unrefined),
        "speed": of(ML1M, tokenizers.speed, lambda row: not _is_fit(row)),
        "ablations": bare(ML1M, tokenizers.ablations),
        "lengths": bare(ML1M, tokenizers.length_table),
        "tuning": bare("tuning_ml1m", tokenizers.tuning),
    },
    PAGES / "recommenders.md": {
        "recommenders-beauty": of(
            "recommenders_beauty", partial(models.recommenders, other="SASRec")
        ),
        "recommenders-ml1m": of(
            "recommenders_ml1m", partial(models.recommenders, other="HeterRec, MMQ")
        ),
        **{
            f"{mark}-{data}": bare(f"recommenders_{data}", show)
            for data in ("beauty", "ml1m")
            for mark, show in (("beams", models.beams), ("settings", models.settings))
        },
        **{f"leaderboard-{data}": partial(_leaderboard_page, data) for data in ("beauty", "ml1m")},
        "new-items": _bonuses("ml1m"),
        **{
            f"sampled-loss-{data}": of(f"sampled_loss_{data}", models.losses)
            for data in ("beauty", "ml1m", "million")
        },
    },
    PAGES / "ranking.md": {
        "ranking": of("ranking_ml1m", models.beside_means),
        "strata": bare("ranking_ml1m", models.strata),
        "ranking-before": _before_ranking,
        "peer": timed("ranking_speed", speed.fuxictr, "bench_ranking --data ML1M --epochs 3"),
    },
    PAGES / "finetuning.md": {
        **{
            f"finetuning-{setup}": of(f"finetuning_{setup}", models.stage2)
            for setup in ("toyshop", "retrieval", "beauty", "ranking")
        },
        **{f"bonuses-{setup}": _bonuses(setup) for setup in ("toyshop", "retrieval", "beauty")},
        **{f"sweep-{each}": bare(f"sweep_{each}", models.sweep) for each in ("toyshop", "ranking")},
        "finetuning-speed": timed("finetuning_speed", speed.stage2, "bench_finetuning --data DATA"),
    },
    PAGES / "experiments.md": {
        "intervals": timed("ab", ab.intervals, "bench_ab"),
        "cuped": further("ab", ab.cuped),
        "replays": further("ab", ab.replays),
        "ab-speed": further("ab", ab.speed),
    },
    PAGES / "reproduced.md": {
        f"paper-{name}": further(f"paper_{name}", paper.page)
        for name in ("ml1m", "ml1m_figures", "toyshop")
    },
    GUIDES / "tokenizers.md": {
        "zoo": _zoo,
        "zoo-use": lambda: tokenizers.use(tokenizers.by_member(results.read("zoo"))),
        "zoo-parts": of("zoo_ablation", tokenizers.parts),
    },
    GUIDES / "a_shop_by_commands.md": {
        "shop": timed("shop_ml1m", speed.shop, "bench_shop --data ML1M")
    },
    GUIDES / "scale.md": {"scale-cost": further("scale", speed.scale_cost)},
    GUIDES / "own_data.md": {"ties": _ties},
    GUIDES / "reproduce.md": {"paper-cost": paper.cost},
}


def filled(text: str, name: str, block: str) -> str:
    """The text with what stands between the two marks of a name renewed.

    Raises:
        DataError: a mark is not there.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise DataError(f"a document lacks the marks {start} and {end}; write them into it")
    return f"{before}{start}\n{block}{end}{after}"


def render(check: bool = False) -> None:
    """Write all tables into the documents.

    Args:
        check: write nothing, and raise where a document is not what the results say.

    Raises:
        DataError: a document lacks a mark, or, with ``check``, differs.
    """
    if not check:
        tokenizers.plot_lengths(results.read(ML1M), PLOT)
    for path, blocks in DOCUMENTS.items():
        before = text = path.read_text("utf-8")
        for name, block in blocks.items():
            text = filled(text, name, block())
        if not check:
            path.write_text(text, "utf-8")
        elif before != text:
            raise DataError(
                f"{path.name} is not what benchmarks/results says; run python -m experiments render"
            )
