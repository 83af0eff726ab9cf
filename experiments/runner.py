"""Running cells in processes: finished ones never again, failed ones reported and gone past."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from experiments.cells import (
    CELLS,
    RESULT,
    UNFINISHED,
    Cell,
    Maker,
    Places,
    Work,
    folder_name,
    make,
)
from mmq._artifacts import disk_errors, write_folder
from mmq._formats import read_json
from mmq._locks import sweep_folder
from mmq.errors import DataError, FormatError, UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

LOG = "log.txt"


class Progress(NamedTuple):
    """How a cell ended.

    Attributes:
        cell: which.
        error: why it failed; None where it did not.
        seconds: that it took; 0 where it could not begin.
    """

    cell: Cell
    error: str | None
    seconds: float


def finished(out: Path, cell: Cell) -> bool:
    """Whether a cell is there already."""
    return _is_done(out / CELLS / folder_name(cell))


def run_cells(
    work: Work, out: Path, jobs: int, watch: Callable[[Progress], None]
) -> dict[str, str]:
    """Make what is not there yet, several at a time.

    Args:
        work: the cells, and what makes one.
        out: the folder of cells.
        jobs: processes; each has its share of the processor's cores.
        watch: called when a cell has ended.

    Returns:
        Name of each cell that failed -> why, in a sentence.

    Raises:
        DataError: another process is making cells in the folder.
    """
    with alone(out):
        return _run_cells(work, out, jobs, watch)


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder; the system lets it go with the process, however that ends."""
    if fcntl is None:
        yield
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"another process is making cells in {out}; wait for it, or choose another --out"
            ) from error
        yield
    finally:
        os.close(folder)


def _run_cells(
    work: Work, out: Path, jobs: int, watch: Callable[[Progress], None]
) -> dict[str, str]:
    waiting = [cell for cell in work.cells if not finished(out, cell)]
    left = {cell.name for cell in waiting}
    failed: dict[str, str] = {}

    def end(done: Progress) -> None:
        left.discard(done.cell.name)
        if done.error:
            failed[done.cell.name] = done.error
        watch(done)

    with _workers(min(jobs, len(waiting)), jobs, work, out) as workers:
        while waiting or any(worker.cell for worker in workers):
            for cell in list(waiting):
                needed = work.needs.get(cell.name, ())
                if broken := next((name for name in needed if name in failed), None):
                    waiting.remove(cell)
                    end(Progress(cell, f"it needs the cell '{broken}', which failed", 0.0))
                elif not left.intersection(needed):
                    idle = next((worker for worker in workers if not worker.cell), None)
                    if idle is None:
                        break
                    waiting.remove(cell)
                    idle.begin(cell)
            busy = {worker.connection: worker for worker in workers if worker.cell}
            for connection in wait(list(busy)) if busy else ():
                end(busy[connection].result())  # type: ignore[index]
    return failed


class _Worker:
    """A process that makes one cell after the other, or a new one for each."""

    def __init__(self, threads: int, work: Work, out: Path) -> None:
        self._arguments = (threads, work.make, out)
        self._alone = work.alone
        self.cell: Cell | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, *self._arguments)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # so that its end is seen when the process dies

    def begin(self, cell: Cell) -> None:
        """Have it make a cell."""
        self.cell = cell
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile, as result() will find
            self.connection.send(cell)

    def result(self) -> Progress:
        """How its cell ended; a process that died is replaced."""
        cell, self.cell = self.cell, None
        assert cell is not None
        try:
            error, seconds = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            self._start()
            return Progress(
                cell,
                f"its process ended with code {code}; if that is -9, the memory did not suffice: "
                "choose fewer --jobs or smaller settings",
                0.0,
            )
        if self._alone:
            self.stop()
            self._start()
        return Progress(cell, error, seconds)

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


@contextlib.contextmanager
def _workers(count: int, jobs: int, work: Work, out: Path) -> Iterator[list[_Worker]]:
    _sweep(out)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers = [_Worker(threads, work, out) for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
        _sweep(out)


def _sweep(out: Path) -> None:
    """Remove what killed processes have left: torn cells, and what finished ones began with."""
    done = [each for each in (out / UNFINISHED).glob("*") if _is_done(out / CELLS / each.name)]
    for useless in done:
        shutil.rmtree(useless, ignore_errors=True)
    if (out / CELLS).is_dir():
        sweep_folder(out / CELLS)


def _is_done(folder: Path) -> bool:
    return (folder / RESULT).is_file()


def _serve(connection: Connection, threads: int, maker: Maker, out: Path) -> None:
    """Make the cells that are sent, until the sender is gone."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the first process's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(min(threads, torch.get_num_threads()))  # OMP_NUM_THREADS may ask for less
    with contextlib.suppress(EOFError, OSError):
        while True:
            cell = connection.recv()
            started = time.monotonic()
            error = make_whole(cell, maker, out)
            connection.send((error, time.monotonic() - started))


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however it went.

    A run that goes on from there would otherwise make the same cell beside this one.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def make_whole(cell: Cell, maker: Maker, out: Path) -> str | None:
    """Make a cell, its folder whole or absent; why it failed, if it did.

    What it says on the way goes to ``log.txt``: in its folder, or in that of what is unfinished.
    """
    unfinished = out / UNFINISHED / folder_name(cell)
    begun = unfinished.exists()
    try:
        with disk_errors(out):
            try:
                _make_folder(cell, maker, out, unfinished)
            except FormatError:  # what another version of mmq began cannot be gone on from
                if not begun:
                    raise
                shutil.rmtree(unfinished)
                _make_folder(cell, maker, out, unfinished)
    except UserError as error:
        return str(error)
    except Exception as error:  # a cell that fails is reported, and the others go on
        with contextlib.suppress(OSError), (unfinished / LOG).open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        return f"{type(error).__name__}: {error}; see {unfinished / LOG}"
    return None


def _make_folder(cell: Cell, maker: Maker, out: Path, unfinished: Path) -> None:
    unfinished.mkdir(parents=True, exist_ok=True)
    with write_folder(out / CELLS / folder_name(cell), RESULT) as new:
        with _log(unfinished / LOG):
            make(cell, maker, Places(out / CELLS, new, unfinished))
        shutil.copyfile(unfinished / LOG, new / LOG)
    shutil.rmtree(unfinished)


@contextlib.contextmanager
def _log(path: Path) -> Iterator[None]:
    """Send what is printed to a file."""
    with (
        path.open("w", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        yield


def results(cells: Iterable[Cell], out: Path) -> Mapping[str, dict[str, Any]]:
    """Name of each finished cell -> its result."""
    return {
        cell.name: read_json(out / CELLS / folder_name(cell) / RESULT, "cell")
        for cell in cells
        if finished(out, cell)
    }
