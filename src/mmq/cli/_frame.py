"""What all verbs print: notes, and the JSON contract."""

from __future__ import annotations

import codecs
import contextlib
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console

from mmq.errors import printable

_notes: list[str] = []
"""What readers had to say while a verb ran."""


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """Print every :class:`~mmq.errors.DataWarning` once, and keep it for the JSON of the verb."""
    from mmq.errors import DataWarning

    _notes.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if not issubclass(category, DataWarning):
                shown(message, category, *place)
            elif str(message) not in _notes:
                _notes.append(str(message))
                print(f"mmq: note: {printable(str(message))}", file=sys.stderr)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def emit(result: Mapping[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    """Print the result of a verb: the object with ``--json``, else the lines."""
    if as_json:
        from mmq._formats import to_json

        if _notes:
            result = {**result, "warnings": [*result.get("warnings", []), *_notes]}
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        ascii_only = codecs.lookup(encoding).name != "utf-8"
        sys.stdout.write(to_json(result, ascii_only=ascii_only) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(printable(line), markup=False)
