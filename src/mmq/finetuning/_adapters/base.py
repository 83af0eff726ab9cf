"""What stage 2 asks of a kind of model: the one protocol that every adapter has."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mmq.semantic_ids import Manifest


class Adapter(Protocol):
    """How a model of one kind takes part in stage 2; the model itself knows nothing of it."""

    def require_soft(self, data: Any) -> None:
        """Raise a :class:`~mmq.errors.UserError` if it cannot read soft codes, or not of ``data``.

        What the model was fitted to is all that it can be fine-tuned on.
        """

    def require_reassignment(self) -> None:
        """Raise :class:`~mmq.errors.SettingsError` without :meth:`reassignment_costs`."""

    def reassignment_costs(self, data: Any, items: Tensor) -> Tensor:
        """What each reassignment of a code would change.

        ``(m, n, k)`` for ``items`` ``(m,)``, places in ``data.item_ids``, each once: by how many
        nats the loss, summed over the training part, would change if the item alone had code k at
        position n; zero for the code that it has.
        """

    def rows(self, data: Any, batch: Any) -> np.ndarray:
        """The items of a batch of the model's task, ascending: places in ``data.item_ids``."""

    def rename(self, codes: np.ndarray, manifest: Manifest | None = None) -> None:
        """Give the items that the model was fitted to other IDs; weights stay.

        Args:
            codes: ``(items, length)`` of the items in their order.
            manifest: what made them; unknown if not given.
        """


def numbers_of(rows: Tensor, items: int) -> Tensor:
    """``(items,)``: the place of each in ``rows``, -1 for those that are not there."""
    numbers = torch.full((items,), -1, device=rows.device)
    numbers[rows] = torch.arange(len(rows), device=rows.device)
    return numbers
