"""Tables of time and memory, from what benchmarks/bench_*.py have stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.render.markdown import table, templated

Record = Mapping[str, Any]


def encode(record: Record) -> str:
    """Speed and memory of encoding."""
    columns = {
        "items": "{items:,}",
        "K": "{codebook_size:,}",
        "items/s, whole command": "{items_per_second:,.0f}",
        "items/s, compute": "{compute_items_per_second:,.0f}",
        "of the plain floor": "{compute_to_floor:.2f}",
        "of the least floor": "{compute_to_least:.2f}",
        "peak MiB": "{peak_mib:,.0f}",
    }
    return templated(columns, record["cells"])


def readers(record: Record) -> str:
    """Speed of the readers, beside that of another checkout."""
    columns = {
        "file": "{file}",
        "rows": "{rows:,}",
        "MB": "{megabytes:,.1f}",
        "rows/s": "{rows_per_second[after]:,}",
        "MB/s": "{megabytes_per_second[after]:,.0f}",
        "of before": "{ratio:.2f}",
    }
    return templated(columns, record["rows"])


def shop(record: Record) -> str:
    """What every command of a small shop takes."""
    columns = {
        "step": "{step}",
        "command": "`{command}`",
        "processor seconds": "{processor_seconds:,.0f}",
        "peak MB": "{peak_mb:,}",
    }
    return templated(columns, record["steps"])


def fit(record: Record) -> str:
    """Speed of training."""
    columns = {
        "K": "{codebook_size:,}",
        "batch": "{batch_size:,}",
        "items/s": "{items_per_second:,.0f}",
        "floor, items/s": "{floor_items_per_second:,.0f}",
        "ratio": "{to_floor:.2f}",
    }
    return templated(columns, record["cells"])


def kmeans_opq(record: Record) -> str:
    """RQ-KMeans and OPQ against faiss."""
    columns = {
        "case": "{case}",
        "who": "{who}",
        "threads": "{threads}",
        "seconds": "{seconds:.2f}",
        "faiss' time / this": "{ratio:.2f}",
        "error, fit": "{fit:.4f}",
        "error, held out": "{held_out:.4f}",
    }
    return templated(
        columns,
        (
            {
                "case": case.replace(" | ", ": "),
                "who": who,
                "threads": threads,
                "seconds": each["seconds"],
                "ratio": found["faiss"]["seconds"] / each["seconds"],
                **{part: _last(each["error"][part]) for part in ("fit", "held_out")},
            }
            for threads, cases in record["threads_run"].items()
            for case, found in cases.items()
            for who, each in found.items()
        ),
    )


def _last(value: float | list[float]) -> float:
    return value[-1] if isinstance(value, list) else value


def rqvae(record: Record) -> str:
    """Steps of an RQ-VAE with our quantiser against vector-quantize-pytorch's."""
    columns = {
        "autoencoder": "{shape}",
        "batch": "{batch_size:,}",
        "threads": "{threads}",
        "timed": "{timed}",
        "codebook loss": "{ratios[loss]:.2f}",
        "EMA": "{ratios[EMA]:.2f}",
        "peer's defaults": "{ratios[as it comes]:.2f}",
    }
    timed = {"step": "whole step", "quantiser": "quantiser alone"}
    return templated(
        columns,
        (
            {**found, "timed": what, "ratios": found[part]["ratio_of_least"]}
            for found in record["cells"]
            for part, what in timed.items()
        ),
    )


def stage2(record: Record) -> str:
    """Time and memory of stage 2 against the same training with the tokenizer frozen."""
    lines = []
    for task in ("retrieval", "ranking"):
        turns = record[task]["alternating"]
        steps = {name: found for name, found in record[task].items() if found is not turns}
        lines += [
            [task, name, f"{found['ratio']:.2f}", f"{found['bytes'] / 1e6:.0f}"]
            for name, found in steps.items()
        ]
        lines.append([task, "alternating, an epoch that moves codes", f"{turns['ratio']:.2f}", "-"])
        lines.append([task, "alternating, all epochs", f"{turns['ratio_of_all_epochs']:.2f}", "-"])
    return table(["task", "way", "time, frozen = 1", "most memory of a step (MB)"], lines)


def training(record: Record) -> str:
    """Seconds an epoch on Beauty, and their ratio to the floor."""
    columns = {
        "model": "{model}",
        "threads": "{threads}",
        "s an epoch": "{seconds_per_epoch:.0f}",
        "s of its products alone": "{floor_seconds:.0f}",
        "ratio": "{ratio:.1f}",
    }
    return templated(
        columns,
        (
            {**found, "model": name, "threads": threads}
            for threads in "12"
            for name, found in record.get(f"{threads} threads", {}).items()
        ),
    )


