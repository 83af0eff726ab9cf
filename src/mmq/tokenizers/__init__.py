"""Tokenizers: embeddings -> codes."""

from __future__ import annotations

from pathlib import Path

from mmq.errors import FormatError, nearest
from mmq.tokenizers.base import FitResult, Tokenizer
from mmq.tokenizers.folder import read_config
from mmq.tokenizers.mmq.settings import MMQSettings
from mmq.tokenizers.mmq.tokenizer import MMQTokenizer

KINDS = {"mmq": MMQTokenizer}


def load_tokenizer(folder: str | Path, device: str = "auto") -> MMQTokenizer:
    """The tokenizer of a folder, whatever its kind.

    Raises:
        DataError: no such folder.
        FormatError: damaged, newer, or of a kind that this version does not know.
    """
    kind = read_config(folder)["tokenizer"]
    if kind not in KINDS:
        raise FormatError(f"{folder} holds a tokenizer '{kind}'; {nearest(str(kind), KINDS)}")
    return KINDS[kind].load(folder, device)


__all__ = ["KINDS", "FitResult", "MMQSettings", "MMQTokenizer", "Tokenizer", "load_tokenizer"]
