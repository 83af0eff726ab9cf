"""Settings of HeterRec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mmq.recommenders._settings import RecommenderSettings

_WITH_TOKENS = 200_000
"""Items that have tokens of their own, unless the settings say otherwise."""


class HeterRecSettings(RecommenderSettings):
    """Settings of :class:`~mmq.recommenders._heterrec.HeterRec`."""

    token_layers: NonNegativeInt = 2
    """Transformer layers over the code tokens, before an item's tokens are pooled."""
    token_scope: Literal["item", "history"] = "item"
    """What a code token sees in these layers: the tokens of its own item, or those of the items
    before it as well (block-causal). The latter costs a token's work for every entry of a history,
    the former once for every item."""
    head: Literal["parallel", "autoregressive"] = "parallel"
    """All codes of the next item at once, or each given those before it, for ordered codes."""
    objective: Literal["catalogue", "codes"] | None = None
    """Cross-entropy of the whole ID among those that items have, or of every code in its codebook.
    None chooses the catalogue for parallel heads, which finds more of them; it costs a product of
    users and items, or of users and ``negatives``."""
    unmet_weight: float = Field(default=0.0, ge=0, le=1)
    """How much items without training interactions compete in the loss over the catalogue: with 0,
    that nobody chose them yet says nothing against them, and they are recommended as their codes
    suggest; with 1 they count as refused, and hardly are; between, old items gain as new ones lose.
    """
    beams: PositiveInt = 50
    """Prefixes that a search keeps where no number is given, of an autoregressive head; a parallel
    one then scores all items, which an autoregressive one could only one by one."""
    steps: PositiveInt = 1
    """Next items predicted in training (listwise); the first of them is what is recommended."""
    item_token: bool | None = None
    """Whether an item has a token of its own, read and predicted beside its codes as one more
    position; zero for items that training does not meet, which their codes alone speak for. It is
    compared with others in training, whatever the objective. None gives tokens up to 200,000 items:
    in training an item's tokens take 32 bytes a dimension, which of a million is 4 GB."""
    ties: Literal["popularity", "rank"] = "popularity"
    """What orders items that score alike because they share an ID: interactions in the training
    part, or their rank in the table."""

    def resolved_item_token(self, items: int) -> bool:
        """The setting, or what suits ``items`` items."""
        return items <= _WITH_TOKENS if self.item_token is None else self.item_token

    @property
    def resolved_objective(self) -> Literal["catalogue", "codes"]:
        """The setting, or what suits the head."""
        return self.objective or ("catalogue" if self.head == "parallel" else "codes")

    @model_validator(mode="after")
    def _fits_together(self) -> HeterRecSettings:
        if self.head == "autoregressive" and self.objective == "catalogue":
            raise ValueError(
                "objective 'catalogue' is for parallel heads; choose objective 'codes' with "
                "head 'autoregressive'"
            )
        if self.unmet_weight and (self.objective == "codes" or self.head == "autoregressive"):
            raise ValueError(
                "unmet_weight weighs items in the loss over the catalogue; choose objective "
                "'catalogue' and head 'parallel', or leave it at 0"
            )
        return self
