"""JSON and safetensors: written whole, and refused with one sentence where they are damaged."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save, save_file

from mmq._artifacts import require_file, write_file
from mmq.errors import FormatError


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


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with write_file(path) as temporary:
        temporary.write_bytes(json_bytes(value))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """What :func:`write_json` writes."""
    return (to_json(value, indent=2) + "\n").encode()


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
