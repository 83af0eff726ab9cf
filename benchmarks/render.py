"""Write docs/results, the tables of docs/guides and the results of the README from benchmarks/results/*.json.

python benchmarks/render.py          rewrites the documents
python benchmarks/render.py --check  fails if a document is not what the results say
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import finetuning_tables
import paper_tables
import ranking_tables
import recommender_tables
import tables
import zoo_tables
from common import RESULTS, read
from tables import cell, table

ROOT = Path(__file__).parents[1]
GUIDES, RESULT_PAGES = ROOT / "docs" / "guides", ROOT / "docs" / "results"
PLOT = RESULT_PAGES / "fvu_by_length.png"


def source(record: Mapping[str, Any], command: str) -> str:
    """Where figures come from: command, commit, machine, seeds."""
    cells = record.get("cells")
    runs = list(cells.values()) if isinstance(cells, dict) else [record]
    commits = sorted({run["commit"] for run in runs})
    machines = sorted(
        {f"{run['cores']} cores ({run['processor']}), {run['threads']} threads" for run in runs}
    )
    versions = ", ".join(f"{name} {number}" for name, number in runs[0]["versions"].items())
    return (
        f"`{command}`, commit {', '.join(commits)}; {' and '.join(machines)}; "
        f"Python {runs[0]['python']}, {versions}.\n"
    )


def ml1m(record: Mapping[str, Any]) -> str:
    """The tokenizer and its variants on ML-1M."""
    summary = record["summary"]
    names = dict.fromkeys(key.rpartition(" | ")[0] for key in summary)
    columns = ["entropy", "utilisation", "distinct_share"]
    rows = []
    for name in names:
        held, everything = (summary.get(f"{name} | {part}", {}) for part in ("held_out", "all"))
        rows.append(
            [
                f"**{name}**" if name == "default" else name,
                cell(held.get("l_recon fit")),
                cell(held.get("l_recon held_out")),
                cell(everything.get("l_recon fit")),
                *(cell((everything or held).get(column), 4) for column in columns),
            ]
        )
    header = ["tokenizer", "L_recon, fit", "L_recon, held out", "L_recon, fitted on all"]
    return table([*header, "entropy (nats)", "utilisation", "distinct IDs"], rows)


def catalogues(record: Mapping[str, Any]) -> str:
    """Other kinds of catalogue."""
    columns = ["fvu fit", "fvu held_out", "entropy", "utilisation", "distinct_share"]
    rows = [
        [name, row["length"][0], *(cell(row[c], 4) for c in columns), ", ".join(row["verdict"])]
        for name, row in record["summary"].items()
    ]
    header = ["catalogue", "length", "FVU, fit", "FVU, held out"]
    return table([*header, "entropy (nats)", "utilisation", "distinct IDs", "verdict"], rows)


def probes(record: Mapping[str, Any]) -> str:
    """What each group of experts caught of toyshop's factors."""
    groups = ["shared", "text", "image", "all specific", "chance"]
    rows = [
        [factor, row["source"], *(cell(row[group], 2) for group in groups)]
        for factor, row in record["summary"].items()
    ]
    return table(["factor", "told by", *groups], rows)


def encode(record: Mapping[str, Any]) -> str:
    """Speed and memory of encoding."""
    rows = [
        [
            f"{run['items']:,}",
            f"{run['codebook_size']:,}",
            f"{run['items_per_second']:,.0f}",
            f"{run['compute_items_per_second']:,.0f}",
            f"{run['compute_to_floor']:.2f}",
            f"{run['compute_to_least']:.2f}",
            f"{run['peak_mib']:,.0f}",
        ]
        for run in record["cells"]
    ]
    header = ["items", "K", "items/s, whole command", "items/s, compute", "of the plain floor"]
    return table([*header, "of the least floor", "peak MiB"], rows)


def readers(record: Mapping[str, Any]) -> str:
    """Speed of the readers, beside that of another checkout."""
    rows = [
        [
            each["file"],
            f"{each['rows']:,}",
            f"{each['megabytes']:,.1f}",
            f"{each['rows_per_second']['after']:,}",
            f"{each['megabytes_per_second']['after']:,.0f}",
            f"{each['ratio']:.2f}",
        ]
        for each in record["rows"]
    ]
    return table(["file", "rows", "MB", "rows/s", "MB/s", "of before"], rows)


