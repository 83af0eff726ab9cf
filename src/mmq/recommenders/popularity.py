"""Popularity: the same most met items for everybody; what every recommender has to beat."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mmq.data.sequences import Sequences
from mmq.decoding import Decoded, Filters
from mmq.errors import FormatError
from mmq.recommenders.base import Recommender
from mmq.recommenders.data import RetrievalData
from mmq.recommenders.dense import top_items
from mmq.recommenders.evaluation import evaluate
from mmq.recommenders.results import RetrievalFit
from mmq.settings import Settings


class PopularitySettings(Settings):
    """Popularity has no settings."""


class Popularity(Recommender[PopularitySettings]):
    """Scores an item by its interactions in the training part."""

    kind: ClassVar[str] = "popularity"
    settings_class = PopularitySettings

    def _fit(
        self, data: RetrievalData, checkpoint: Path | None, resume: bool, fingerprint: str
    ) -> RetrievalFit:
        started = time.monotonic()
        figures = evaluate(self, data.validation).figures
        return RetrievalFit(0, 0, time.monotonic() - started, 0.0, figures)

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)`` counts, the same for all."""
        counts = torch.from_numpy(self.items.popularity).float().to(self.device)
        return counts.repeat(len(histories), 1)

    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The most popular items."""
        return top_items(self.score_block(histories), k, filters)

    def tensors(self) -> dict[str, np.ndarray]:
        """Nothing beyond the counts, which every recommender keeps."""
        return {}

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Nothing to do."""
        if tensors:
            raise FormatError(
                f"{folder} holds a tensor '{min(tensors)}' that popularity does not know"
            )
