"""The OPQ tokenizer as an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmq.tokenizers._fused_tokenizer import KMeansTokenizer
from mmq.tokenizers._opq_quantiser import OPQ, OPQSettings
from mmq.tokenizers._search_space import Choice, LogUniform, Space


class OPQTokenizer(KMeansTokenizer[OPQSettings, OPQ]):
    """Optimised product quantisation of the modalities side by side, or of each on its own.

    >>> import numpy as np
    >>> from mmq import Catalogue
    >>> from mmq.tokenizers._opq import OPQTokenizer
    >>> rng = np.random.default_rng(0)
    >>> shop = Catalogue.build(range(200), {"text": rng.normal(size=(200, 16)),
    ...                                     "image": rng.normal(size=(200, 12))})
    >>> tokenizer = OPQTokenizer(codebook_size=16, fusion="separated")
    >>> result = tokenizer.fit(shop)
    >>> tokenizer.encode(shop).shape
    (200, 6)

    Settings are :class:`OPQSettings`; arguments are those of :class:`NetworkTokenizer`.
    """

    kind, label = "opq", "OPQ"
    settings_class = OPQSettings

    @classmethod
    def search_space(cls, fixed: Mapping[str, Any]) -> Space:
        """See :meth:`Tokenizer.search_space`."""
        return {
            "rotations": Choice((5, 10, 20, 40)),
            "iterations": Choice((10, 25, 50, 100)),
            "shrinkage": LogUniform(0.5, 30.0),
        }

    def _quantiser(self, width: int, length: int) -> OPQ:
        return OPQ(width, length, self.settings)
