"""``mmq train retrieval``: an interaction log -> a model that recommends the next item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

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
from mmq.cli.options import DedupeOption, DropUnknownOption, InteractionsOption, TiesOption
from mmq.cli.retrieval_lines import trained_lines


@with_columns
def command(
    columns: Columns,
    interactions: InteractionsOption,
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
    from mmq.recommenders import SplitSettings
    from mmq.settings import gather
    from mmq.workflows import LogFile, Run, train_retrieval

    division: dict[str, Any] = {"split": split, "positive_above": positive_above}
    division |= {"min_interactions": min_interactions, "dedupe": dedupe}
    division |= {"drop_unknown": drop_unknown, **({"ties": ties} if ties else {})}
    result = train_retrieval(
        LogFile(interactions, columns),
        out,
        kind,
        ids=ids,
        split=SplitSettings.parse(division),
        settings=gather(config, settings or []),
        run=Run(seed, device, resume, force),
    )
    if result is not None:
        emit(result, as_json, trained_lines(result))
