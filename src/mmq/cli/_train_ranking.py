"""``mmq train ranking``: a log of impressions -> a model that predicts positives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.cli._ranking_lines import trained_lines

_Split = Annotated[
    Literal["chronological", "stored", "random"] | None,
    typer.Option(
        "--split",
        help="How validation and test part are told from the rest; stored where the log has a "
        "split column, else by time, else at random.",
    ),
]
_Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="A further column of the log: of numbers where all of its values are, some with "
        "a fraction; else of categories. Repeats.",
    ),
]
_NumericColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--numeric-column",
        help="A further column of numbers although all of them are whole. Repeats.",
    ),
]
_Interactions = Annotated[
    Path, typer.Option("--interactions", help="The log: what was shown, and how it went.")
]
_Ids = Annotated[
    Path | None, typer.Option("--ids", help="ID table of the items; item IDs alone without.")
]


@with_columns
def command(
    columns: Columns,
    interactions: _Interactions,
    out: Annotated[Path, typer.Option("--out", help="Folder of the model to write.")],
    kind: Annotated[
        str,
        typer.Option("--model", help="Kind of model; an unknown one is answered with all."),
    ] = "ppnet",
    ids: _Ids = None,
    split: _Split = None,
    positive_above: Annotated[
        float, typer.Option("--positive-above", help="Ratings above it count, without labels.")
    ] = 3.0,
    column: _Column = None,
    numeric_column: _NumericColumn = None,
    ties: opt.Ties = "file",
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
    """Train a model that predicts whether a user will like an item, and measure it.

    Means (shares of likes by user, item and column) are measured on the same rows; a sentence says
    whether the model is ahead of them.

    Example: mmq train ranking --interactions interactions.parquet --ids ids.parquet --out ranker

    On two GPUs: torchrun --nproc-per-node 2 -m mmq train ranking ...
    """
    from mmq.ranking import RankingSplit
    from mmq.settings import gather
    from mmq.workflows import LogFile, Run, train_ranking

    division: dict[str, Any] = {"split": split, "positive_above": positive_above}
    division |= {"ties": ties or "file", "dedupe": dedupe, "drop_unknown": drop_unknown}
    result = train_ranking(
        LogFile(interactions, columns, column or [], numeric_column or []),
        out,
        kind,
        ids=ids,
        split=RankingSplit.parse(division),
        settings=gather(config, settings or []),
        report=report,
        run=Run(seed, device, resume, force, log_dir),
    )
    if result is not None:
        emit(result, as_json, trained_lines(result))
