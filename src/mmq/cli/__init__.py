"""The ``mmq`` command: one file a verb."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import typer

from mmq.errors import UserError

app = typer.Typer(
    name="mmq",
    help="Semantic IDs for recommenders: from a catalogue's embeddings to IDs that mean something.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 when done, 2 for the user's mistake."""
    try:
        code = app(args=arguments, prog_name="mmq", standalone_mode=False)
    except UserError as error:
        print(f"mmq: {error}", file=sys.stderr)
        return 2
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("mmq: interrupted; what was finished is kept, see --resume", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0
