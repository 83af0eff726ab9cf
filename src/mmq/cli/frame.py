"""What all verbs share: options, the JSON contract, and errors without a traceback."""

from __future__ import annotations

import codecs
import contextlib
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of everything random.")
]
UnsetSeedOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of everything random; 0 if not given."),
]
"""For verbs whose settings have a seed: it wins over theirs only where it is given."""
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting by its dotted name: --set key=value. Repeats."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings from a TOML file; --set wins over it.")
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on from where a killed run of the same command stopped."),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace what stands at --out although other inputs made it."),
]
ReduceOption = Annotated[
    int | None, typer.Option("--reduce", help="PCA of wider modalities to so many dimensions.")
]
ReduceLikeOption = Annotated[
    Path | None, typer.Option("--reduce-like", help="Apply the PCA of this older catalogue.")
]
TitleOption = Annotated[
    str | None, typer.Option("--title-column", help="Column to show; title if there is one.")
]
AttributeOption = Annotated[
    list[str] | None, typer.Option("--attribute", help="A further column to keep. Repeats.")
]


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
                print(f"mmq: note: {message}", file=sys.stderr)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def emit(result: Mapping[str, Any], as_json: bool, lines: Iterable[str] = ()) -> None:
    """Print the result of a verb: the object with ``--json``, else ``lines`` or a plain table."""
    if as_json:
        from mmq.formats import to_json

        if _notes:
            result = {**result, "warnings": [*result.get("warnings", []), *_notes]}
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        ascii_only = codecs.lookup(encoding).name != "utf-8"
        sys.stdout.write(to_json(result, ascii_only=ascii_only) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    lines = list(lines)
    for line in lines:
        console.print(line, markup=False)
    if not lines:
        table = Table(show_header=False, box=None)
        for name, value in result.items():
            table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
        console.print(table)
