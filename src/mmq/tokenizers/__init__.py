"""Tokenizers: embeddings -> codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmq.errors import FormatError, SettingsError, nearest
from mmq.tokenizers.base import FitResult, Tokenizer
from mmq.tokenizers.estimator import NetworkTokenizer
from mmq.tokenizers.folder import read_config
from mmq.tokenizers.mmq.settings import MMQSettings
from mmq.tokenizers.mmq.tokenizer import MMQTokenizer
from mmq.tokenizers.opq import OPQTokenizer
from mmq.tokenizers.opq_quantiser import OPQSettings
from mmq.tokenizers.rqkmeans import RQKMeansSettings, RQKMeansTokenizer
from mmq.tokenizers.rqvae.settings import RQVAESettings
from mmq.tokenizers.rqvae.tokenizer import RQVAETokenizer

KINDS: dict[str, type[NetworkTokenizer[Any, Any]]] = {
    each.kind: each for each in (MMQTokenizer, RQVAETokenizer, RQKMeansTokenizer, OPQTokenizer)
}


def tokenizer_class(kind: str) -> type[NetworkTokenizer[Any, Any]]:
    """The class of a kind of tokenizer.

    Raises:
        SettingsError: there is no such kind.
    """
    if kind not in KINDS:
        raise SettingsError(f"there is no tokenizer '{kind}'; {nearest(kind, KINDS)}")
    return KINDS[kind]


def load_tokenizer(folder: str | Path, device: str = "auto") -> Tokenizer:
    """The tokenizer of a folder, whatever its kind.

    Raises:
        DataError: no such folder.
        FormatError: damaged, newer, or of a kind that this version does not know.
    """
    kind = read_config(folder)["tokenizer"]
    if kind not in KINDS:
        raise FormatError(f"{folder} holds a tokenizer '{kind}'; {nearest(str(kind), KINDS)}")
    return KINDS[kind].load(folder, device)


__all__ = [
    "KINDS",
    "FitResult",
    "MMQSettings",
    "MMQTokenizer",
    "OPQSettings",
    "OPQTokenizer",
    "RQKMeansSettings",
    "RQKMeansTokenizer",
    "RQVAESettings",
    "RQVAETokenizer",
    "Tokenizer",
    "load_tokenizer",
    "tokenizer_class",
]
