"""``mmq reproduce``: the paper's tables and figures, which the repository's experiments make."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from mmq.errors import UserError

CLONE = Path(__file__).parents[3]
"""The clone of the repository, where mmq runs from one."""

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def command(context: typer.Context) -> None:
    """Make the paper's tables and figures again, from a clone of the repository.

    Example: mmq reproduce all --scale small --seeds 3 --out paper
    """
    if not (CLONE / "experiments" / "paper" / "command.py").is_file():
        raise UserError(
            "the experiments of the paper are not part of the installed package; clone the "
            "repository, install it with pip install -e . and run mmq reproduce again"
        )
    if str(CLONE) not in sys.path:
        sys.path.insert(0, str(CLONE))
    from experiments.paper.command import app

    raise typer.Exit(app(context.args, prog_name="mmq reproduce", standalone_mode=False) or 0)
