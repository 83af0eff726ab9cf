"""Tokenizers: embeddings -> codes. A kind is its own module and a line here."""

from __future__ import annotations

from mmq.tokenizers._base import FitResult, Tokenizer
from mmq.tokenizers._estimator import NetworkTokenizer
from mmq.tokenizers._fused import FusionSettings, Quantiser
from mmq.tokenizers._fused_tokenizer import FusedTokenizer
from mmq.tokenizers._mmq.settings import MMQSettings
from mmq.tokenizers._mmq.tokenizer import MMQTokenizer
from mmq.tokenizers._opq import OPQTokenizer
from mmq.tokenizers._opq_quantiser import OPQSettings
from mmq.tokenizers._rqkmeans import RQKMeansSettings, RQKMeansTokenizer
from mmq.tokenizers._rqvae.settings import RQVAESettings
from mmq.tokenizers._rqvae.tokenizer import RQVAETokenizer
from mmq.tokenizers._search_space import Choice

__all__ = [
    "Choice",
    "FitResult",
    "FusedTokenizer",
    "FusionSettings",
    "MMQSettings",
    "MMQTokenizer",
    "NetworkTokenizer",
    "OPQSettings",
    "OPQTokenizer",
    "Quantiser",
    "RQKMeansSettings",
    "RQKMeansTokenizer",
    "RQVAESettings",
    "RQVAETokenizer",
    "Tokenizer",
]
