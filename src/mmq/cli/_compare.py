"""``mmq compare``: which model, or which ID table, is better, and how sure is that?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.cli._retrieval_lines import figure_lines


@with_columns
def command(
    columns: Columns,
    contenders: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of recommenders, or ID tables; NAME=PATH,PATH for several seeds.",
            show_default=False,
        ),
    ],
    interactions: opt.Interactions,
    part: Annotated[
        Literal["test", "validation"], typer.Option("--part", help="What to measure on.")
    ] = "test",
    cutoffs: Annotated[str, typer.Option("--k", help="Places that count: --k 5,10,20.")] = "5,10",
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Compare recommenders, or tables of semantic IDs, over the same log, user by user.

    Differences are paired over users, and over seeds where there are several, with 95% intervals.
    A table of IDs is measured by transitions between its codes: what it tells of behaviour without
    training a model.

    Example: mmq compare heterrec sasrec --interactions interactions.parquet

    Seeds: mmq compare a=a0,a1,a2 b=b0,b1,b2 --interactions interactions.parquet
    """
    from mmq.workflows import LogFile, compare

    result = compare(
        contenders,
        LogFile(interactions, columns),
        part,
        cutoffs=opt.whole_numbers(cutoffs, "--k"),
        device=device,
    )
    emit(result, as_json, _lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    for protocol in ("history_competes", "history_left_out"):
        yield f"{protocol.replace('_', ' ')}, {result['part']} part"
        yield from figure_lines(
            {
                row["name"]: {
                    figure: _spread(each)
                    for figure, each in row[protocol].items()
                    if not figure.startswith("hit")
                }
                for row in result["rows"]
            }
        )
    yield from result["verdict"]
    yield from (f"  warning: {each}" for each in result["warnings"])


def _spread(figure: Mapping[str, Any]) -> str:
    """Mean, with the sd of several seeds."""
    sd = figure["sd"]
    several = len(figure["values"]) > 1
    return f"{figure['mean']:.4f}" + (f" ±{sd:.4f}".replace("0.", ".") if several else "")
