"""The file of a prefix index: safetensors, memory-mapped; this module alone reads and writes it.

Tensors: ``rows``, ``leaf_starts``, and ``codes.l`` and ``starts.l`` of every level; the metadata
entry ``mmq.prefix_index`` is a line of JSON. Dense tables are made anew when they are first used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmq._artifacts import require_file
from mmq._formats import checked_metadata, parse_json, to_json, write_tensors
from mmq.decoding._level import Level
from mmq.decoding._prefix_index import PrefixIndex
from mmq.errors import FormatError

FORMAT = 1
_MANIFEST = "mmq.prefix_index"
_AGAIN = "build the index again from the ID table"


def write_index(path: str | Path, index: PrefixIndex) -> None:
    """Write an index, whole or not at all; the same index gives the same bytes."""
    tensors = {"rows": index.rows, "leaf_starts": index.leaf_starts}
    for number, level in enumerate(index.levels):
        tensors[f"codes.{number}"] = level.codes
        tensors[f"starts.{number}"] = level.starts
    manifest = {
        "format": FORMAT,
        "fingerprint": index.fingerprint,
        "codebook_sizes": list(index.codebook_sizes),
        "widths": [level.width for level in index.levels],
        "dense": [level.dense for level in index.levels],
        "table_rows": index.table_rows,
    }
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    write_tensors(path, arrays, {_MANIFEST: to_json(manifest)})


def read_index(path: str | Path, fingerprint: str) -> PrefixIndex:
    """The index in a file, memory-mapped; its checksum is compared, which reads it once.

    Args:
        path: the file.
        fingerprint: what :func:`codes_fingerprint` says of the ID table it is to serve.

    Raises:
        DataError: no such file.
        FormatError: truncated, no index, of a newer mmq, or of another ID table.
    """
    path = require_file(path, "prefix index")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stored = file.metadata()
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        manifest = _manifest(path, checked_metadata(path, arrays, stored).get(_MANIFEST))
        if manifest["fingerprint"] != fingerprint:
            raise FormatError(f"{path} is the index of another ID table; {_AGAIN}")
        index = _index(manifest, tensors)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path} is not a whole prefix index ({error}); it is truncated or damaged, {_AGAIN}"
        ) from error
    if not _holds_together(index):
        raise FormatError(f"the arrays of {path} do not hold together; {_AGAIN}")
    return index


def _manifest(path: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        raise FormatError(f"{path} is safetensors, but no prefix index of mmq; {_AGAIN}")
    manifest: dict[str, Any] = parse_json(text)
    if manifest["format"] != FORMAT:
        raise FormatError(
            f"{path} has format {manifest['format']}, this mmq reads {FORMAT}; {_AGAIN}"
        )
    return manifest


def _index(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> PrefixIndex:
    described = zip(manifest["codebook_sizes"], manifest["widths"], manifest["dense"], strict=True)
    levels = tuple(
        Level(tensors[f"codes.{number}"], tensors[f"starts.{number}"], width, size, dense)
        for number, (size, width, dense) in enumerate(described)
    )
    return PrefixIndex(
        levels,
        tensors["leaf_starts"],
        tensors["rows"],
        manifest["table_rows"],
        manifest["fingerprint"],
    )


def _holds_together(index: PrefixIndex) -> bool:
    """Whether every array ends where the next one does; to see more, all would have to be read."""
    starts = (*(level.starts for level in index.levels), index.leaf_starts)
    counts = (1, *(level.nodes for level in index.levels), len(index))
    return index.rows[-1:].tolist() == [-1] and all(
        array.dtype == torch.int32
        and len(array) == above + 2
        and array[[0, -2, -1]].tolist() == [0, below, below]
        for array, above, below in zip(starts, counts[:-1], counts[1:], strict=True)
    )
