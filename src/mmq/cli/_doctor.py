"""``mmq doctor``: is this machine fit for mmq, and what is missing?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from mmq.cli import _options as opt
from mmq.cli._frame import emit

_UNUSABLE = 1


def command(as_json: opt.Json = False) -> None:
    """Check the machine: versions, memory, speed, extras, and a small round trip.

    The exit code is 0 where mmq can be used, else 1.

    Example: mmq doctor
    """
    from mmq.workflows import doctor

    result = doctor()
    emit(result, as_json, _lines(result))
    if not result["usable"]:
        raise typer.Exit(_UNUSABLE)


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    temporary = result["temporary_folder"]
    known = {name: number or "MISSING" for name, number in result["versions"].items()}
    memory, rate = result["memory_gib"], result["matmul_gflops"]
    yield "mmq can be used here" if result["usable"] else "mmq can NOT be used here"
    yield f"  round trip   {result['round_trip']} (fit, encode, save, load)"
    yield f"  python       {known.pop('python')} on {result['system']}"
    yield f"  packages     {', '.join(f'{name} {number}' for name, number in known.items())}"
    yield (
        f"  machine      {result['cores']} cores, {memory or '?'} GiB of memory, "
        f"{rate or '?'} GFLOP/s, {result['cuda'] or 'no CUDA device'}"
    )
    yield (
        f"  disk         {result['free_disk_gib']} GiB free here, temporary folder "
        f"{'' if temporary['writable'] else 'NOT '}writable ({temporary['path']})"
    )
    for extra, state in result["extras"].items():
        if state["installed"]:
            yield f"  extra        {extra}: installed"
        else:
            yield (
                f"  extra        {extra}: {', '.join(state['missing'])} not installed; "
                f"run: {state['install']}"
            )
