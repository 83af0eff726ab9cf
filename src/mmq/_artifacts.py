"""Files that are whole or absent: everything is written under a temporary name and renamed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mmq._locks import locked
from mmq.errors import DataError


@contextlib.contextmanager
def write_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it becomes ``path``, else it vanishes.

    A link is followed: the file that it leads to is replaced, and the link stays. The mode of the
    new file is what the umask says.

    Raises:
        DataError: ``path`` is no regular file, another process is writing it, the disk is full, or
            the folder cannot be written.
    """
    path = _behind_links(path)
    _require_regular(path)
    with disk_errors(path), made_folder(path.parent), locked(path):
        temporary = _unique(path)
        temporary.open("xb").close()  # in the way of nobody's file, and of no link
        mode = temporary.stat().st_mode
        try:
            yield temporary
            temporary.chmod(mode)
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def write_folder(path: str | Path, marker: str) -> Iterator[Path]:
    """Like :func:`write_file` for a folder; one that exists is replaced only if it is ours.

    Args:
        path: the folder to make.
        marker: a file that every folder of this kind holds. A non-empty folder without it is
            somebody's work and is left alone.

    Raises:
        DataError: the folder holds other content, another process is writing it, or the disk is
            full.
    """
    path = _behind_links(path)
    check_replaceable(path, marker)
    with disk_errors(path), made_folder(path.parent), locked(path):
        temporary = _unique(path)
        temporary.mkdir()
        try:
            yield temporary
            for each in (*temporary.rglob("*"), temporary):
                _flush(each)
            _put(temporary, path)
            _flush(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def output_lock(path: str | Path) -> Iterator[None]:
    """Keep other processes from an output, a file or a folder, for longer work on it.

    Raises:
        DataError: another process is writing it, or the folder that it is in cannot be written.
    """
    check_parents(Path(path))
    target = Path(path).resolve()
    with disk_errors(Path(path)), made_folder(target.parent), locked(target, path):
        yield


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours; of one killed while it does that, nothing stands under the name."""
    with contextlib.suppress(FileNotFoundError):
        going = folder.replace(_unique(folder))
        shutil.rmtree(going, ignore_errors=True)


def _behind_links(path: str | Path) -> Path:
    return Path(path).resolve() if Path(path).is_symlink() else Path(path)


def _unique(path: Path) -> Path:
    return beside(path, f"{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _flush(path: Path) -> None:
    """Have the disk hold what was written, before a name says that it is whole."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(new: Path, path: Path) -> None:
    """Give a folder the name ``path``; what had it goes to ``new``, at one moment where it can."""
    if not path.exists():
        new.replace(path)
    elif not _exchange(new, path):
        _replace_in_two_steps(new, path)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names at one moment; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def _replace_in_two_steps(new: Path, path: Path) -> None:
    """A process killed between the two leaves the old one beside, which the next puts back."""
    old = _unique(path).with_suffix(".old")
    path.replace(old)
    try:
        new.replace(path)
    except BaseException:
        old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; those that were not there vanish again if the work fails."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in new:
            with contextlib.suppress(OSError):  # it holds something else by now, which stays
                path.rmdir()
        raise


def beside(path: str | Path, suffix: str) -> Path:
    """The hidden path in the folder of ``path`` where unfinished work on it is kept.

    Raises:
        DataError: ``path`` has no name of its own, as "." and "/".
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise DataError(f"--out {path} should end in a name of its own, such as --out new")
    return path.with_name(f".{path.name}.{suffix}")


def check_writable(path: str | Path, sources: Iterable[str | Path] = ()) -> None:
    """Raise :class:`DataError` if no file may be written there; to be called before long work.

    Args:
        path: the file to make; one that is there already will be replaced.
        sources: files that it is made from, which it may not replace, and folders, in which it may
            not lie.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the file to write, such as {path / 'new'}")
    check_parents(path)
    _require_regular(path)
    for source in filter(Path.exists, map(Path, sources)):
        if path.exists() and path.samefile(source):
            raise DataError(f"{path} is what is read here and would be lost; choose another path")
        if source.is_dir() and path.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{path} lies in {source}, which is read here; choose another path")


def _require_regular(path: Path) -> None:
    """Raise :class:`DataError` where a device, a pipe or a socket has the name."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file and is left alone; choose another path")


def check_parents(path: Path) -> None:
    """Raise :class:`DataError` if one of the folders that a path lies in is a file."""
    for parent in path.parents:
        if parent.is_file():
            raise DataError(
                f"cannot write {path}: {parent} is a file, not a folder; choose another path"
            )


def check_replaceable(path: str | Path, marker: str) -> None:
    """Raise :class:`DataError` if ``path`` exists with content that mmq did not write."""
    path = Path(path)
    check_parents(path)
    if path.is_file():
        raise DataError(f"{path} is a file, not a folder; choose another --out")
    if path.absolute().is_mount():  # "." alone counts as its own parent
        raise DataError(
            f"{path} is where a disk is mounted and cannot be replaced; choose a folder in it, "
            f"such as --out {path / 'new'}"
        )
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise DataError(
            f"the folder {path} exists and holds other files (no {marker} among them); "
            "choose another --out or empty it"
        )


def check_own_folder(
    path: str | Path, files: Collection[str], config: str, required: Collection[str]
) -> None:
    """Raise :class:`DataError` if ``path`` exists and is no folder that mmq wrote.

    A config alone proves nothing, since other libraries' model folders have one too; nor does a
    folder of ours that somebody put files of their own into.

    Args:
        path: the folder to be written, or replaced.
        files: names of all files that mmq writes there.
        config: the one of them that is a JSON object.
        required: keys that tell this object from that of other folders.
    """
    check_replaceable(path, config)
    if not Path(path).is_dir():
        return
    others = sorted({each.name for each in Path(path).iterdir()} - set(files))
    if others:
        what = f"{others[0]} among them"
    elif (Path(path) / config).exists() and not _has_keys(Path(path) / config, required):
        what = f"a {config} that mmq did not write there"
    else:
        return
    raise DataError(
        f"the folder {path} exists and holds other files ({what}); choose another --out or empty it"
    )


def _has_keys(path: Path, required: Collection[str]) -> bool:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # not to be read, or no JSON
        return False
    return isinstance(found, dict) and set(required) <= found.keys()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a path that cannot be written into a :class:`DataError`.

    Where several are nested, the sentence names the path of the outermost: what the user asked
    for, not a part of it under a temporary name.
    """
    try:
        yield
    except (OSError, _DiskError) as error:
        cause = error.__cause__ if isinstance(error, _DiskError) else error
        if not isinstance(cause, OSError):
            raise
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _DiskError(
                f"the disk is full: {path} was not written; free some space and run again"
            ) from cause
        if cause.errno in _REFUSED:
            raise _DiskError(
                f"cannot write {path}: {cause.strerror}; choose another --out"
            ) from cause
        raise


class _DiskError(DataError):
    """What the disk refused; its cause is the :class:`OSError`."""


_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.EBUSY,
    errno.ELOOP,
)


def require_file(path: str | Path, what: str) -> Path:
    """``path`` as a :class:`~pathlib.Path`, or a :class:`DataError` naming ``what`` is missing."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no {what} at {path}; check the path")
    return path


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
