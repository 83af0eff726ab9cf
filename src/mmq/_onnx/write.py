"""The one writer of ONNX files."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmq._artifacts import write_file
from mmq._formats import to_json
from mmq.errors import DataError, MissingExtraError

OPSET = 20
_LARGEST = 2_000_000_000
"""Bytes of a file at most: ONNX files are protobuf messages, of 2 GiB at most."""


class Graph(NamedTuple):
    """What to export.

    Attributes:
        module: of tensors alone.
        inputs: name -> an example of two rows or more; the first axis is the batch.
        output: name.
        metadata: what the file says of itself, each a text or written as JSON.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    output: str
    metadata: Mapping[str, Any]


def write_graph(graph: Graph, out: str | Path) -> None:
    """Write an ONNX file, whole or not at all.

    Raises:
        MissingExtraError: the libraries are not installed.
        DataError: the model is too large for one file, or the disk is full.
    """
    size = sum(t.nbytes for t in [*graph.module.parameters(), *graph.module.buffers()])
    if size > _LARGEST:
        raise DataError(f"{size:,} bytes of weights are more than an ONNX file holds; use torch")
    data = _exported(graph)
    with write_file(out) as temporary:
        temporary.write_bytes(data)


def _exported(graph: Graph) -> bytes:
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it)

        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "onnx") from error
    batch = torch.export.Dim("batch", min=1)
    args = tuple(graph.inputs.values())
    module = graph.module.eval()
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            module,
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=[graph.output],
            dynamic_shapes=_shapes(module, len(args), {0: batch}),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for name, value in graph.metadata.items():
        text = value if isinstance(value, str) else to_json(value)
        onnx.helper.set_model_props(
            proto, {**{p.key: p.value for p in proto.metadata_props}, name: text}
        )
    data: bytes = proto.SerializeToString()
    return data


def _shapes(module: nn.Module, inputs: int, batch: Mapping[int, Any]) -> tuple[Any, ...]:
    """A dynamic first axis of every input; those past the named ones are one tuple."""
    code = module.forward.__code__
    named = code.co_argcount - 1
    rest = inputs - named
    return (*[dict(batch)] * named, *([tuple([dict(batch)] * rest)] if rest else []))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the exporter prints and warns from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
