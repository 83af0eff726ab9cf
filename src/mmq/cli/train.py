"""``mmq train``: an interaction log -> a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmq.cli import rank
from mmq.cli.evaluate import measured_lines, summary, table_lines, verdict_lines
from mmq.cli.frame import (
    ConfigOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    ResumeOption,
    SetOption,
    UnsetSeedOption,
    emit,
)
from mmq.cli.log_columns import Columns, with_columns
from mmq.cli.retrieval import (
    DedupeOption,
    DropUnknownOption,
    TiesOption,
    concerns,
    described,
    liked_by,
    read_log,
    require_order,
    told_by,
)

train_app = typer.Typer(help="Train a model on an interaction log.", no_args_is_help=True)
train_app.command("ranking")(rank.command)


@train_app.command()
@with_columns
def retrieval(
    columns: Columns,
    interactions: Annotated[Path, typer.Option("--interactions", help="The interaction log.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the model to write.")],
    kind: Annotated[
        str,
        typer.Option(
            "--model", help="Kind of model: heterrec, sasrec, item-knn, ease or popularity."
        ),
    ] = "heterrec",
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="ID table of the items to recommend; heterrec needs one."),
    ] = None,
    split: Annotated[
        Literal["leave-one-out", "chronological", "stored"],
        typer.Option("--split", help="How validation and test part are told from the rest."),
    ] = "leave-one-out",
    positive_above: Annotated[
        float, typer.Option("--positive-above", help="Ratings above it count, where there are any.")
    ] = 3.0,
    min_interactions: Annotated[
        int,
        typer.Option(
            "--min-interactions", min=0, help="Leave out users and items with fewer (k-core)."
        ),
    ] = 5,
    ties: TiesOption = None,
    dedupe: DedupeOption = False,
    drop_unknown: DropUnknownOption = False,
    seed: UnsetSeedOption = None,
    settings: SetOption = None,
    config: ConfigOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a model that recommends the next item, and measure it on the test part.

    Popularity and item-kNN are measured on the same cases; a sentence says who is ahead.

    Example: mmq train retrieval --interactions interactions.parquet --ids ids.parquet --out model

    On two GPUs: torchrun --nproc-per-node 2 -m mmq train retrieval ...
    """
    from mmq.artifacts import beside
    from mmq.data.files import fingerprint
    from mmq.made_from import Checkpoint, check_replaced, file_input, write_note
    from mmq.model import model_class
    from mmq.recommenders import RetrievalData, SplitSettings, evaluate
    from mmq.recommenders.verdict import baselines, measured, verdict
    from mmq.semantic_ids import SemanticIDs
    from mmq.settings import gather
    from mmq.training.distributed import joined

    maker = model_class("recommender", kind)
    values = gather(config, settings or [])
    if seed is not None and "seed" in maker.settings_class.model_fields:
        values["seed"] = seed
    model = maker(maker.settings_class.parse(values), device=device)
    division = SplitSettings.parse(
        {
            "split": split,
            "positive_above": positive_above,
            "min_interactions": min_interactions,
            "ties": ties or "file",
            "dedupe": dedupe,
            "drop_unknown": drop_unknown,
        }
    )
    model.folder_format.check_target(out)
    table = SemanticIDs.read(ids) if ids else None
    log = read_log(interactions, columns)
    require_order(log, kind != "popularity", ties)
    read = file_input(interactions, fingerprint(interactions))
    inputs = {
        "interactions": read,
        "ids": table and file_input(ids or "", table.fingerprint()),
        "kind": kind,
        "columns": dict(columns),
        **division.to_dict(),
        "settings": model.settings.to_dict(),
    }
    check_replaced(out, "a model", inputs, force)
    data = RetrievalData.of(log, table, division)
    checkpoint = Checkpoint(beside(out, "checkpoint.safetensors"), inputs, resume)
    with joined(model.device) as first:
        fit = model.fit(data, checkpoint)
    if not first:
        return
    model.save(out)
    write_note(out, inputs)
    checkpoint.path.unlink(missing_ok=True)
    about = described(log, division, table.item_ids if table else None)
    parts = {"validation": data.validation, "test": data.test}
    found = {name: evaluate(model, cases) for name, cases in parts.items()}
    floor = baselines(data, kind)
    others = {name: measured(floor, cases) for name, cases in parts.items()}
    result = {
        "model": kind,
        "items": len(data.item_ids),
        "users": int((data.train.lengths > 0).sum()),
        "training_interactions": int(data.train.lengths.sum()),
        "log": about,
        "rows": len(log),
        "liked_by": liked_by(log),
        "new_items": int((data.popularity() == 0).sum()),
        **{name: summary(each) for name, each in found.items()},
        "measured": {name: each.to_dict() for name, each in data.measured.items()},
        "baselines": {
            name: {part: summary(others[part][name]) for part in parts} for name in floor
        },
        "verdict": verdict(model, found["validation"], others["validation"], "validation"),
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
        "seconds_per_epoch": fit.seconds_per_epoch,
        "out": str(out),
        "warnings": concerns(about),
    }
    emit(result, as_json, [*_lines(result), *measured_lines(data, ("validation", "test"))])


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"{result['model']} for {result['items']:,} items -> {result['out']}"
    met = result["training_interactions"]
    yield (
        f"  trained on {met:,} interactions of {result['users']:,} users; the log has "
        f"{result['rows']:,} rows{_repeats(result['log'])}, {told_by(result['liked_by'])}"
    )
    if result["new_items"]:
        yield (
            f"  {result['new_items']:,} of the items were not met in training (or less often than "
            "--min-interactions) and count as new"
        )
    if result["epochs"]:
        yield (
            f"  best epoch {result['best_epoch']} of {result['epochs']}, "
            f"{result['seconds_per_epoch']:.1f} s each"
        )
    parts = {name: result[name] for name in ("validation", "test")}
    others = {f"{name}, test": found["test"] for name, found in result["baselines"].items()}
    yield from table_lines(parts, others)
    yield from verdict_lines(result)
    yield from (f"  warning: {each}" for each in result["warnings"])


def _repeats(log: Mapping[str, Any]) -> str:
    """A clause on rows that come more than once."""
    count = log["repeated_rows"]
    left = "left out" if log["dedupe"] else "counted again"
    return f" ({count:,} of them repeat an earlier one and were {left})" if count else ""