def fit(record: Mapping[str, Any]) -> str:
    """Speed of training."""
    rows = [
        [
            f"{run['codebook_size']:,}",
            f"{run['batch_size']:,}",
            f"{run['items_per_second']:,.0f}",
            f"{run['floor_items_per_second']:,.0f}",
            f"{run['to_floor']:.2f}",
        ]
        for run in record["cells"]
    ]
    return table(["K", "batch", "items/s", "floor, items/s", "ratio"], rows)


def results() -> str:
    """The text of docs/results/variants_and_speed.md."""
    found = {path.stem: read(path) for path in RESULTS.glob("*.json")}
    return f"""# Variants, speed, other libraries

Written by `python benchmarks/render.py` from the JSON under `benchmarks/results/`; every figure is the mean and sample standard deviation over the seeds that the JSON names. The data sets are not part of the project; the commands say what they read.

## ML-1M: the default beside its variants

3,706 films, plots by MiniLM and posters by EfficientNet-lite0, PCA to 256 dimensions each; length 6, K = 100. "Held out": fitted on 90% of the films, measured on the other 10% of that seed's split; a constant zero has L_recon 2. The PCA is fitted on all films, for every row alike. The default's learning rate, noise and temperature were chosen beforehand on validation parts of other random splits of the same catalogue (one seed, about twenty runs): the held-out films of the seeds below chose nothing as such, but some of them took part in that choice on the other side of a split. "Literal" is Eq. 14 as printed: random codebooks that no term of the loss moves. RQ-KMeans (scikit-learn, three levels a modality) is there as a bar on the same splits, untuned. MMQ's L_recon is that of its decoders with the gates, which are no part of the ID: for figures of the codes alone, against tuned baselines, see [Which tokenizer?](../guides/tokenizers.md).

{ml1m(found["tokenizers_ml1m"])}
{source(found["tokenizers_ml1m"], "python benchmarks/tokenizers_ml1m.py --data ML1M")}
## Other kinds of catalogue

Default settings but for the number of experts where it is named, 10% held out, the verdict that `mmq inspect` gives. With one modality the default ID has only four codes, too few for 12,101 titles, many of which differ in a word; six codes of 100 still collide for some, and `mmq encode --collisions move` gives each of those a free ID. That noise falls with the items a codeword has was decided after looking at seed 0 of Beauty's held-out part, so that this row is no clean test of it.

{catalogues(found["catalogues"])}
{source(found["catalogues"], "python benchmarks/catalogues.py --ml1m ML1M --beauty BEAUTY")}
## toyshop: what each group of experts caught

Held-out accuracy of a linear probe of each known factor on the one-hot codes of the shared experts (2 codes), of each modality's own (2 codes each), and of all specific experts together (4 codes). The shops are fresh (not those that the generator was designed on); how prominent team and badge are was chosen so that joint coding has something to win, see `data/datasets/toyshop`.

Shared experts that start by clusters of all modalities together (`shared_start="joint"`):

{probes(found["probes"])}
{source(found["probes"], "python benchmarks/probes.py")}
The start that the data choose, which here is by clusters of one modality each, since it leaves less unexplained:

{probes(found["probes_chosen"])}
{source(found["probes_chosen"], "python benchmarks/probes.py --chosen --out benchmarks/results/probes_chosen.json")}
What holds with a joint start: the factor that only both modalities together reveal (pairing) is read from the shared experts' codes and is at chance from all specific codes, together or alone; what both modalities tell (size, toy) and what is prominent (team, badge) is read from the shared codes, the rest from those of its modality. What does not hold with the start that the data choose: pairing is at chance everywhere. The codes of an ID together still tell it (each of team and badge has its code), but no single code names it.

## Speed of the readers

Files of a log and of items, read on one core; *before* is commit 1ed5e10, which knew less of what files hold. Medians of pairs of readings, processor time.

{readers(found["readers"])}
{source(found["readers"], "python benchmarks/bench_readers.py --against CHECKOUT")}
## Speed of encoding

Two modalities of 256 dimensions, latent 256, six codebooks. *Compute* is the time inside `MMQTokenizer.encode`, *whole command* adds reading and writing Parquet. The plain floor is the multiply-adds of experts and look-up over the rate of a 2,048-cube product measured in the same run; the least floor counts the experts folded into the codebooks where that is less, as the code does. Peak memory is what the operating system reports for the process, which counts its parent's at the fork: an upper bound.

{encode(found["encode"])}
{source(found["encode"], "python benchmarks/bench_encode.py")}
## Speed of training

The floor counts the multiply-adds of forward and backward pass over the same measured rate.

{fit(found["fit"])}
{source(found["fit"], "python benchmarks/bench_fit.py")}
## Other libraries

Libraries of the field on the same films and the same test items as [Which tokenizer?](../guides/tokenizers.md), at their published defaults, beside our tokenizers at *their* defaults; all from the codes alone. K = 100, length 6, but where K = 128 is named.

{tables.peers(found["peers_ml1m"])}
{source(found["peers_ml1m"], "python benchmarks/peers.py --data ML1M")}
## RQ-KMeans and OPQ against faiss

One seed; k-means of 25 iterations, six levels of 100; OPQ of four parts of 256 (faiss: its defaults, 50 rotations of 4 iterations, then 25). Errors are squared, summed over dimensions. Seconds are of a machine that did other things as well: read the ratios.

{tables.kmeans_opq(found["kmeans_opq"])}
{source({**found["kmeans_opq"], "cells": []}, "python benchmarks/bench_kmeans_opq.py --data DATA")}
## RQ-VAE: a training step

How many times as fast a step is with our residual quantiser as with vector-quantize-pytorch's ResidualVQ in the same autoencoder, with the same optimiser (six levels of 100, latent 64): least times of one run, interleaved. "Codebook loss" and "EMA" compare like with like; "peer's defaults" compares EMA with what the peer does when nothing is set. "TIGER" is the autoencoder 512, 256, 128, 64; most of its step is the autoencoder, which both share.

{tables.rqvae(found["rqvae_throughput"])}
{source(found["rqvae_throughput"], "python benchmarks/bench_rqvae.py")}
## Decoding: constrained search against `generate`

HeterRec (width 128, two layers over tokens and two over items, random weights) with its forward pass, beside a GPT-2 of the same size under Hugging Face's `generate` with `prefix_allowed_tokens_fn` over a trie of dictionaries: the same histories of 20 items, the same catalogue of random IDs of six codes of 100, in turns in one run; each with the batch that suits it best. HeterRec has the vectors of all items at hand, as a service would; "made anew" makes those of the histories for every batch.

{recommender_tables.generate(found["decode"])}
{source({**found["decode"], "cells": []}, "python benchmarks/bench_decode.py")}
The search alone, microseconds of processor time a user in batches of 256, from random log-probabilities; the floor of exact scoring is its additions alone:

{recommender_tables.search(found["decode"])}
The prefix index of even and of skewed codes:

{recommender_tables.index(found["decode"])}
## Recommenders: an epoch of training

Amazon Beauty (131,413 targets). The floor counts the multiply-adds of forward and backward pass over the rate of a large product on the same machine, measured in turns with the steps.

{recommender_tables.training(found["recommender_training"])}
{source({**found["recommender_training"], "cells": []}, "python benchmarks/bench_recommenders.py")}"""


