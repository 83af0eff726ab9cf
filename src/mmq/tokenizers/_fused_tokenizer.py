"""Tokenizers of quantisers as estimators."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

from mmq.made_from import Checkpoint
from mmq.tokenizers._estimator import NetworkTokenizer
from mmq.tokenizers._fitting import KQ, KMeansSettings, fit_quantisers
from mmq.tokenizers._fused import FusedNetwork, FusionSettings, Q
from mmq.training._loop import Trained

F = TypeVar("F", bound=FusionSettings)
K = TypeVar("K", bound=KMeansSettings)


class FusedTokenizer(NetworkTokenizer[F, FusedNetwork[Q]], Generic[F, Q]):
    """A tokenizer of one quantiser for all modalities side by side, or one for each.

    A kind gives its quantiser (:meth:`_quantiser`) and how it learns (:meth:`_train`).
    """

    @abstractmethod
    def _quantiser(self, width: int, length: int) -> Q:
        """A quantiser of vectors ``(b, width)`` to ``length`` codes that has not learned yet."""

    def _make(self, dimensions: dict[str, int]) -> FusedNetwork[Q]:
        return FusedNetwork(dimensions, self.settings, self._quantiser, self.settings.sweeps)


class KMeansTokenizer(FusedTokenizer[K, KQ], Generic[K, KQ]):
    """A tokenizer that is fitted by k-means.

    A fit is short and the same each time, so a checkpoint is neither written nor read: a fit that
    was killed starts anew and ends in the same codebooks.
    """

    def _train(
        self, network: FusedNetwork[KQ], x: Tensor, present: Tensor, checkpoint: Checkpoint | None
    ) -> Trained:
        return fit_quantisers(network, x, present, self.settings)
