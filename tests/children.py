"""Processes of their own for tests, forked from a server that has imported mmq already.

A program that imports torch needs seconds before its first line; these need none.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SECONDS = 120
"""No process of a test works for longer."""

_PRELOADED = ["mmq.cli", "mmq.workflows._demo", "mmq.workflows._doctor", "mmq.workflows._finetune"]
"""What the server imports; the demo goes through all of mmq."""


@functools.cache
def _server() -> ForkServerContext:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(_PRELOADED)
    return server


def start(work: Callable[..., Any], *arguments: Any, **environment: str) -> BaseProcess:
    """A process that does the work in the current folder and exits with the code it returns.

    Args:
        work: a function at the top level of a module.
        arguments: of the function.
        environment: more variables.
    """
    values = (Path.cwd(), environment, work, arguments)
    child = _server().Process(target=_begin, args=values)
    child.start()
    return child


def _begin(
    folder: Path, environment: Mapping[str, str], work: Callable[..., Any], arguments: Any
) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    sys.exit(work(*arguments))


def print_to(arguments: Iterable[Any], out: Path) -> int:
    """Exit code of a verb whose standard output and standard error are added to two files.

    Args:
        arguments: of the command line.
        out: the file of the output; beside it, with the suffix ``.err``, that of the errors.
    """
    from mmq.cli import main

    for stream, path in ((1, out), (2, out.with_suffix(".err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    return main([str(each) for each in arguments])


def kill_when(ready: Callable[[], bool], work: Callable[..., Any], *arguments: Any) -> None:
    """Do the work in a process, and ``kill -9`` it as soon as it is ready for that."""
    child = start(work, *arguments)
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert child.is_alive(), "the work ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL


def kill_at(checkpoint: Path, arguments: Iterable[Any]) -> None:
    """Run a verb that trains in a process, and kill it as soon as there is a checkpoint."""
    kill_when(checkpoint.exists, _train_slowly, [str(each) for each in arguments])


def _train_slowly(arguments: list[str]) -> int:
    """The command line, whose trainings store every epoch and pause before all but the first."""
    from mmq.cli import main
    from mmq.training import _loop as loop

    loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    plain = loop.Training.run_epoch

    def slow(self: Any, *values: Any) -> Any:
        time.sleep(0.3 if self.epoch else 0.0)
        return plain(self, *values)

    loop.Training.run_epoch = slow  # type: ignore[method-assign]
    return main(arguments)


def two_processes(work: Callable[..., Any], *arguments: Any) -> None:
    """Do the work in two processes that know of each other, as ``torchrun`` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [
        start(work, *arguments, RANK=rank, LOCAL_RANK=rank, **meeting) for rank in ("0", "1")
    ]
    for child in children:
        child.join(SECONDS)
    assert [child.exitcode for child in children] == [0, 0]


def printed_by_two(arguments: Iterable[Any], out: Path) -> str:
    """What a verb prints in two processes together, through a file."""
    two_processes(print_to, [str(each) for each in arguments], out)
    return out.read_text()


def found_by_two(work: Callable[[], Any], folder: Path) -> list[Any]:
    """What a function of no arguments gives back in each of two processes, through JSON.

    Args:
        work: the function; gradients can be exchanged inside.
        folder: for what they find.
    """
    two_processes(_find, work, folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def _find(work: Callable[[], Any], folder: Path) -> None:
    import torch

    from mmq.training._distributed import joined, place

    with joined(torch.device("cpu")):
        (folder / f"{place()[0]}.json").write_text(json.dumps(work()))