def readme(text: str) -> str:
    """The README with its results renewed."""
    record = read(RESULTS / "zoo.json")
    names = [name for name in zoo_tables.names_of(record) if name in zoo_tables.SHORT]
    block = zoo_tables.held_out(record, names)
    note = (
        "Fraction of variance that the codes alone leave unexplained of items held out, mean ± sd "
        "over 3 seeds, all tokenizers at their defaults (RQ-VAE with fewer epochs). "
        f"{zoo_tables.sentence(record).strip()} From `python benchmarks/zoo.py`; all kinds: "
        "[Which tokenizer?](docs/guides/tokenizers.md); other figures: "
        "[variants, speed, other libraries](docs/results/variants_and_speed.md).\n"
    )
    text = filled(text, "results", f"{block}\n{note}")
    rows = read(RESULTS / "leaderboard_beauty.json")
    rows = recommender_tables.with_peer(rows, list(read(RESULTS / "recbole_beauty.json")))
    block = recommender_tables.short_leaderboard(rows)
    note = (
        "Mean ± sd over the seeds that are named (3 where none is; popularity, item-kNN and EASE "
        "have none), from `python benchmarks/leaderboard.py beauty`; all items are ranked. What "
        "item tokens and a bonus do to new items: [old items and new ones]"
        "(docs/results/recommenders.md#old-items-and-new-ones); ML-1M and all rows: "
        "[recommenders, measured](docs/results/recommenders.md).\n"
    )
    return filled(text, "retrieval", f"{block}\n{note}")


