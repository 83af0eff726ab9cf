"""JSON and safetensors: written whole, and refused with one sentence where they are damaged."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save, save_file

from mmq._artifacts import require_file, write_file
from mmq.errors import FormatError, warn


def to_json(value: Any, indent: int | None = None, ascii_only: bool = False) -> str:
    """JSON of ``value``; figures that are undefined (NaN, infinite) become null.

    With ``ascii_only`` other characters are escaped, for a stream that cannot show them.

    >>> to_json({"fvu": float("nan"), "parts": [0.5, float("inf")]})
    '{"fvu": null, "parts": [0.5, null]}'
    """
    return json.dumps(
        _defined(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False, default=str
    )


def _defined(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _defined(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(each) for each in value]
    return value


_STRINGS = "mmq"
"""The key of safetensors' metadata under which files hold theirs."""

CHECKSUM = "checksum"
"""Last key of a JSON file, and key in the metadata of safetensors: a hash of all the rest."""


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON with its checksum, whole or not at all."""
    with write_file(path) as temporary:
        temporary.write_bytes(json_bytes(with_checksum(value)))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Indented JSON as files hold it."""
    return (to_json(value, indent=2) + "\n").encode()


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object, and the hash of it under its last key."""
    return {**value, CHECKSUM: hashlib.sha256(json_bytes(value)).hexdigest()}


def is_as_written(value: Mapping[str, Any]) -> bool:
    """Whether an object that was read is what :func:`with_checksum` gave, or holds no checksum."""
    rest = {name: each for name, each in value.items() if name != CHECKSUM}
    return CHECKSUM not in value or value == with_checksum(rest)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, not UTF-8, or nests deeper than any file of ours.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def read_json(path: str | Path, what: str) -> dict[str, Any]:
    """The object in a JSON file, without its checksum, which is compared where there is one.

    Raises:
        DataError: the file is missing.
        FormatError: it is truncated, not a JSON object, or not as it was written.
    """
    path = require_file(path, what)
    try:
        value = parse_json(path.read_bytes())
    except ValueError as error:
        raise FormatError(
            f"{path} is not valid JSON ({error}); the file is truncated or damaged, make it again"
        ) from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    if not is_as_written(value):
        raise _altered(path)
    value.pop(CHECKSUM, None)
    return value


def _altered(path: Path) -> FormatError:
    return FormatError(
        f"{path} is not as mmq wrote it (its checksum differs): it is damaged or was edited; copy "
        "or make it again"
    )


def write_tensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors, whole or not at all; with metadata, a checksum of all."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    strings = {}
    if metadata is not None:  # under one key: safetensors writes several in any order
        metadata = {**metadata, CHECKSUM: checksum(arrays, metadata)}
        strings = {_STRINGS: json.dumps(metadata, sort_keys=True)}
    with write_file(path) as temporary:
        try:
            save_file(arrays, temporary, strings)
        except SafetensorError as error:
            raise _os_error(error) or error from error


def _os_error(error: SafetensorError) -> OSError | None:
    """What the system said, where that is why a file was not written or read."""
    told = re.search(r"os error (\d+)|No space left", str(error))
    if told is None:
        return None
    code = int(told[1] or errno.ENOSPC)
    return OSError(code, os.strerror(code))


def checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """CRC-32 of named arrays and the strings stored with them, in hex; four times as fast as SHA.

    It is against damage, and finds every flipped bit; who forges a file can forge it too.
    """
    described = {name: [str(each.dtype), each.shape] for name, each in sorted(tensors.items())}
    strings = dict(sorted(metadata.items()))
    code = zlib.crc32(json.dumps([described, strings]).encode())
    for name in described:
        code = zlib.crc32(np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8).data, code)
    return f"{code:08x}"


def checked_metadata(
    path: Path, tensors: Mapping[str, np.ndarray], stored: Mapping[str, str] | None
) -> dict[str, str]:
    """The strings that :func:`write_tensors` was given, of a file that is as it was written.

    Args:
        path: of the file.
        tensors: all that it holds.
        stored: the metadata that safetensors finds in it.

    Raises:
        FormatError: its checksum differs.
        ValueError: the strings are no JSON.
    """
    metadata: dict[str, str] = dict(stored or {})
    if _STRINGS in metadata:
        metadata = parse_json(metadata[_STRINGS])
    noted = metadata.pop(CHECKSUM, None)
    if noted is not None and noted != checksum(tensors, metadata):
        raise _altered(path)
    if noted is None and metadata:
        warn(f"{path} holds no checksum, as files of an older mmq; damage to it goes unnoticed")
    return metadata


def tensor_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """What :func:`write_tensors` writes of arrays without metadata."""
    return save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, {})


def read_tensors(path: str | Path, what: str) -> dict[str, np.ndarray]:
    """Named arrays of a safetensors file; see :func:`read_tensors_with_metadata`."""
    return read_tensors_with_metadata(path, what)[0]


def read_tensors_with_metadata(
    path: str | Path, what: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Named arrays of a safetensors file and the strings stored with them.

    Raises:
        DataError: the file is missing.
        FormatError: it is truncated, not safetensors, or not as it was written.
    """
    path = require_file(path, what)
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stored = file.metadata()
        return tensors, checked_metadata(path, tensors, stored)
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
