"""Settings of ranking: how the log is divided, and how a ranker learns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmq.settings import Settings
from mmq.training.early_stopping import EarlyStoppingSettings
from mmq.training.optimiser import Share

PartShare = Annotated[float, Field(gt=0, lt=0.5)]


class RankingSplit(Settings):
    """What was liked, and how impressions are divided."""

    split: Literal["chronological", "stored", "random"] | None = None
    """The last shares of the log by time, or its own ``split`` column, or rows that a hash of user
    and item draws, for logs without times; None takes the first of column, time and hash for which
    there is what it needs."""
    validation_share: PartShare = 0.1
    """Share of the log, by time, that the best epoch is told by."""
    test_share: PartShare = 0.1
    """Share of the log, by time, that is measured on: the latest."""
    positive_above: float = 3.0
    """Ratings above it count as liked, where there are no labels."""
    ties: Literal["file", "shuffled"] = "file"
    """Order of what was shown at one moment, of users and items, and of the rows that are learned
    from: that of the file, or one that a hash of the rows gives, whatever their order is."""
    dedupe: bool = False
    """Whether rows that an earlier one equals in all columns are left out."""
    drop_unknown: bool = False
    """Whether rows with items that have no semantic ID are left out, in place of an error."""

    def resolved_split(self, names: Collection[str]) -> str:
        """How a log with columns of these names is divided."""
        if self.split is not None:
            return self.split
        if "split" in names:
            return "stored"
        return "chronological" if "timestamp" in names else "random"

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of training, validation and test."""
        held = self.validation_share + self.test_share
        return 1 - held, self.validation_share, self.test_share


class RankerSettings(EarlyStoppingSettings):
    """How a ranker learns."""

    batch_size: PositiveInt = 4096
    """Impressions a step; they are split evenly, so that no batch is a remnant."""
    learning_rate: PositiveFloat = 2e-3
    """Peak rate of AdamW."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """After the warm-up, a half cosine that is zero after ``epochs``, or a constant rate."""
    warmup: Share = 0.05
    """Share of ``epochs`` over which the rate rises. Of epochs there are, unless they are set, so
    many as make some 1,000 steps: 5 of a large log, 50 at most of a small one."""
    patience: PositiveInt = 3
    """Epochs without a better validation AUC after which training stops; the best is kept."""
    smoothing: PositiveFloat = 10.0
    """Impressions at the rate of all that are added to those of a user, item or value, before the
    share that was liked is taken."""
    shuffle_rows: PositiveInt = 1 << 20
    """Impressions that are shuffled together: as many are read from disk at random at a time."""


class PPNetSettings(RankerSettings):
    """How PPNet is built and trained."""

    embedding_dim: PositiveInt = 16
    """Width of every embedding."""
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64, 64), min_length=1)
    """Widths of the layers of the tower."""
    gate_dim: PositiveInt = 64
    """Width inside a gate."""
    history: PositiveInt = 50
    """Last liked items of a user that are pooled."""
    item_id: bool = True
    """Whether an item has an embedding of its own."""
    codes: Literal["concat", "sum", "gated"] = "concat"
    """How the embeddings of a semantic ID enter: side by side, added up, or side by side and into
    the gates as well."""
    code_features: Literal["codes", "prefixes"] = "codes"
    """What has an embedding: every code of a position, or every prefix of the IDs that occur, which
    is for codes that refine each other."""
    unknown_share: Share = 0.05
    """Share of users, items and further values that training hides, so that the embedding of those
    it did not see is learned."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the tower's input that is dropped in training."""
