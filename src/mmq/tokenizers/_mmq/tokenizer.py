"""The MMQ tokenizer as an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmq.data import Catalogue
from mmq.errors import DataError, SettingsError
from mmq.made_from import Checkpoint
from mmq.tokenizers._additive.fit import fit_additive
from mmq.tokenizers._additive.network import AdditiveNetwork
from mmq.tokenizers._mmq.fit import MMQTask
from mmq.tokenizers._mmq.network import MMQNetwork, expert_positions
from mmq.tokenizers._mmq.objective import loss_terms
from mmq.tokenizers._mmq.settings import MMQSettings
from mmq.tokenizers._mmq.space import BY_GRADIENT, BY_LEAST_SQUARES
from mmq.tokenizers._network import Softened, SoftInputs
from mmq.tokenizers._search_space import Space
from mmq.tokenizers._soft import SoftTokenizer
from mmq.training._loop import Trained


class MMQTokenizer(SoftTokenizer[MMQSettings, MMQNetwork]):
    """Multimodal mixture of quantisers: shared and specific experts, a codebook each.

    By default codes are found together and codewords fitted by least squares;
    ``learning="gradient"`` is the paper's way, where every expert finds its code alone.

    >>> import numpy as np
    >>> from mmq import Catalogue, MMQTokenizer
    >>> rng = np.random.default_rng(0)
    >>> shop = Catalogue.build(range(200), {"text": rng.normal(size=(200, 16)),
    ...                                     "image": rng.normal(size=(200, 12))})
    >>> tokenizer = MMQTokenizer(codebook_size=16)
    >>> result = tokenizer.fit(shop)
    >>> tokenizer.encode(shop).shape
    (200, 6)

    Learned by gradient its figures come twice: with the gates, which are real numbers of the item
    beside its ID, and from the codes alone, where catalogue-mean gates stand in.

    Settings are :class:`MMQSettings`; arguments are those of :class:`NetworkTokenizer`.
    """

    kind, label = "mmq", "MMQ"
    settings_class = MMQSettings

    @classmethod
    def search_space(cls, fixed: Mapping[str, Any]) -> Space:
        """See :meth:`Tokenizer.search_space`."""
        return BY_GRADIENT if fixed.get("learning") == "gradient" else BY_LEAST_SQUARES

    def soften(self, inputs: SoftInputs) -> Softened:
        """As :meth:`SoftTokenizer.soften`."""
        if isinstance(self.network, AdditiveNetwork):
            return self.network.soften(inputs)
        codes, output = self.network.soften(inputs)
        terms = loss_terms(self.network, output, inputs.target, inputs.present)
        return Softened(codes, output.logits.transpose(0, 1), terms)

    @torch.no_grad()
    def settle(self, x: Tensor, present: Tensor) -> None:
        """The mean gates, all that a reader of the ID alone can use."""
        if isinstance(self.network, MMQNetwork):
            self.network.set_mean_weights(x, present)

    def _learn(
        self, dimensions: dict[str, int], x: Tensor, present: Tensor, checkpoint: Checkpoint | None
    ) -> tuple[MMQNetwork | AdditiveNetwork, Trained]:
        """A network that has learned, as the settings want it."""
        settings = self.settings
        if settings.learning == "gradient":
            return super()._learn(dimensions, x, present, checkpoint)
        names, counts = list(dimensions), [settings.experts_of(name) for name in dimensions]
        ways = [expert_positions(settings.shared, names, counts)]
        if settings.shared_experts is None and len(names) > 1:
            length = settings.shared + sum(counts)
            ways.append(expert_positions(length, names, [0] * len(names)))
        ways = [{n: place for n, place in way.items() if place.stop > place.start} for way in ways]
        shape = self._shape(dimensions, ways)._replace(start=settings.shared_start)
        x, present = x.to(self.device), present.to(self.device)
        return fit_additive(shape, x, present, settings.seed, settings.smoothing)

    @classmethod
    def settings_of(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Format 1 knew learning by gradients alone."""
        settings = super().settings_of(config)
        return settings if config["format"] > 1 else {"learning": "gradient", **settings}

    def _make(self, dimensions: dict[str, int]) -> MMQNetwork:
        return MMQNetwork(dimensions, self.settings)

    def _task(self, network: MMQNetwork, x: Tensor, present: Tensor) -> MMQTask:
        return MMQTask(network, x, present)

    def _check(self, catalogue: Catalogue, present: Tensor) -> None:
        super()._check(catalogue, present)
        names = self.settings.specific_experts
        known: Mapping[str, Any] = names if isinstance(names, dict) else {}
        for name in known:
            if name not in catalogue.modalities:
                raise DataError(
                    f"specific_experts names the modality '{name}', the catalogue has "
                    f"{', '.join(catalogue.modalities)}"
                )
        own = sum(self.settings.experts_of(modality) for modality in catalogue.modalities)
        if self.settings.shared + own == 0:
            raise SettingsError(
                "shared_experts is zero and so are specific_experts of every modality of the "
                "catalogue; give one expert"
            )
