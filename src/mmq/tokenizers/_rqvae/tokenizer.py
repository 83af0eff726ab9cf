"""The RQ-VAE tokenizer as an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmq.tokenizers._fused import require_enough
from mmq.tokenizers._network import Softened, SoftInputs
from mmq.tokenizers._rqvae.fit import RQVAETask
from mmq.tokenizers._rqvae.network import RQVAENetwork
from mmq.tokenizers._rqvae.settings import RQVAESettings
from mmq.tokenizers._search_space import Choice, Factor, LogUniform, Space
from mmq.tokenizers._soft import SoftTokenizer


class RQVAETokenizer(SoftTokenizer[RQVAESettings, RQVAENetwork]):
    """Residual-quantised autoencoder: every code refines the codes before it.

    >>> import numpy as np
    >>> from mmq import Catalogue
    >>> from mmq.tokenizers._rqvae.tokenizer import RQVAETokenizer
    >>> rng = np.random.default_rng(0)
    >>> shop = Catalogue.build(range(200), {"text": rng.normal(size=(200, 16))})
    >>> tokenizer = RQVAETokenizer(codebook_size=16, hidden_sizes=(32,), latent_dim=8, epochs=2)
    >>> result = tokenizer.fit(shop)
    >>> tokenizer.encode(shop).shape
    (200, 6)

    Settings are :class:`RQVAESettings`; arguments are those of :class:`NetworkTokenizer`.
    """

    kind, label = "rqvae", "RQ-VAE"
    settings_class = RQVAESettings
    by_levels = True

    @classmethod
    def search_space(cls, fixed: Mapping[str, Any]) -> Space:
        """See :meth:`Tokenizer.search_space`."""
        return {
            "learning_rate": LogUniform(5e-4, 1e-2),
            "hidden_sizes": Choice(([], [512], [512, 256, 128])),
            "latent_dim": Choice((64, 128)),
            "codebook": Choice(("loss", "ema", "index")),
            "commitment_weight": Choice((0.25, 0.5, 1.0, 2.5)),
            "input_noise": Factor(0.0, 1.6, "resolved_noise"),
            "refinement": Choice((0, 3)),
        }

    def soften(self, inputs: SoftInputs) -> Softened:
        """As :meth:`SoftTokenizer.soften`."""
        return self.network.soften(inputs)

    def _make(self, dimensions: dict[str, int]) -> RQVAENetwork:
        return RQVAENetwork(dimensions, self.settings)

    def _task(self, network: RQVAENetwork, x: Tensor, present: Tensor) -> RQVAETask:
        require_enough(network, present, self.settings.codebook_size)
        return RQVAETask(network, x, present)
