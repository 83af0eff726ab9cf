"""HeterRec in stage 2."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.errors import DataError, SettingsError
from mmq.finetuning._adapters._heterrec_costs import reassignment_costs
from mmq.recommenders._data import RetrievalData
from mmq.recommenders._heterrec import HeterRec
from mmq.semantic_ids import Manifest
from mmq.training._loop import epoch_generator

SAMPLE = 50_000
"""User vectors that tell what others lose to an item with another code; about so many."""


class HeterRecAdapter:
    """As :class:`~mmq.finetuning._adapters.Adapter`."""

    def __init__(self, model: HeterRec) -> None:
        self.model = model

    def rows(self, data: RetrievalData, batch: Sequences) -> np.ndarray:
        """The items of a batch, histories and targets alike, each once."""
        return np.unique(batch.pack().rows)

    def require_soft(self, data: RetrievalData) -> None:
        """Raise unless ``data`` is what it was fitted to; soft codes it always reads.

        Raises:
            SettingsError: it reads another table by now (:meth:`with_ids`).
            DataError: other items, or other interactions in the training part.
        """
        fitted = self.model.fitted
        if self.model.items is not fitted:
            raise SettingsError(
                "the model was given another table of items, which is not what it learned from; "
                "load it again and fine-tune it before new items are added"
            )
        alike = data.item_ids.equals(fitted.item_ids)
        if not alike or not np.array_equal(data.popularity(), fitted.popularity):
            raise DataError(
                "the training part of the interactions is not what the model was trained on; give "
                "the same log with the same columns"
            )

    def require_reassignment(self) -> None:
        """Raise :class:`SettingsError` if it cannot tell :meth:`reassignment_costs`."""
        if not self.model.network.over_catalogue:
            raise SettingsError(
                "what the reassignment of a code would change is known where a model compares all "
                "items; train it with head=parallel and objective=catalogue, or fine-tune with "
                "mode=joint"
            )

    def reassignment_costs(self, data: RetrievalData, items: Tensor) -> Tensor:
        """``(m, n, k)`` nats, as :func:`._heterrec_costs.reassignment_costs` tells."""
        task = self.model.task(data)
        windows = task.batches(epoch_generator(self.model.settings.seed, -1))
        return reassignment_costs(
            self.model.network.eval(), windows, items, every=-(-task.items // SAMPLE)
        )

    def rename(self, codes: np.ndarray, manifest: Manifest | None = None) -> None:
        """Give the items that it was fitted to other IDs, as stage 2 does; weights stay.

        Args:
            codes: ``(items, length)`` of the items in their order.
            manifest: what made them; unknown if not given.
        """
        fitted = self.model.fitted
        assert fitted.ids is not None, "fit and load refuse items without semantic IDs"
        ids = fitted.ids.recoded(codes, manifest)
        self.model.load_items(fitted._replace(ids=ids))
        self.model.network.set_items(ids, torch.arange(len(ids)))
        self.model.network.set_competitors()
