"""A model's folder -> an ONNX file that gives the same codes or user vectors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from mmq._artifacts import check_writable
from mmq._model_folder import CONFIG, fingerprint
from mmq._onnx import CodesGraph, Graph, UsersGraph, write_graph
from mmq._version import __version__
from mmq.errors import SettingsError
from mmq.model import load
from mmq.recommenders import Recommender
from mmq.tokenizers import Tokenizer
from mmq.tokenizers._estimator import NetworkTokenizer
from mmq.workflows._run import locks_out

_EXAMPLE = 3  # rows of the example that a graph is traced with


@locks_out
def export_onnx(folder: str | Path, out: str | Path) -> dict[str, Any]:
    """What an ONNX file that was written says of itself, and where it is.

    Of a tokenizer: embeddings and presence to codes. Of SASRec and HeterRec: rows of a history's
    items to a user vector.

    Args:
        folder: a tokenizer or a recommender.
        out: the file to write.

    Raises:
        MissingExtraError: the libraries of the extra "onnx" are not installed.
        SettingsError: a model that has no such graph.
        DataError: no model in the folder.

    Example: ``export_onnx("tokenizer", "tokenizer.onnx")``
    """
    check_writable(out, [Path(folder) / CONFIG])
    model = load(folder, "cpu")
    told = {"mmq": __version__, "kind": model.kind, "fingerprint": fingerprint(folder)}
    if isinstance(model, NetworkTokenizer):
        graph = _codes(model, told)
    elif isinstance(model, Recommender):
        graph = _users(model, told)
    else:
        what = "tokenizer" if isinstance(model, Tokenizer) else "ranker"
        raise SettingsError(
            f"{folder} holds a {model.kind} {what}, which has no graph; export one of the "
            "tokenizers mmq, rqvae, rqkmeans and opq, or sasrec or heterrec"
        )
    write_graph(graph, out)
    return {**graph.metadata, "inputs": list(graph.inputs), "output": graph.output, "out": str(out)}


def _codes(model: NetworkTokenizer[Any, Any], told: dict[str, str]) -> Graph:
    widths = model.dimensions
    inputs = {"present": torch.ones(_EXAMPLE, len(widths))}
    inputs |= {name: torch.randn(_EXAMPLE, width) for name, width in widths.items()}
    sizes, reductions = list(model.codebook_sizes), model.reductions
    more = {"modalities": widths, "codebook_sizes": sizes, "reductions": reductions}
    return Graph(CodesGraph(model), inputs, "codes", {**told, **more})


def _users(model: Recommender[Any], told: dict[str, str]) -> Graph:
    module = UsersGraph(model)
    item_ids = model.items.item_ids
    inputs = {
        "rows": torch.zeros(_EXAMPLE, module.longest, dtype=torch.int64),
        "lengths": torch.tensor([1, module.longest, 2][:_EXAMPLE]).clamp(max=module.longest),
    }
    more = {
        "history": module.longest,
        "items": len(item_ids),
        "item_ids_sha256": _hash(item_ids.to_pylist()),
    }
    return Graph(module, inputs, "users", {**told, **more})


def _hash(item_ids: list[Any]) -> str:
    """SHA-256 of the ids, one a line, in the order of the rows."""
    return hashlib.sha256("".join(f"{each}\n" for each in item_ids).encode()).hexdigest()
