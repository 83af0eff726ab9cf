"""``mmq settings``: every setting of a kind of model, with its default and meaning."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit

_WIDTH, _INDENT = 96, 4


def command(
    kind: Annotated[
        str | None, typer.Argument(help="Kind of model, or finetune; all are listed without.")
    ] = None,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print the defaults as TOML, to change for --config.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Show the settings of a kind of model: what --set and --config can change.

    Example: mmq settings sasrec

    A file to change: mmq settings mmq --toml > mmq.toml; mmq fit ... --config mmq.toml
    """
    from mmq.errors import SettingsError
    from mmq.settings import to_toml
    from mmq.workflows import defaults_of, kinds_by_family, settings_of

    if as_toml and (kind is None or as_json):
        raise SettingsError("--toml prints the settings of one kind; name it, without --json")
    if kind is None:
        known = kinds_by_family()
        emit(known, as_json, (f"{name}: {', '.join(each)}" for name, each in known.items()))
    elif as_toml:
        typer.echo(to_toml(defaults_of(kind)), nl=False)
    else:
        found = settings_of(kind)
        emit(found, as_json, _lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['kind']} ({found['family']}): {len(found['settings'])} settings"
    for each in found["settings"]:
        default = each["default"]
        shown = default if isinstance(default, str) else json.dumps(default).replace("null", "none")
        yield f"{each['name']} = {shown}  ({each['values']})"
        yield textwrap.fill(
            each["meaning"], _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT
        )
