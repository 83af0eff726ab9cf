"""PPNet in stage 2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mmq.errors import DataError, SettingsError
from mmq.finetuning._adapters._ppnet_costs import reassignment_costs
from mmq.ranking._batches import shown_batch
from mmq.ranking._data import RankingData
from mmq.ranking._network import Shown
from mmq.ranking._ppnet import PPNet
from mmq.semantic_ids import Manifest

_BLOCK = 8192
"""Impressions that are read at a time."""


class PPNetAdapter:
    """As :class:`~mmq.finetuning._adapters.Adapter`."""

    def __init__(self, model: PPNet) -> None:
        self.model = model

    def rows(self, data: RankingData, batch: np.ndarray) -> np.ndarray:
        """The items of the log that a batch shows, each once."""
        return np.unique(data.train.take(batch).items)

    def require_soft(self, data: RankingData) -> None:
        """Raise unless it reads soft codes and ``data`` is what it was fitted to.

        Raises:
            SettingsError: it has no semantic IDs, reads prefixes of them, or reads another
                table by now (:meth:`with_ids`).
            DataError: other users, items or values of columns in the training part; its labels
                are not compared.
        """
        if self.model.semantic_ids is not self.model.ids:
            raise SettingsError(
                "the model was given another table of items, which is not what it learned from; "
                "load it again and fine-tune it before new items are added"
            )
        if self.model.settings.code_features != "codes":
            raise SettingsError(
                "a ranker of prefixes has an embedding for those alone that it saw in training, so "
                "its IDs cannot be fine-tuned; train it with code_features=codes"
            )
        if not self.model.vocabulary.alike(data.vocabulary.seen_in(data.train)):
            raise DataError(
                "the training part of the interactions is not what the model was trained on; give "
                "the same log with the same columns"
            )

    def require_reassignment(self) -> None:
        """It can always tell :meth:`reassignment_costs`."""

    def reassignment_costs(self, data: RankingData, items: Tensor) -> Tensor:
        """``(m, n, k)`` nats, as :func:`._ppnet_costs.reassignment_costs` tells."""
        network, numbering = self.model.network.eval(), self.model.numbering(data.vocabulary)

        def batches() -> Iterator[tuple[Shown, Tensor]]:
            for piece in data.train.batches(_BLOCK):
                labels = torch.from_numpy(np.asarray(piece.labels, np.float32)).to(
                    self.model.device
                )
                shown = shown_batch(piece, numbering, self.model.settings, self.model.device, True)
                yield shown, labels

        return reassignment_costs(network, batches(), items, len(data.item_ids))

    def rename(self, codes: np.ndarray, manifest: Manifest | None = None) -> None:
        """Give the items that it was fitted to other IDs, as stage 2 does; weights stay.

        Args:
            codes: ``(items, length)`` of the items of :attr:`semantic_ids` in their order.
            manifest: what made them; unknown if not given.
        """
        self.model.load_vocabulary(
            self.model.vocabulary, self.model.semantic_ids.recoded(codes, manifest)
        )