def filled(text: str, name: str, block: str) -> str:
    """The text with what stands between the two marks of a name renewed."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"a document lacks the marks {start} and {end}")
    return f"{before}{start}\n{block}{end}{after}"


def by_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of members, rows and seeds as :func:`source` wants them, one a run."""
    return {
        "cells": {
            f"{member} {row} {seed}": run
            for member, rows in record["cells"].items()
            for row, runs in rows.items()
            for seed, run in runs.items()
        }
    }


def zoo(text: str) -> str:
    """docs/guides/tokenizers.md with its tables renewed."""
    record = read(RESULTS / "zoo.json")
    names = zoo_tables.names_of(record)
    command = f"python benchmarks/zoo.py --data DATA --epochs {record['epochs of RQ-VAE']}"
    block = f"{zoo_tables.held_out(record, names)}\n{zoo_tables.sentence(record)}\n"
    text = filled(text, "zoo", block + source(by_run(record), command))
    text = filled(text, "zoo-use", zoo_tables.use(record, names))
    parts = read(RESULTS / "zoo_ablation.json")
    command = f"python benchmarks/zoo_ablation.py --data DATA --epochs {parts['epochs']}"
    return filled(
        text, "zoo-parts", f"{zoo_tables.ablation(parts)}\n{source(by_run(parts), command)}"
    )


def tokenizers(text: str) -> str:
    """docs/results/tokenizers.md with its tables renewed."""
    found = {
        name: read(RESULTS / f"quantisers_{name}.json") for name in ("ml1m", "beauty", "toyshop")
    }
    for name, record in found.items():
        command = f"python benchmarks/quantisers.py {name}" + (
            "" if name == "toyshop" else f" --data {name.upper()}"
        )
        block = f"{tables.quantisers(record)}\n{source(record, command)}"
        text = filled(text, f"quantisers-{name}", block)
    main = found["ml1m"]
    text = filled(text, "unrefined", tables.unrefined(main))
    speed = {**main["speed"], "cells": []}
    command = "python benchmarks/quantisers.py ml1m --data ML1M --what speed"
    text = filled(text, "speed", f"{tables.speed(main)}\n{source(speed, command)}")
    text = filled(text, "ablations", tables.ablations(main))
    text = filled(text, "lengths", tables.length_table(main))
    return filled(text, "tuning", tables.settings(main))


def recommenders(text: str) -> str:
    """docs/results/recommenders.md with its tables renewed."""
    for name, against in (("beauty", "SASRec"), ("ml1m", "HeterRec, MMQ")):
        record = read(RESULTS / f"recommenders_{name}.json")
        command = f"python benchmarks/recommenders.py {name} --data {name.upper()}"
        block = f"{recommender_tables.comparison(record, against)}\n{origin(record, command)}"
        text = filled(text, f"recommenders-{name}", block)
        text = filled(text, f"beams-{name}", recommender_tables.beams(record))
        text = filled(text, f"settings-{name}", recommender_tables.settings(record))
    for name in ("beauty", "ml1m"):
        rows = read(RESULTS / f"leaderboard_{name}.json")
        if rows:
            peer = list(read(RESULTS / f"recbole_{name}.json"))
            place = f"{name} --data {name.upper()}"
            block = f"{recommender_tables.leaderboard(recommender_tables.with_peer(rows, peer))}\n"
            block += recommender_tables.measured(rows, f"python benchmarks/leaderboard.py {place}")
            command = f"python benchmarks/recbole_peer.py {place} --python RECBOLE/bin/python"
            block += recommender_tables.peer_measured(peer, command)
            text = filled(text, f"leaderboard-{name}", block)
    record = read(RESULTS / "new_items_ml1m.json")
    command = "python benchmarks/new_items.py --data ML1M --reproduction OUT"
    block = f"{recommender_tables.new_items(record)}\n{origin(record, command)}"
    return filled(text, "new-items", block)


