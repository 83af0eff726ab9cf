"""The inside of a recommender over histories, in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding as embedded

from mmq.nn.dropout import dropout
from mmq.nn.sampling import Sample, draw_sample
from mmq.nn.transformer import Block
from mmq.recommenders._batches import Batch, Histories
from mmq.recommenders._settings import RecommenderSettings

START = 0.02
"""Standard deviation of embeddings at the start."""

MOST_DENSE = 100_000
"""Rows of a table of items that all learn in every step, by momentum where a step does not read
them, which finds more than learning the rows that are read (Beauty); of more it takes too long."""


def learns_sparsely(items: int, settings: RecommenderSettings) -> bool:
    """Whether a table has too many rows for all to learn in every step; decay concerns them all."""
    return items > MOST_DENSE and not settings.weight_decay


def embedding(*shape: int) -> nn.Parameter:
    """A table of embeddings at its start."""
    return nn.Parameter(torch.randn(*shape) * START)


class HistoryNetwork(nn.Module, ABC):
    """Item vectors, then causal transformer layers over the items of a history.

    A kind says what an item's vector is, and what is asked of a user's vector.

    Args:
        settings: how it is built.
        competitors: items that are compared in the loss; 0 where none are.
    """

    tables: Collection[str] = ()
    """Names of the parameters that have a row for every item."""

    sparse: bool
    """Whether a step learns those rows of :attr:`tables` alone that it reads."""

    def __init__(self, settings: RecommenderSettings, competitors: int) -> None:
        super().__init__()
        dim = settings.hidden_dim
        self.compared = competitors
        self.negatives = settings.resolved_negatives(competitors)
        self.sparse = False
        self.dropout = settings.dropout
        self.entry_norm = nn.LayerNorm(dim)
        self.item_blocks = nn.ModuleList(
            Block(dim, settings.heads, settings.dropout, settings.history)
            for _ in range(settings.item_layers)
        )
        self.norm = nn.LayerNorm(dim)

    @abstractmethod
    def item_vectors(self, histories: Histories) -> Tensor:
        """``(n, d)`` of each entry, before the place in the history is known to it."""

    @abstractmethod
    def loss(self, users: Tensor, targets: Tensor, *, sample: Sample | None = None) -> Tensor:
        """How badly user vectors ``(n, d)`` predict the items ``(n, steps)``, a scalar.

        They are compared with a sample of the competitors, or with all of them.
        """

    def sample(self, targets: np.ndarray, generator: np.random.Generator) -> Sample | None:
        """Competitors to compare the ``targets`` of a step with, rows of items; None for all."""
        if self.negatives is None:
            return None
        return draw_sample(targets, self.compared, self.negatives, generator)

    def rows_of(self, table: Tensor, rows: Tensor) -> Tensor:
        """``(n, d)``: rows of a table of items, whose gradient is as sparse as it may be."""
        return embedded(rows, table, sparse=True) if self.sparse else table[rows]

    def users(self, histories: Histories, vectors: Tensor | None = None) -> Tensor:
        """``(n, d)``: what is known of a user at each entry of the history.

        Args:
            histories: the entries.
            vectors: ``(n, d)`` in place of :meth:`item_vectors`.
        """
        vectors = self.item_vectors(histories) if vectors is None else vectors
        # embeddings start small: as they are, the shortcut around the blocks, which says what item
        # it was, would be drowned by what the blocks add
        entries = self.entry_norm(vectors)
        entries = dropout(entries, self.dropout, self.training)
        for block in self.item_blocks:
            entries = block(entries, histories.layout)
        users: Tensor = self.norm(entries)
        return users

    def last(self, histories: Histories) -> Tensor:
        """``(b, d)``: what is known of each user at the end of the history."""
        return self.users(histories).index_select(0, histories.layout.last)

    def forward(self, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar; mean over its targets."""
        return self.loss(self.users(batch.histories), batch.targets, sample=batch.sample)
