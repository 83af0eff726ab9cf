"""SASRec (arXiv 1808.09781) with softmax cross-entropy: the strong baseline of item ids."""

from __future__ import annotations

from pydantic import Field, PositiveInt
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.nn.sampling import Sample
from mmq.nn.softmax import softmax_cross_entropy
from mmq.recommenders._batches import Histories
from mmq.recommenders._network import HistoryNetwork, embedding, learns_sparsely
from mmq.recommenders._sequential import SequentialRecommender
from mmq.recommenders._settings import RecommenderSettings


class SASRecSettings(RecommenderSettings):
    """Settings of :class:`SASRec`; chosen on the validation part of Beauty, one seed."""

    heads: PositiveInt = 2
    """Attention heads; they share the width."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the embeddings and of what each layer adds that is dropped in training."""


class SASRecNetwork(HistoryNetwork):
    """One embedding an item, read at the input and compared with at the output."""

    tables = ("items",)

    def __init__(self, items: int, settings: SASRecSettings) -> None:
        super().__init__(settings, items)
        self.sparse = self.negatives is not None and learns_sparsely(items, settings)
        self.items = embedding(items, settings.hidden_dim)

    def item_vectors(self, histories: Histories) -> Tensor:
        """``(n, d)``."""
        return self.rows_of(self.items, histories.rows)

    def loss(self, users: Tensor, targets: Tensor, *, sample: Sample | None = None) -> Tensor:
        """Cross-entropy over all items, or a sample of them."""
        if sample is None:
            return softmax_cross_entropy(users, self.items, targets[:, 0])
        items, places = self.rows_of(self.items, sample.rows), sample.places(targets[:, 0])
        return softmax_cross_entropy(users, items, places, sample.log_weights)

    def item_scores(self, users: Tensor) -> Tensor:
        """``(b, items)`` logits."""
        return users @ self.items.T


class SASRec(SequentialRecommender[SASRecSettings, SASRecNetwork]):
    """Self-attention over a history of item ids.

    It knows an item by its interactions alone: one without any is hardly ever recommended.

    Args:
        settings: or their values by name, ``SASRec(hidden_dim=32)``.
    """

    kind, label = "sasrec", "SASRec"
    settings_class = SASRecSettings

    def _make(self) -> SASRecNetwork:
        return SASRecNetwork(len(self.items.item_ids), self.settings)

    def answer_vectors(self, rows: Tensor) -> Tensor:
        """Their embeddings."""
        return self.network.items[rows].detach()

    def question_vectors(self, histories: Sequences) -> Tensor:
        """The users' vectors."""
        return self.user_vectors(histories)

    def _scores(self, users: Tensor) -> Tensor:
        return self.network.item_scores(users)
