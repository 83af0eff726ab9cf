"""A tokenizer of quantisers as an estimator."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

from mmq.tokenizers.estimator import NetworkTokenizer
from mmq.tokenizers.fused import FusedNetwork, FusionSettings, Q

F = TypeVar("F", bound=FusionSettings)


class FusedTokenizer(NetworkTokenizer[F, FusedNetwork[Q]], Generic[F, Q]):
    """A tokenizer of one quantiser for all modalities side by side, or one for each.

    A kind gives its quantiser (:meth:`_quantiser`) and how it learns (:meth:`_train`).
    """

    @abstractmethod
    def _quantiser(self, width: int, length: int) -> Q:
        """A quantiser of vectors ``(b, width)`` to ``length`` codes that has not learned yet."""

    def _make(self, dimensions: dict[str, int]) -> FusedNetwork[Q]:
        return FusedNetwork(dimensions, self.settings, self._quantiser, self.settings.sweeps)
