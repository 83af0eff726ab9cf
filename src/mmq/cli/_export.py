"""``mmq export``: models in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns

export_app = typer.Typer(help="Write a model for other programs.", no_args_is_help=True)


@export_app.command("onnx")
def onnx(
    folder: Annotated[Path, typer.Argument(help="Folder of a tokenizer or recommender.")],
    out: Annotated[Path, typer.Option("--out", help="The ONNX file to write.")],
    as_json: opt.Json = False,
) -> None:
    """Write a tokenizer's encode, or a recommender's user vectors, as an ONNX graph.

    Example: mmq export onnx tokenizer --out tokenizer.onnx
    """
    from mmq.workflows import export_onnx

    done = export_onnx(folder, out)
    emit(done, as_json, [f"{', '.join(done['inputs'])} -> {done['output']}: {done['out']}"])


@export_app.command("vectors")
@with_columns
def vectors(
    columns: Columns,
    model: opt.Model,
    out: Annotated[Path, typer.Option("--out", help="Folder to write items.parquet to.")],
    users: Annotated[
        str | None,
        typer.Option(
            "--users",
            help="Write users.parquet too: all of the log, or those of a FILE of ids or histories.",
        ),
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option("--interactions", help="The interaction log of --users.")
    ] = None,
    ids: opt.NewIds = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Write vectors of items and users, whose inner product is a recommender's score.

    For faiss, Qdrant or any other vector database; the score lacks a constant of the user, which
    changes no order.

    Example: mmq export vectors model --users all --interactions interactions.parquet --out vectors
    """
    from mmq.workflows import LogFile, ModelFolder, export_vectors

    log = None if interactions is None else LogFile(interactions, columns)
    whom = users if users in (None, "all") else LogFile(users, columns)
    done = export_vectors(ModelFolder(model, ids, device=device), out, whom, log=log)
    lines = [f"{done['items']:,} items of {done['dimension']} dimensions -> {out}/items.parquet"]
    if "users" in done:
        lines.append(f"{done['users']:,} users -> {out}/users.parquet")
    if done.get("without_history"):
        lines.append(f"  {done['without_history']:,} users have no history and no vector")
    emit(done, as_json, lines)
