"""One process at a time writes an output, and sweeps away what a killed one left beside it.

The lock is a file beside the output, locked by the kernel, which lets go of it when the process
ends, however it ends. Who holds it knows that every temporary beside the output is nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mmq.errors import DataError

_held: Counter[Path] = Counter()
_descriptors: dict[Path, int] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def locked(path: Path, shown: str | Path | None = None) -> Iterator[None]:
    """Hold the lock of an output, whose folder exists; a process may take it several times.

    Args:
        path: the output.
        shown: what the message calls it, if anything else.

    Raises:
        DataError: another process holds it.
    """
    lock = path.absolute().parent / f".{path.name}.lock"
    with _guard:
        if not _held[lock]:
            _descriptors[lock] = _acquire(lock, shown or path)
            _sweep(path)
        _held[lock] += 1
    try:
        yield
    finally:
        with _guard:
            _held[lock] -= 1
            if not _held[lock]:
                del _held[lock]
                lock.unlink(missing_ok=True)  # while it is held, so that nobody else's goes
                os.close(_descriptors.pop(lock))


def _acquire(lock: Path, shown: str | Path) -> int:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(lock, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataError(
                f"another process is writing {shown}; wait for it to end, or choose another --out"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_same(descriptor, lock):
            return descriptor
        os.close(descriptor)  # its holder removed it between the two calls


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def sweep_folder(folder: Path) -> None:
    """Remove what killed processes left in a folder; what others are writing now stays."""
    pattern = re.compile(r"\.(.+?)\.(lock|\d+(-[0-9a-f]+)?\.(tmp|old))")
    matches = [pattern.fullmatch(path.name) for path in folder.iterdir()]
    for name in {match[1] for match in matches if match}:
        with contextlib.suppress(DataError), locked(folder / name):
            pass


def _sweep(path: Path) -> None:
    """Remove temporaries of killed processes; an output that one had moved away is put back."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.\d+(-[0-9a-f]+)?\.(tmp|old)")
    leftovers = [entry for entry in os.scandir(path.parent) if pattern.fullmatch(entry.name)]
    for entry in sorted(leftovers, key=lambda entry: entry.name):
        if entry.name.endswith(".old") and not path.exists():
            Path(entry.path).replace(path)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)
