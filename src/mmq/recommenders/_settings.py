"""Settings that the trained recommenders share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mmq.training._early_stopping import EarlyStoppingSettings
from mmq.training._optimiser import Share

_COMPARED, _DRAWN = 20_000, 2048
"""Items that are all compared in the loss, and how many are drawn of more."""


class RecommenderSettings(EarlyStoppingSettings):
    """How a recommender over histories is built and trained."""

    history: PositiveInt = 50
    """Last items of a user that are read."""
    hidden_dim: PositiveInt = 128
    """d: width of an item's and of a user's vector."""
    item_layers: PositiveInt = 2
    """Transformer layers over the items of a history."""
    heads: PositiveInt = 4
    """Attention heads; they share the width."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the embeddings and of what each layer adds that is dropped in training."""
    batch_size: PositiveInt = 64
    """Windows of histories a step; they are split evenly, so that no batch is a remnant."""
    learning_rate: PositiveFloat = 2e-3
    """Peak rate of AdamW."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """After the warm-up, a half cosine that is zero after ``epochs``, or a constant rate."""
    negatives: PositiveInt | None = None
    """Items that are drawn in every step to be compared with its targets in the loss, in place of
    all; their weight makes up for the others. None compares all up to 20,000 items, and draws 2,048
    of more."""
    warmup: Share = 0.05
    """Share of ``epochs`` over which the rate rises. Of epochs there are, unless they are set, so
    many as make some 2,000 steps: 15 of a large log, 100 at most of a small one."""

    def resolved_negatives(self, items: int) -> int | None:
        """The setting, or what suits ``items`` competitors; None for all."""
        drawn = _DRAWN if self.negatives is None and items > _COMPARED else self.negatives
        return None if drawn is None or drawn >= items else drawn

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> RecommenderSettings:
        if self.hidden_dim % self.heads:
            raise ValueError(
                f"hidden_dim {self.hidden_dim} cannot be shared by {self.heads} heads; "
                "choose a multiple"
            )
        return self
