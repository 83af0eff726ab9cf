"""Tokenizers whose codes have a gradient, so that stage 2 can move them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from torch import Tensor

from mmq.data import Catalogue
from mmq.errors import SettingsError
from mmq.made_from import Checkpoint
from mmq.tokenizers._additive.network import AdditiveNetwork
from mmq.tokenizers._estimator import NetworkTokenizer
from mmq.tokenizers._network import CodingNetwork, Softened, SoftInputs
from mmq.tokenizers._task import CodingTask
from mmq.training._loop import Trained, Training, train

S = TypeVar("S", bound=Any)  # settings with a temperature and a refinement
N = TypeVar("N", bound=CodingNetwork)


class SoftTokenizer(NetworkTokenizer[S, N], Generic[S, N]):
    """A tokenizer that learns by gradient and is differentiable from its inputs to its codes."""

    @abstractmethod
    def _task(self, network: N, x: Tensor, present: Tensor) -> CodingTask[N]:
        """What a network learns from ``x`` ``(items, sum of dimensions)``."""

    def _train(
        self, network: N, x: Tensor, present: Tensor, checkpoint: Checkpoint | None
    ) -> Trained:
        task = self._task(network, x, present)
        trained = train(Training(task, self.settings), checkpoint)
        task.finish()
        return trained

    @abstractmethod
    def soften(self, inputs: SoftInputs) -> Softened:
        """Codes of inputs with their gradient, and the losses that anchor them."""

    def settle(self, x: Tensor, present: Tensor) -> None:
        """Measure anew, on the inputs of all items, what is not learned by gradients."""

    def soft_codes(self, catalogue: Catalogue, temperature: float | None = None) -> Tensor:
        """``ind`` of Eq. 18, ``(items, length, k)``: one-hot forward, a softmax backward.

        A fitted network is frozen; ``tokenizer.network.requires_grad_(True)`` lets gradients in.

        Raises:
            SettingsError: codes are refined, which is no function of the network alone.
        """
        self.require_soft()
        tau = temperature or self.settings.temperature
        x, present = self._inputs(catalogue)
        return self.soften(SoftInputs(x, present, x, tau)).codes

    def require_soft(self) -> None:
        """Raise :class:`SettingsError` if codes are refined as they were in format 1."""
        if self.settings.sweeps and not isinstance(self.network, AdditiveNetwork):
            raise SettingsError(
                "the refined codes of this tokenizer, of an older mmq, have no gradient; fit it "
                "anew, or with refinement=0"
            )
