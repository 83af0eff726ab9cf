"""``mmq train retrieval``: an interaction log -> a model that recommends the next item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.cli._retrieval_lines import trained_lines

_Kind = Annotated[
    str,
    typer.Option("--model", help="Kind of model; an unknown one is answered with all."),
]
_MinInteractions = Annotated[
    int,
    typer.Option(
        "--min-interactions", min=0, help="Leave out users and items with fewer (k-core)."
    ),
]
_Ids = Annotated[
    Path | None,
    typer.Option("--ids", help="ID table of the items to recommend, if the model reads IDs."),
]
_Split = Annotated[
    Literal["leave-one-out", "chronological", "stored"],
    typer.Option("--split", help="How validation and test part are told from the rest."),
]


@with_columns
def command(
    columns: Columns,
    interactions: opt.Interactions,
    out: Annotated[Path, typer.Option("--out", help="Folder of the model to write.")],
    kind: _Kind = "heterrec",
    ids: _Ids = None,
    split: _Split = "leave-one-out",
    positive_above: opt.PositiveAbove = 3.0,
    min_interactions: _MinInteractions = 5,
    ties: opt.Ties = None,
    dedupe: opt.Dedupe = False,
    drop_unknown: opt.DropUnknown = False,
    seed: opt.UnsetSeed = None,
    settings: opt.Set = None,
    config: opt.Config = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_dir: opt.LogDir = None,
    report: opt.Report = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
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
        report=report,
        run=Run(seed, device, resume, force, log_dir),
    )
    if result is not None:
        emit(result, as_json, trained_lines(result))
