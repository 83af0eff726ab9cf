"""The ``mmq`` command: one file a verb."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from mmq.errors import UserError

app = typer.Typer(
    name="mmq",
    help="Semantic IDs for recommenders: from a catalogue's embeddings to IDs that mean something.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 when done, 2 for the user's mistake."""
    try:
        code = app(args=arguments, prog_name="mmq", standalone_mode=False)
    except UserError as error:
        print(f"mmq: {error}", file=sys.stderr)
        return 2
    except typer.TyperException as error:  # a command or option that is wrong or missing
        _complain(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:  # typer turns an interrupt into this exit code
        print("mmq: interrupted; what was finished is kept, see --resume", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _complain(error: typer.TyperException) -> None:
    message = error.format_message().rstrip(".")
    if message:  # empty where typer has shown the help of a group that was called bare
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "mmq"
        print(f"mmq: {message[:1].lower()}{message[1:]}; see {command} --help", file=sys.stderr)


from mmq.cli import demo, doctor, embed, encode, fit, inspect  # noqa: E402  (they follow `app`)
from mmq.cli.import_ import import_app  # noqa: E402

app.add_typer(import_app, name="import")
app.command("embed")(embed.command)
app.command("fit")(fit.command)
app.command("encode")(encode.command)
app.command("inspect")(inspect.command)
app.command("demo")(demo.command)
app.command("doctor")(doctor.command)
