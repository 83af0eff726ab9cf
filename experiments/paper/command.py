"""``mmq reproduce``: the paper's tables and figures, on the toyshop or on data of one's own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from experiments.paper.dry_run import jobs_for, plan_reproduction
from experiments.paper.plan import ARTEFACTS, PARTS
from experiments.paper.prepare import Prepared, Request, prepare
from experiments.paper.report import write_paper
from experiments.paper.reproduce import report_on, reproduce
from experiments.paper.scales import scale_of
from experiments.runner import Progress
from mmq._progress import bar, duration
from mmq.cli import _options as opt
from mmq.cli._frame import emit
from mmq.cli._log_columns import Columns, with_columns
from mmq.errors import SettingsError, nearest
from mmq.settings import gather

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_Artefact = Literal["table1", "table2", "figure3", "figure4", "figure5", "figure6", "all"]
_SOME_FAILED = 1


_Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of catalogue.parquet and interactions.parquet; a shop is generated if "
        "none is given.",
    ),
]
_Parts = Annotated[
    str | None,
    typer.Option("--parts", help="Of quantisation,retrieval,ranking; all if none is given."),
]
_Own = Annotated[
    list[Path] | None,
    typer.Option("--own", help="A Python file with rows of your own. Repeats."),
]
_ReportOnly = Annotated[
    bool,
    typer.Option("--report-only", help="Make nothing; report on what is finished by now."),
]
_Scale = Annotated[
    Literal["small", "full"], typer.Option("--scale", help="How large every cell is.")
]
_Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Cells made at once; one a core if none.")
]
_Out = Annotated[Path, typer.Option("--out", help="Folder of cells and results.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and about how long it takes.")
]


@app.command()
@with_columns
def command(
    columns: Columns,
    artefact: Annotated[_Artefact, typer.Argument(help="What to make.", show_default=False)],
    data: _Data = None,
    scale: _Scale = "small",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Every cell is made so often.")] = 3,
    out: _Out = Path("mmq-paper"),
    parts: _Parts = None,
    jobs: _Jobs = None,
    own: _Own = None,
    dry_run: _DryRun = False,
    report_only: _ReportOnly = False,
    settings: opt.Set = None,
    config: opt.Config = None,
    force: opt.Force = False,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Make the paper's tables and figures again, and a report with a verdict on each claim.

    What is finished is kept: the same command goes on where it was stopped, or adds seeds, tables
    and figures.

    Example: mmq reproduce all --scale small --seeds 3 --out paper
    """
    request = Request(
        ARTEFACTS if artefact == "all" else (artefact,),
        data,
        out,
        scale,
        scale_of(scale, gather(config, settings or [])),
        seeds,
        _parts(parts),
        tuple(sorted(columns.items())),
        tuple(own or ()),
        device,
    )
    jobs = jobs or jobs_for(device)
    if dry_run:
        plan = plan_reproduction(request, jobs)
        emit(plan, as_json, _plan_lines(plan))
        return
    prepared = prepare(request, force)
    found = report_on(prepared) if report_only else _made(prepared, jobs)
    claims = [{key: each[key] for key in ("of", "claim", "verdict")} for each in found["claims"]]
    report = write_paper(found, out)
    result = {"report": str(report), "cells": found["cells"], "claims": claims}
    emit(result, as_json, _lines(result))
    if result["cells"]["failed"]:
        raise typer.Exit(_SOME_FAILED)


def _made(prepared: Prepared, jobs: int) -> dict[str, Any]:
    with _watched(prepared, jobs) as watch:
        return reproduce(prepared, jobs, watch)


def _parts(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    chosen = [part.strip() for part in text.split(",")]
    for part in chosen:
        if part not in PARTS:
            raise SettingsError(f"--parts knows no '{part}'; {nearest(part, PARTS)}")
    return tuple(part for part in PARTS if part in chosen)


def _plan_lines(plan: dict[str, Any]) -> Iterator[str]:
    """What a dry run prints."""
    yield from (f"{each['about_seconds']:>9,} s  {each['cell']}" for each in plan["plan"])
    yield (
        f"{plan['left']:,} of {plan['cells']:,} cells are left: about "
        f"{duration(plan['about_seconds'])} with {plan['jobs']} at once"
    )


@contextlib.contextmanager
def _watched(prepared: Prepared, jobs: int) -> Iterator[Callable[[Progress], None]]:
    """Show how far it is and about how long it will take yet: a bar, or lines where none can be."""
    total, ended_now = len(prepared.plan.cells), set[str]()
    done = total - len(prepared.left())
    shown = sys.stderr.isatty()

    with bar("cells", total, "cells", done) as advance:

        def watch(ended: Progress) -> None:
            ended_now.add(ended.cell.name)
            left = [cell for cell in prepared.left() if cell.name not in ended_now]
            seconds = prepared.seconds(left)  # anew, from what is known by now
            how = f"failed: {ended.error}" if ended.error else f"{ended.seconds:.1f} s"
            yet = duration(sum(seconds.values()) / jobs)
            advance(1, f"about {yet} left; {ended.cell.name}")
            if not shown:
                print(
                    f"{total - len(left)}/{total} {ended.cell.name}: {how}; about {yet} left",
                    file=sys.stderr,
                )

        yield watch


def _lines(result: dict[str, Any]) -> list[str]:
    cells, claims = result["cells"], result["claims"]
    failed = [f"  failed: {each['cell']}: {each['error']}" for each in cells["failed"]]
    width = max((len(each["verdict"]) for each in claims), default=0)
    return [
        *(f"{each['verdict']:<{width}}  {each['of']}: {each['claim']}" for each in claims),
        f"{cells['done']:,} cells are done, {len(cells['failed']):,} failed",
        *failed,
        f"report: {result['report']}",
    ]