def ranking(text: str) -> str:
    """docs/results/ranking.md with its tables renewed."""
    record = read(RESULTS / "ranking_ml1m.json")
    command = "python benchmarks/ranking.py --data ML1M"
    block = f"{ranking_tables.beside_means(record)}\n{origin(record, command)}"
    text = filled(text, "ranking", block)
    text = filled(text, "strata", ranking_tables.strata(record))
    before = read(RESULTS / "ranking_before_ml1m.json")
    block = f"{ranking_tables.comparison(before)}\n{origin(before, command)}"
    text = filled(text, "ranking-before", block)
    speed = read(RESULTS / "ranking_speed.json")
    command = "python benchmarks/bench_ranking.py --data ML1M --epochs 3"
    block = f"{ranking_tables.peer(speed)}\n{source({**speed, 'cells': []}, command)}"
    return filled(text, "peer", block)


def finetuning(text: str) -> str:
    """docs/results/finetuning.md with its tables renewed."""
    data = {"toyshop": "", "retrieval": "ML1M", "beauty": "BEAUTY", "ranking": "ML1M"}
    for setup, given in data.items():
        record = read(RESULTS / f"finetuning_{setup}.json")
        command = f"python benchmarks/finetuning.py {setup}{given and f' --data {given}'}"
        block = f"{finetuning_tables.comparison(record)}\n{origin(record, command)}"
        text = filled(text, f"finetuning-{setup}", block)
        if "bonuses" in record:
            found = record["bonuses"]
            block = (
                f"{recommender_tables.new_items(found)}\n{origin(found, f'{command} --bonuses')}"
            )
            text = filled(text, f"bonuses-{setup}", block)
        if "sweep" in record:
            text = filled(text, f"sweep-{setup}", finetuning_tables.sweep(record))
    record = read(RESULTS / "finetuning_speed.json")
    command = "python benchmarks/bench_finetuning.py --data ML1M"
    block = f"{finetuning_tables.costs(record)}\n{source(record, command)}"
    return filled(text, "finetuning-speed", block)


def own_data(text: str) -> str:
    """docs/guides/own_data.md with ties of public data sets renewed."""
    ties = read(RESULTS / "ties.json")
    rows = [
        [
            each["data"],
            f"{each['tied_users'] / each['users']:.0%} of {each['users']:,}",
            f"{each['rising']:.0%} (by {each['key']})",
        ]
        for each in ties["rows"]
    ]
    head = ["data", "users whose held-out item is tied", "tied pairs in rising order"]
    return filled(text, "ties", table(head, rows))


def reproduce(text: str) -> str:
    """docs/guides/reproduce.md with costs renewed."""
    return filled(text, "paper-cost", paper_tables.cost())


def reproduced(text: str) -> str:
    """docs/results/reproduced.md with results renewed."""
    for path in sorted(RESULTS.glob("paper_*.json")):
        name = path.stem.removeprefix("paper_")
        text = filled(text, f"paper-{name}", paper_tables.page(read(path)))
    return text


def origin(record: dict[str, Any], command: str) -> str:
    """Where a record of rows with a cell for each seed comes from."""
    runs = {f"{row} {seed}": run for row, c in record["cells"].items() for seed, run in c.items()}
    return source({"cells": runs}, command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    pages: dict[Path, Callable[[str], str]] = {
        ROOT / "README.md": readme,
        RESULT_PAGES / "variants_and_speed.md": lambda _: results(),
        RESULT_PAGES / "tokenizers.md": tokenizers,
        RESULT_PAGES / "recommenders.md": recommenders,
        RESULT_PAGES / "ranking.md": ranking,
        RESULT_PAGES / "finetuning.md": finetuning,
        RESULT_PAGES / "reproduced.md": reproduced,
        GUIDES / "tokenizers.md": zoo,
        GUIDES / "own_data.md": own_data,
        GUIDES / "reproduce.md": reproduce,
    }
    if not arguments.check:
        tables.plot_lengths(read(RESULTS / "quantisers_ml1m.json"), PLOT)
    for path, renewed in pages.items():
        before = path.read_text("utf-8")
        text = renewed(before)
        if not arguments.check:
            path.write_text(text, "utf-8")
        elif before != text:
            sys.exit(f"{path.name} is not what benchmarks/results says; run benchmarks/render.py")


if __name__ == "__main__":
    main()
