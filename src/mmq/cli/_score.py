"""``mmq score``: a ranker and rows of users and items -> the rows with their probability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmq._progress import duration
from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns


@with_columns
def command(
    columns: Columns,
    model: Annotated[
        Path, typer.Argument(metavar="RANKER", help="Folder of the ranker.", show_default=False)
    ],
    rows: Annotated[
        Path,
        typer.Option(
            "--rows", help="Users, items and the ranker's further columns; perhaps times."
        ),
    ],
    interactions: Annotated[
        Path, typer.Option("--interactions", help="The log that histories are taken from.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="Know items by this newer ID table of the same tokenizer."),
    ] = None,
    drop_unknown: opt.DropUnknown = False,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Write the probability that each row is a positive of its user.

    The file has all columns of the rows, and the column probability. A row's history is what its
    user liked in the log before the row's time; a row without a time takes the whole history.

    Example: mmq score ranker --rows rows.parquet --interactions interactions.parquet
    --out scored.parquet
    """
    from mmq.workflows import LogFile, ModelFolder, score

    result = score(
        ModelFolder(model, ids, device=device),
        LogFile(rows, columns),
        LogFile(interactions, columns),
        out,
        drop_unknown=drop_unknown,
    )
    emit(result, as_json, _lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['model']} scores {result['rows']:,} rows in {duration(result['seconds'])} "
        f"({result['rows_per_second']:,.0f} rows/s)"
    )
    if result["left_out"]:
        yield f"  {result['left_out']:,} more have an item without a semantic ID and are left out"
    yield from (f"  warning: {each}" for each in result["warnings"])
    yield f"written to {result['out']}"
