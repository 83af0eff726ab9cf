"""A progress bar with items/s and time left, on standard error, silent when not a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "")


@contextlib.contextmanager
def bar(
    title: str, total: int, unit: str = "items", done: int = 0, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Give ``advance(count, note="")``, which moves the bar on and shows a short note beside it.

    Args:
        title: what is being done.
        total: how many units there are.
        unit: what is counted.
        done: how many were done by an earlier run.
        shown: whether to show the bar at all; of several processes one does.
    """
    console = Console(file=sys.stderr)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not (shown and console.is_terminal),
    )
    with progress:
        task = progress.add_task(title, total=total, completed=done, unit=unit, note="")

        def advance(count: int, note: str = "") -> None:
            progress.update(task, advance=count)
            if note:
                progress.update(task, note=note)

        yield advance


def duration(seconds: float) -> str:
    """A time in its two largest units.

    >>> duration(8.4), duration(512.3), duration(7500)
    ('8 s', '8 min 32 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
