"""The save format of tokenizers: config.json, model.safetensors, README.md, training.jsonl.

config.json holds ``format`` (version), ``tokenizer`` (kind), ``settings``, ``modalities``
(name -> width), ``reductions`` (name -> digest of the PCA its input went through), ``figures`` of
the fit, the ``mmq`` version and, after stage 2, ``tuned_from`` (fingerprints of the tokenizers that
it was fine-tuned from). This module is the only reader and writer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmq.artifacts import check_own_folder, sha256, write_folder
from mmq.errors import FormatError
from mmq.formats import read_json, read_tensors, write_json, write_tensors
from mmq.made_from import NOTE
from mmq.tokenizers.card import card

FORMAT = 2
CONFIG, WEIGHTS, CARD, LOG = "config.json", "model.safetensors", "README.md", "training.jsonl"
FILES = (CONFIG, WEIGHTS, CARD, LOG)


class Saved(NamedTuple):
    """What a tokenizer folder holds."""

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]


def check_target(folder: str | Path) -> None:
    """Raise :class:`~mmq.errors.DataError` if saving there would overwrite something else."""
    check_own_folder(folder, (*FILES, NOTE), CONFIG, ("tokenizer", "mmq"))


def save_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    log: Sequence[Mapping[str, float]] = (),
) -> None:
    """Write a tokenizer folder, whole or not at all; ``log`` is one line an epoch.

    Raises:
        DataError: the folder exists with other content, or the disk is full.
    """
    check_target(folder)
    with write_folder(folder, CONFIG) as temporary:
        write_json(temporary / CONFIG, {"format": FORMAT, **config})
        write_tensors(temporary / WEIGHTS, tensors)
        (temporary / CARD).write_text(card(config), "utf-8")
        if log:
            lines = [json.dumps(epoch) + "\n" for epoch in log]
            (temporary / LOG).write_text("".join(lines), "utf-8")


def load_folder(folder: str | Path, kind: str) -> Saved:
    """Read a tokenizer folder.

    Raises:
        DataError: no such folder.
        FormatError: damaged, of a newer version, or of another kind of tokenizer.
    """
    config = read_config(folder)
    if config["tokenizer"] != kind:
        raise FormatError(f"{folder} holds a {config['tokenizer']} tokenizer, not {kind}")
    return Saved(config, read_tensors(Path(folder) / WEIGHTS, "file of the tokenizer's weights"))


def read_config(folder: str | Path) -> dict[str, Any]:
    """The checked config.json of a tokenizer folder."""
    path = Path(folder) / CONFIG
    config = read_json(path, "tokenizer (a folder with config.json)")
    version = config.get("format")
    if not isinstance(version, int) or "tokenizer" not in config:
        raise FormatError(f"{path} is not the config of an mmq tokenizer (no format or tokenizer)")
    if version > FORMAT:
        raise FormatError(
            f"{folder} has format {version}, this mmq reads up to {FORMAT}; upgrade mmq"
        )
    for key, kind in (("settings", object), ("modalities", int), ("reductions", str)):
        if not _maps_to(config.get(key), kind):
            raise FormatError(
                f"'{key}' of {path} is missing or not as mmq writes it; the file is damaged, copy "
                "or make it again"
            )
    return config


def _maps_to(value: Any, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, kind) for entry in value.values())


def fingerprint(folder: str | Path) -> str:
    """Content hash of a tokenizer: of its config and its weights."""
    parts = [sha256(Path(folder) / name) for name in (CONFIG, WEIGHTS)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
