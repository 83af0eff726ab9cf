"""The paper's tables and figures, on the toyshop or on data of one's own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmq.experiments.paper import Prepared, Progress, Request, prepare, report_on
from mmq.experiments.paper import reproduce as make_cells
from mmq.reports.paper import write_paper
from mmq.training.device import pick_device

_MOST_JOBS = 8

Watched = Callable[[Prepared, int], contextlib.AbstractContextManager[Callable[[Progress], None]]]


def reproduce(
    request: Request,
    jobs: int | None = None,
    *,
    report_only: bool = False,
    force: bool = False,
    watched: Watched = lambda prepared, jobs: contextlib.nullcontext(lambda ended: None),
) -> dict[str, Any]:
    """Where the report is, what became of the cells, and a verdict on each claim of the paper.

    What is finished in ``request.out`` is kept, so that the same call goes on where it stopped.

    Args:
        request: tables and figures, data, scale, seeds and the folder.
        jobs: cells made at once; None for one a core.
        report_only: make nothing, report on what is finished by now.
        force: replace what was made from other inputs.
        watched: gives, of what is prepared and the jobs, what is told of every cell that ended.

    Raises:
        SettingsError: an unknown part, or a value out of range.
        DataError: the data cannot be used, or the folder holds something else.

    Example: ``reproduce(Request(("table1",), None, Path("paper"), "small", scale_of("small"), 3))``
    """
    jobs, prepared = jobs or _jobs(request.device), prepare(request, force)
    if report_only:
        found = report_on(prepared)
    else:
        with watched(prepared, jobs) as watch:
            found = make_cells(prepared, jobs, watch)
    report = write_paper(found, request.out)
    claims = [{key: each[key] for key in ("of", "claim", "verdict")} for each in found["claims"]]
    return {"report": str(report), "cells": found["cells"], "claims": claims}


def plan_reproduction(request: Request, jobs: int | None = None) -> dict[str, Any]:
    """The cells that are left, and about how long each takes on one core; nothing is made.

    Args:
        request: as of :func:`reproduce`.
        jobs: cells made at once; None for one a core.

    Raises:
        SettingsError, DataError: as :func:`reproduce`.
    """
    jobs = jobs or _jobs(request.device)
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


def _jobs(device: str) -> int:
    """A process a core; on a GPU one, which needs no other."""
    on_gpu = pick_device(device).type == "cuda"
    return 1 if on_gpu else min(_MOST_JOBS, os.cpu_count() or 1)


@contextlib.contextmanager
def _left_alone(request: Request) -> Iterator[Request]:
    """The request, in a passing folder if its own is new or empty: a dry run leaves nothing."""
    if request.out.is_file() or (request.out.is_dir() and any(request.out.iterdir())):
        yield request
        return
    with tempfile.TemporaryDirectory() as folder:
        yield dataclasses.replace(request, out=Path(folder) / "paper")
