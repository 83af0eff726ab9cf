"""``python -m experiments``: run an experiment, or write the results into the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="experiments", add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True,
    help="Every figure of the documents; python -m experiments reproduce is mmq reproduce.",
)  # fmt: skip

DATA, OUT = "MMQ_DATA", Path("out/experiments")
_FAILED = 1


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Of a results file, such as zoo.")],
    data: Annotated[
        Path | None, typer.Option("--data", envvar=DATA, help="Folder that holds ml1m and beauty.")
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Such as 0,1,2.")] = "",
    only: Annotated[list[str] | None, typer.Option("--only", help="A row. Repeats.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cells made at once.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of cells and kept models.")] = OUT,
) -> None:
    """Make the cells of an experiment that are not there yet, and its results file anew.

    A cell is made once; a training that was killed goes on. Rows that were measured before with
    more seeds than the folder has cells of stay as they are.

    Example: python -m experiments run leaderboard_ml1m --data DATA --only EASE --only SASRec
    """
    from experiments.experiment import Order
    from experiments.experiment import run as run_order
    from experiments.registry import experiment
    from mmq.errors import SettingsError

    chosen = experiment(name)
    if data is None and chosen.files:
        raise SettingsError(f"{name} reads real data; give their folder with --data")
    wanted = [int(each) for each in seeds.split(",")] if seeds else None
    order = Order(name, (data or Path()).absolute(), out, wanted, only or (), jobs)
    if run_order(order, chosen):
        raise typer.Exit(_FAILED)


@app.command("list")
def list_all() -> None:
    """The names of all experiments, and what runs each."""
    from experiments.registry import EXPERIMENTS, PEERS, command

    for name in (*EXPERIMENTS, PEERS):
        print(command(name))


@app.command()
def render(
    check: Annotated[bool, typer.Option("--check", help="Fail where a document differs.")] = False,
) -> None:
    """Write the tables of all documents from benchmarks/results."""
    from experiments.render.pages import render as write

    write(check)