def generate(record: Record) -> str:
    """Users a second beside Hugging Face's generate."""
    lines = []
    for found in (each for catalogue in record["generate"] for each in catalogue["cells"]):
        rates, ratio = found["users_per_second"], found["ours_to_generate"]
        best = [
            max(each["least"] for name, each in rates.items() if name.startswith(side))
            for side in ("ours", "from tokens", "generate")
        ]
        shown = [f"{rate:,.{1 if rate < 10 else 0}f}" for rate in best]
        ratios = [f"{ratio[side]['least']:.0f}" for side in ("ours", "from tokens")]
        lines.append([f"{found['items']:,}", str(found["beams"]), *shown, *ratios])
    header = ["items", "beams", "HeterRec, users/s", "the same, item vectors made anew"]
    return table([*header, "generate", "ratio", "ratio, anew"], lines)


def search(record: Record, users: int = 256) -> str:
    """Microseconds a user of the search alone."""
    found = [each for each in record["search"] if each["users"] == users]
    lines = [
        [f"{each['items']:,}", *(f"{t['own']:,.0f}" for t in each["microseconds_a_user"].values())]
        for each in found
    ]
    names = list(record["search"][0]["microseconds_a_user"])
    return table(["items", *(name.replace("_", " ") for name in names)], lines)


def index(record: Record) -> str:
    """Size and building time of the prefix index."""
    columns = {
        "items": "{items:,}",
        "codes": "{codes}",
        "distinct IDs": "{distinct_ids:,}",
        "MB": "{megabytes:.2f}",
        "bytes a level and item": "{bytes_a_level_and_item:.1f}",
        "s to build": "{build_seconds[own]:.2f}",
        "ms to map from disk": "{milliseconds:.1f}",
    }
    return templated(
        columns,
        (
            {
                **found,
                "megabytes": found["bytes"] / 1e6,
                "milliseconds": found["load_seconds"]["least"] * 1e3,
            }
            for found in record["index"]
        ),
    )


def fuxictr(record: Record) -> str:
    """Our PPNet beside FuxiCTR's."""
    theirs = record.get("fuxictr", {})
    every = {
        f"{who}, {name}": found
        for who, rows in (("ours", record["ours"]), ("FuxiCTR", theirs))
        for name, found in rows.items()
    }
    lines = [
        [
            name,
            f"{found['test_auc']:.4f}",
            f"{found['rows_per_cpu_second']:,.0f}",
            *(
                f"{found['rows_per_cpu_second'] / other['rows_per_cpu_second']:.1f}"
                for other in theirs.values()
            ),
        ]
        for name, found in every.items()
    ]
    header = ["PPNet", "test AUC", "rows a processor second"]
    return table([*header, *(f"to FuxiCTR, {name}" for name in theirs)], lines)


def scale(record: Record) -> str:
    """What every stage takes at every size."""
    columns = {
        "items": "{items:,}",
        "users": "{users:,}",
        "stage": "{stage}",
        "items of the stage": "{handled:,}",
        "seconds": "{wall_seconds:,.0f}",
        "processor seconds": "{processor_seconds:,.0f}",
        "microseconds an item": "{each:,.0f}",
        "peak MB": "{peak_mb:,}",
    }
    cells = sorted(record["cells"], key=lambda cell: cell["items"])
    return templated(
        columns,
        ({**cell, "each": 1e6 * cell["processor_seconds"] / cell["handled"]} for cell in cells),
    )


def scale_growth(record: Record) -> str:
    """How stages grow with the items; 1 is linear."""
    columns = {
        "stage": "{stage}",
        "from items": "{from:,}",
        "to items": "{to:,}",
        "exponent, processor": "{processor_seconds:.2f}",
        "exponent, memory": "{peak_mb:.2f}",
    }
    return templated(columns, record["growth"])


def scale_extrapolated(record: Record) -> str:
    """What 40 million items would take, by a line through the largest sizes measured."""
    columns = {
        "stage": "{stage}",
        "users": "{users:,}",
        "processor seconds, a + b n": "{processor_seconds[arithmetic]}",
        "hours": "{hours:,.1f}",
        "peak MB, a + b n": "{peak_mb[arithmetic]}",
        "GB": "{gigabytes:,.1f}",
    }
    return templated(
        columns,
        (
            {
                **line,
                "hours": line["processor_seconds"]["at_40_million"] / 3600,
                "gigabytes": line["peak_mb"]["at_40_million"] / 1024,
            }
            for line in record["extrapolated"]
        ),
    )


def scale_cost(record: Record) -> str:
    """The extrapolated hours of 40 million items, by how many cores share them."""
    columns = {
        "stage": "{stage}",
        "hours of one core": "{hours:,.1f}",
        "on 2 cores": "{two:,.1f}",
        "on 16 cores": "{sixteen:,.2f}",
        "memory of a process, GB": "{gigabytes:,.1f}",
    }
    hours = {
        line["stage"]: line["processor_seconds"]["at_40_million"] / 3600
        for line in record["extrapolated"]
    }
    return templated(
        columns,
        (
            {
                "stage": line["stage"],
                "hours": hours[line["stage"]],
                "two": hours[line["stage"]] / 2,
                "sixteen": hours[line["stage"]] / 16,
                "gigabytes": line["peak_mb"]["at_40_million"] / 1024,
            }
            for line in record["extrapolated"]
        ),
    )
