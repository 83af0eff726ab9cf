"""What is left to do of a reproduction, and how many processes do it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.paper.prepare import Request, prepare
from mmq.training._device import pick_device

_MOST_JOBS = 8


def jobs_for(device: str) -> int:
    """A process a core; on a GPU one, which needs no other."""
    on_gpu = pick_device(device).type == "cuda"
    return 1 if on_gpu else min(_MOST_JOBS, os.cpu_count() or 1)


def plan_reproduction(request: Request, jobs: int) -> dict[str, Any]:
    """The cells that are left, and about how long each takes on one core; nothing is made.

    Args:
        request: tables and figures, data, scale, seeds and the folder.
        jobs: cells made at once.

    Raises:
        SettingsError: an unknown part, or a value out of range.
        DataError: the data cannot be used, or the folder holds something else.
    """
    with _left_alone(request) as there:
        prepared = prepare(there)
        left = prepared.left()
        seconds = prepared.seconds(left)
    return {
        "cells": len(prepared.plan.cells),
        "left": len(left),
        "jobs": jobs,
        "about_seconds": round(sum(seconds.values()) / jobs),
        "plan": [{"cell": name, "about_seconds": round(each)} for name, each in seconds.items()],
    }


@contextlib.contextmanager
def _left_alone(request: Request) -> Iterator[Request]:
    """The request, in a passing folder if its own is new or empty: a dry run leaves nothing."""
    if request.out.is_file() or (request.out.is_dir() and any(request.out.iterdir())):
        yield request
        return
    with tempfile.TemporaryDirectory() as folder:
        yield dataclasses.replace(request, out=Path(folder) / "paper")
