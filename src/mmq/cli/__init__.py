"""The ``mmq`` command: one file a verb."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmq._version import __version__
from mmq.cli._frame import notes
from mmq.errors import SettingsError, UserError, printable

app = typer.Typer(
    name="mmq",
    help="Semantic IDs for recommenders: from a catalogue's embeddings to IDs that mean something.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmq {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None: ...


_INTERRUPTED = 130
_NO_MEMORY = re.compile("out of memory|allocate memory")  # torch says so in a RuntimeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 when done, 2 for the user's mistake."""
    return run_app(app, "mmq", arguments)


def run_app(app: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command line as :func:`main` does; ``name`` is that of the program."""
    _open_streams()
    try:
        _require_text(sys.argv[1:] if arguments is None else arguments)
        with notes():
            code = app(args=arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        print(f"mmq: {printable(str(error))}", file=sys.stderr)
        return 2
    except typer.TyperException as error:  # a command or option that is wrong or missing
        _complain(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except (OSError, MemoryError, RuntimeError) as error:
        return _machine_refused(error)
    if code == _INTERRUPTED:  # typer turns an interrupt into this exit code
        print(
            "mmq: interrupted; what was finished is kept, give the command again (with --resume, "
            "where it has that)",
            file=sys.stderr,
        )
    return code if isinstance(code, int) else 0


def _require_text(arguments: Sequence[str]) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for bytes that are no text in this locale."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("ascii", "backslashreplace")
            raise SettingsError(
                f"the argument {shown} is not text in this locale; rename the file, or set "
                "LC_ALL=C.UTF-8"
            ) from None


def _open_streams() -> None:
    """Give a program that was started with a closed stream (``>&-``) one that leads nowhere.

    A stream that is not UTF-8 shows what it cannot encode as an escape.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (until the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _machine_refused(error: Exception) -> int:
    """Say what the machine could not give; anything else is a bug of ours and goes on."""
    if isinstance(error, BrokenPipeError):  # the reader of the output has seen enough
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        return 1
    if isinstance(error, OSError):
        place = error.filename or ("standard output" if error.errno else "")
        where = f"{place}: " if place else ""
        sentence = f"{where}{error.strerror or error}; check the path and the disk"
    elif isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        sentence = "the memory does not suffice; choose smaller settings, or close other programs"
    else:
        raise error
    print(f"mmq: {sentence}", file=sys.stderr)
    return 2


def _complain(error: typer.TyperException) -> None:
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    if message:  # empty where typer has shown the help of a group that was called bare
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "mmq"
        sentence = f"{message[:1].lower()}{message[1:]}; see {command} --help"
        print(f"mmq: {printable(sentence)}", file=sys.stderr)


from mmq.cli import (  # noqa: E402  (they follow `app`)
    _compare,
    _demo,
    _doctor,
    _encode,
    _evaluate,
    _finetune,
    _fit,
    _inspect,
    _pull,
    _push,
    _recommend,
    _release,
    _reproduce,
    _score,
    _serve,
    _settings,
    _train_ranking,
    _train_retrieval,
    _tune,
)
from mmq.cli._ab import ab_app  # noqa: E402
from mmq.cli._embed import embed_app  # noqa: E402
from mmq.cli._export import export_app  # noqa: E402
from mmq.cli._import import import_app  # noqa: E402

train_app = typer.Typer(help="Train a model on an interaction log.", no_args_is_help=True)
train_app.command("ranking")(_train_ranking.command)
train_app.command("retrieval")(_train_retrieval.command)

_IDS, _MODELS, _OTHER = "From items to semantic IDs", "From IDs to recommendations", "Beside them"
"""The verbs by what they are for, in the order of a project."""

app.add_typer(import_app, name="import", rich_help_panel=_IDS)
app.add_typer(
    embed_app, name="embed", help="Embed texts, images, or what users do.", rich_help_panel=_IDS
)
app.command("fit", rich_help_panel=_IDS)(_fit.command)
app.command("tune", rich_help_panel=_IDS)(_tune.command)
app.command("encode", rich_help_panel=_IDS)(_encode.command)
app.command("inspect", rich_help_panel=_IDS)(_inspect.command)
app.add_typer(train_app, name="train", rich_help_panel=_MODELS)
app.command("finetune", rich_help_panel=_MODELS)(_finetune.command)
app.command("evaluate", rich_help_panel=_MODELS)(_evaluate.command)
app.command("compare", rich_help_panel=_MODELS)(_compare.command)
app.command("recommend", rich_help_panel=_MODELS)(_recommend.command)
app.command("score", rich_help_panel=_MODELS)(_score.command)
app.add_typer(ab_app, name="ab", rich_help_panel=_MODELS)
app.command("release", rich_help_panel=_MODELS)(_release.command)
app.command("serve", rich_help_panel=_MODELS)(_serve.command)
app.add_typer(export_app, name="export", rich_help_panel=_OTHER)
app.command("push", rich_help_panel=_OTHER)(_push.command)
app.command("pull", rich_help_panel=_OTHER)(_pull.command)
app.command("demo", rich_help_panel=_OTHER)(_demo.command)
app.command("settings", rich_help_panel=_OTHER)(_settings.command)
app.command("doctor", rich_help_panel=_OTHER)(_doctor.command)
app.command(
    "reproduce",
    rich_help_panel=_OTHER,
    add_help_option=False,
    context_settings=_reproduce.PASSED_ON,
)(_reproduce.command)
