"""What models whose weights are one network do alike: begin, train, store, restore."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from mmq.made_from import Checkpoint
from mmq.model import Fit, Model
from mmq.training._early_stopping import EarlyStoppedTraining, EarlyStoppingSettings, ValidatedTask
from mmq.training._loop import train
from mmq.training._weights import load_arrays, to_arrays

R = TypeVar("R", bound=EarlyStoppingSettings)
N = TypeVar("N", bound=nn.Module)


class NetworkModel(Model[R], Generic[R, N]):
    """A model that is a network, of which the epoch that is best on validation is kept."""

    _network: N | None = None

    @abstractmethod
    def _make(self) -> N:
        """A network that has not learned yet."""

    @abstractmethod
    def task(self, data: Any) -> ValidatedTask:
        """What the network learns from the data of its family."""

    @property
    def network(self) -> N:
        """The trained network.

        Raises:
            DataError: it is not fitted yet.
        """
        if self._network is None:
            raise self._unfitted()
        return self._network

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        return to_arrays(self.network)

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Weights of :meth:`tensors`, checked against the settings.

        Raises:
            FormatError: a tensor is missing, extra or misshapen.
        """
        network = self.drawn()
        load_arrays(network, tensors, folder)
        self._network = network.to(self.device).eval().requires_grad_(False)

    def drawn(self) -> N:
        """A network as the seed draws it."""
        with torch.random.fork_rng(devices=[]):  # the caller's own randomness stays as it is
            torch.default_generator.manual_seed(self.settings.seed)
            return self._make()

    def _fit(self, data: Any, checkpoint: Checkpoint | None) -> Fit:
        self._network = None  # of what was learned before, nothing is left
        network = self.drawn().to(self.device)
        self._network = network.eval()
        if checkpoint is not None:
            checkpoint = checkpoint.of(**self._made_from(data))
        try:
            training = EarlyStoppedTraining(self.task(data), self.settings)
            trained = train(training, checkpoint)
        except BaseException:
            self._network = None  # half-trained weights are no model
            raise
        network.load_state_dict(training.best)
        network.eval().requires_grad_(False)
        self.log = trained.log
        return Fit(
            {
                name: value
                for name, value in training.best_figures.items()
                if name not in ("epoch", "loss")
            },
            trained.epochs,
            training.best_epoch,
            trained.seconds,
            training.items,
            trained.items_per_second,
        )

    def _made_from(self, data: Any) -> dict[str, Any]:
        """What decides, beside the seed, how a training goes on: a checkpoint is of the same."""
        return {"data": data.fingerprint(), "settings": self.settings.to_dict()}
