"""Popularity: the items with the most interactions, for everybody; the floor to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.decoding import Decoded, Filters
from mmq.recommenders._closed_form import ClosedForm
from mmq.recommenders._data import RetrievalData
from mmq.recommenders._dense import top_shared
from mmq.settings import Settings


class PopularitySettings(Settings):
    """Popularity has no settings."""


class Popularity(ClosedForm[PopularitySettings]):
    """Scores an item by its interactions in the training part."""

    kind, label = "popularity", "Popularity"
    reads_order: ClassVar[bool] = False
    settings_class = PopularitySettings

    def _learn(self, data: RetrievalData) -> None:
        """Nothing beyond the counts, which every recommender keeps."""

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)`` counts, the same for all."""
        return self.popularity_scores().repeat(len(histories), 1)

    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The most popular items."""
        return top_shared(self.popularity_scores(), len(histories), k, filters)

    def tensors(self) -> dict[str, np.ndarray]:
        """Nothing, see :meth:`_learn`."""
        return {}

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Nothing to do."""
        self._checked(tensors, (), folder)
