"""Tokenizers: embeddings -> codes. A kind is its own module and a line here."""

from __future__ import annotations

from mmq.tokenizers.base import FitResult, Tokenizer
from mmq.tokenizers.estimator import NetworkTokenizer
from mmq.tokenizers.mmq.settings import MMQSettings
from mmq.tokenizers.mmq.tokenizer import MMQTokenizer
from mmq.tokenizers.opq import OPQTokenizer
from mmq.tokenizers.opq_quantiser import OPQSettings
from mmq.tokenizers.rqkmeans import RQKMeansSettings, RQKMeansTokenizer
from mmq.tokenizers.rqvae.settings import RQVAESettings
from mmq.tokenizers.rqvae.tokenizer import RQVAETokenizer

__all__ = [
    "FitResult",
    "MMQSettings",
    "MMQTokenizer",
    "NetworkTokenizer",
    "OPQSettings",
    "OPQTokenizer",
    "RQKMeansSettings",
    "RQKMeansTokenizer",
    "RQVAESettings",
    "RQVAETokenizer",
    "Tokenizer",
]
