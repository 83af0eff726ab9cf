"""Files that are whole or absent: everything is written under a temporary name and renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mmq.errors import DataError, FormatError


@contextlib.contextmanager
def write_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it becomes ``path``, else it vanishes.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = beside(path, f"{os.getpid()}.tmp")
    with disk_errors(path), made_folder(path.parent):
        try:
            yield temporary
            temporary.replace(path)
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
        DataError: the folder holds other content, or the disk is full.
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()  # what it leads to is replaced, the link stays
    check_replaceable(path, marker)
    temporary = beside(path, f"{os.getpid()}.tmp")
    with disk_errors(path), made_folder(path.parent):
        try:
            temporary.mkdir()
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


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
        sources: files that it is made from, which it may not replace.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the file to write, such as {path / 'new'}")
    _check_parents(path)
    if path.exists() and any(Path(source).exists() and path.samefile(source) for source in sources):
        raise DataError(f"{path} is what is read here and would be lost; choose another path")


def _check_parents(path: Path) -> None:
    for parent in path.parents:
        if parent.is_file():
            raise DataError(
                f"cannot write {path}: {parent} is a file, not a folder; choose another path"
            )


def check_replaceable(path: str | Path, marker: str) -> None:
    """Raise :class:`DataError` if ``path`` exists with content that mmq did not write."""
    path = Path(path)
    _check_parents(path)
    if path.is_file():
        raise DataError(f"{path} is a file, not a folder; choose another --out")
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
        return set(required) <= read_json(path, "config").keys()
    except FormatError:
        return False


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


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of ``value``; figures that are undefined (NaN, infinite) become null.

    >>> to_json({"fvu": float("nan"), "parts": [0.5, float("inf")]})
    '{"fvu": null, "parts": [0.5, null]}'
    """
    return json.dumps(
        _defined(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str
    )


def _defined(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _defined(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(each) for each in value]
    return value


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with write_file(path) as temporary:
        temporary.write_text(to_json(value, indent=2) + "\n", "utf-8")


def read_json(path: str | Path, what: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: the file is missing.
        FormatError: it is truncated or not a JSON object.
    """
    path = require_file(path, what)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{path} is not valid JSON ({error}); the file is truncated or damaged, make it again"
        ) from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    return value


def write_tensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors, whole or not at all."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with write_file(path) as temporary:
        try:
            save_file(arrays, temporary, dict(metadata or {}))
        except SafetensorError as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            raise


def read_tensors(path: str | Path, what: str) -> dict[str, np.ndarray]:
    """Named arrays of a safetensors file; see :func:`read_tensors_with_metadata`."""
    return read_tensors_with_metadata(path, what)[0]


def read_tensors_with_metadata(
    path: str | Path, what: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Named arrays of a safetensors file and the strings stored with them.

    Raises:
        DataError: the file is missing.
        FormatError: it is truncated or not safetensors.
    """
    path = require_file(path, what)
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, ValueError, KeyError) as error:
        raise FormatError(
            f"{path} is not a whole safetensors file ({error}); it is truncated or damaged, "
            "copy or make it again"
        ) from error


def check_tensors(
    found: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]], folder: str | Path
) -> None:
    """Raise :class:`FormatError` naming the first tensor that is missing, extra or misshapen."""
    for name, shape in expected.items():
        if name not in found:
            raise FormatError(f"{folder} lacks the tensor '{name}' of shape {shape}")
        if found[name].dtype != np.float32:
            raise FormatError(
                f"the tensor '{name}' in {folder} is {found[name].dtype}, not float32; save it anew"
            )
        if found[name].shape != shape:
            raise FormatError(
                f"the tensor '{name}' in {folder} has shape {found[name].shape}; "
                f"config.json asks for {shape}"
            )
    extra = sorted(found.keys() - expected.keys())
    if extra:
        raise FormatError(f"{folder} holds a tensor '{extra[0]}' that config.json does not know")
