"""Settings of ranking: how the log is divided, and how a ranker learns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mmq.data._cleaning import LogSettings
from mmq.training._early_stopping import EarlyStoppingSettings
from mmq.training._optimiser import Share

FRACTIONS = (0.8, 0.1, 0.1)
"""Shares of training, validation and test part, where a log does not say itself what is what."""


class RankingSplit(LogSettings):
    """What was positive, and how impressions are divided."""

    removed: ClassVar[Mapping[str, Any]] = {"validation_share": 0.1, "test_share": 0.1}

    split: Literal["chronological", "stored", "random"] | None = None
    """The last tenths of the log by time, or its own ``split`` column, or rows that a hash of user
    and item draws, for logs without times; None takes the first of column, time and hash for which
    there is what it needs."""

    def resolved(self, names: Collection[str]) -> RankingSplit:
        """The same with what :attr:`split` is for a log with columns of these names."""
        if self.split is not None:
            return self
        timed = "chronological" if "timestamp" in names else "random"
        return self.model_copy(update={"split": "stored" if "split" in names else timed})


class PPNetSettings(EarlyStoppingSettings):
    """How PPNet is built and trained."""

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
    share of positives is taken."""
    shuffle_rows: PositiveInt = 1 << 20
    """Impressions that are shuffled together: as many are read from disk at random at a time."""
    embedding_dim: PositiveInt = 16
    """Width of every embedding."""
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64, 64), min_length=1)
    """Widths of the layers of the tower."""
    gate_dim: PositiveInt = 64
    """Width inside a gate."""
    history: PositiveInt = 50
    """Last positives of a user that are pooled."""
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
