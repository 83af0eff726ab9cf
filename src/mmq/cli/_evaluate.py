"""``mmq evaluate``: how well a model finds held-out items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli import _ranking_lines as ranking_lines
from mmq.cli import _retrieval_lines as retrieval_lines
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns


@with_columns
def command(
    columns: Columns,
    model: opt.Model,
    interactions: opt.Interactions,
    part: Annotated[
        Literal["test", "validation"], typer.Option("--part", help="What to measure on.")
    ] = "test",
    ids: opt.NewIds = None,
    drop_unknown: opt.DropUnknown = False,
    new_item_share: opt.NewItemShare = 0.0,
    new_since: opt.NewSince = None,
    new_users: Annotated[
        bool,
        typer.Option(
            "--new-users",
            help="Measure users without a history too: they are given what is popular.",
        ),
    ] = False,
    cutoffs: Annotated[
        str, typer.Option("--k", help="Places that count, of a recommender: --k 5,10,20,50.")
    ] = "5,10",
    per_user: Annotated[
        Path | None,
        typer.Option("--per-user", help="Parquet file to write: a recommender's figures by user."),
    ] = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Measure a model on held-out interactions.

    Of a recommender: rank all items for every user, and see where the held-out ones stand: where
    the items of the user's own history compete, where they are left out, and beside popularity and
    item-kNN. Of a ranker: predict every impression, and see how far predictions tell the liked
    ones. The log is divided as it was for the training. Intervals are 95%, by bootstrap over users.

    Example: mmq evaluate model --interactions interactions.parquet --k 5,10,20
    """
    from mmq.workflows import LogFile, ModelFolder, evaluate

    result = evaluate(
        ModelFolder(model, ids, new_item_share, new_since, device),
        LogFile(interactions, columns),
        part,
        drop_unknown=drop_unknown,
        new_users=new_users,
        cutoffs=opt.whole_numbers(cutoffs, "--k"),
        per_user=per_user,
        seed=seed,
    )
    lines = ranking_lines if "impressions" in result else retrieval_lines
    emit(result, as_json, lines.evaluated_lines(result))
