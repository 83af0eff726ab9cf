"""How far long work is, on standard error: a bar on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import contextlib
import sys
import time
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


SECONDS_BETWEEN_LINES = 60.0


class _Lines:
    """Prints how far work is, now and then.

    Args:
        title: what is being done.
        total: how many units there are.
        unit: what is counted.
        done: how many were done by an earlier run.
    """

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.before = done
        self.note = ""
        self.started = self.told = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        """Count on, and print a line if the last one is a minute old."""
        self.done += count
        self.note = note or self.note
        now = time.monotonic()
        if now - self.told >= SECONDS_BETWEEN_LINES:
            self.told = now
            print(self._line(now - self.started), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        rate = (self.done - self.before) / max(seconds, 1e-9)
        left = duration((self.total - self.done) / rate) if rate else "unknown time"
        note = f", {self.note}" if self.note else ""
        return (
            f"mmq: {self.title}: {self.done:,} of {self.total:,} {self.unit} "
            f"({self.done / max(self.total, 1):.0%}), {rate:,.0f} {self.unit}/s, {left} left{note}"
        )


@contextlib.contextmanager
def bar(
    title: str, total: int, unit: str = "items", done: int = 0, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Give ``advance(count, note="")``, which moves the bar on and shows a short note beside it.

    Where standard error is no terminal (a log, a scheduler), a line is printed once a minute, and
    nothing of what takes less than one.

    Args:
        title: what is being done.
        total: how many units there are.
        unit: what is counted.
        done: how many were done by an earlier run.
        shown: whether to show the bar at all; of several processes one does.
    """
    console = Console(file=sys.stderr)
    if shown and not console.is_terminal:
        yield _Lines(title, total, unit, done).advance
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not shown,
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
