"""The OPQ tokenizer as an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmq.made_from import Checkpoint
from mmq.tokenizers.fitting import fit_quantisers
from mmq.tokenizers.fused import FusedNetwork
from mmq.tokenizers.fused_tokenizer import FusedTokenizer
from mmq.tokenizers.opq_quantiser import OPQ, OPQSettings
from mmq.tokenizers.search_space import Choice, LogUniform, Space
from mmq.training.loop import Trained


class OPQTokenizer(FusedTokenizer[OPQSettings, OPQ]):
    """Optimised product quantisation of the modalities side by side, or of each on its own.

    A fit is short and the same each time, so a checkpoint is neither written nor read: a fit that
    was killed starts anew and ends in the same codebooks.

    >>> import numpy as np
    >>> from mmq import Catalogue
    >>> from mmq.tokenizers.opq import OPQTokenizer
    >>> rng = np.random.default_rng(0)
    >>> shop = Catalogue.build(range(200), {"text": rng.normal(size=(200, 16)),
    ...                                     "image": rng.normal(size=(200, 12))})
    >>> tokenizer = OPQTokenizer(codebook_size=16, fusion="separated")
    >>> result = tokenizer.fit(shop)
    >>> tokenizer.encode(shop).shape
    (200, 6)

    Args:
        settings: an :class:`OPQSettings`, or its fields as keyword arguments.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
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

    @property
    def ordered(self) -> bool:
        """False: every code is of a part of its own."""
        return False

    def _quantiser(self, width: int, length: int) -> OPQ:
        return OPQ(width, length, self.settings)

    def _train(
        self, network: FusedNetwork[OPQ], x: Tensor, present: Tensor, checkpoint: Checkpoint | None
    ) -> Trained:
        steps = self.settings.iterations * network.length
        steps += self.settings.rotations * len(network.columns)
        return fit_quantisers(network, x, present, self.settings, OPQ.fit, steps)
