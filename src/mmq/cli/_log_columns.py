"""The options by which every verb that reads an interaction log learns its columns' names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

_PANEL = "Columns of the log"
_NAMES = ("user_id", "item_id", "timestamp", "rating", "label")

Columns = dict[str, str]
"""Name of a column -> its name in the file, for those that differ; and ``timestamp_format``."""


def with_columns(command: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options; it gets what they say as ``columns``, a :data:`Columns`."""
    signature = inspect.signature(command, eval_str=True)
    options = {f"{name.removesuffix('_id')}_column": name for name in _NAMES}
    options["timestamp_format"] = "timestamp_format"

    own = [each for name, each in signature.parameters.items() if name != "columns"]
    named = [
        inspect.Parameter(
            option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(name)
        )
        for option, name in options.items()
    ]
    whole = signature.replace(parameters=[*own, *named])

    @functools.wraps(command)
    def verb(*arguments: Any, **values: Any) -> None:
        values = whole.bind(*arguments, **values).arguments
        given = {name: values.pop(option, None) for option, name in options.items()}
        command(**values, columns={name: each for name, each in given.items() if each})

    verb.__signature__ = whole  # type: ignore[attr-defined]
    verb.__annotations__ = {name: each.annotation for name, each in whole.parameters.items()}
    return verb


def _annotation(name: str) -> Any:
    option = f"--{name.removesuffix('_id')}-column"
    text = f"Its name where it is not {name}."
    if name in ("timestamp", "rating", "label"):
        text += " none: leave it alone."
    if name == "timestamp_format":
        option = "--timestamp-format"
        text = 'How times are written, such as "%d.%m.%Y %H:%M"; ISO 8601 and numbers are known.'
    return Annotated[str | None, typer.Option(option, help=text, rich_help_panel=_PANEL)]
