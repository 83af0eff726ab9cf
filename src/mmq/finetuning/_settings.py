"""Settings of stage 2."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from mmq.settings import Settings
from mmq.training._early_stopping import EarlyStoppingSettings
from mmq.training._optimiser import Share


class FinetuneSettings(Settings):
    """How a tokenizer and a recommender learn together.

    What is not here (batches, histories, dropout) is as the recommender was trained.
    """

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything random."""
    epochs: PositiveInt = 5
    """Most passes over the training part."""
    patience: PositiveInt = 5
    """Epochs without a better validation figure after which it stops; the best is kept."""
    learning_rate: PositiveFloat | None = None
    """Peak rate of the recommender; None takes that of its own training."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """After the warm-up, a half cosine that is zero after ``epochs``, or a constant rate."""
    warmup: Share = 0.05
    """Share of ``epochs`` over which the rate rises."""

    mode: Literal["alternating", "joint"] = "alternating"
    """How codes learn. "alternating": after an epoch of the model, by what every reassignment
    of a code would change over the whole training part; "joint": with every step of the model, by
    the slope of its loss through the soft index, as the paper has it."""
    tokenizer_rate: NonNegativeFloat | None = None
    """Rate of the tokenizer as a share of the recommender's, None: 0.5 alternating, 0.003 joint.
    0 freezes it, which is the control: the recommender alone learns for as long."""
    behaviour_weight: NonNegativeFloat = 3.0
    """Alternating: weight of what codes cost, in nats an interaction."""
    wanted_weight: NonNegativeFloat = 1.0
    """Alternating: weight of the cross-entropy of the codes that items should have: their own, but
    for the one reassignment that pays most. It is what keeps the codes of the others."""
    nearest: int = Field(default=4, ge=2)
    """Alternating: codes of a position that an item may be given, by its content; its own counts
    as one."""
    least_gain: NonNegativeFloat | None = None
    """Alternating: nats, over the whole training part, that a reassignment has to gain. None: as
    many as it takes to name it among all that an item could make (minimum description length),
    since the best of many that do nothing looks like a gain."""
    tokenizer_steps: PositiveInt = 300
    """Alternating: steps of the tokenizer after an epoch; its rate falls to zero over them."""
    moving: Share = 0.7
    """Alternating: share of ``epochs`` after which codes stay and the model alone learns."""
    temperature: PositiveFloat | None = None
    """tau of the soft index (Eq. 16) at the start; None: 0.02 alternating, 0.07 joint."""
    temperature_end: PositiveFloat | None = None
    """tau at the end, approached geometrically; None keeps it constant."""
    noise: NonNegativeFloat = 0.0
    """Gumbel noise on the logits at the start, falling to none at the end."""
    input_noise: NonNegativeFloat | None = None
    """Norm of the Gaussian added to the embeddings for the way back, as in stage 1, so that codes
    learn what is true of alike items too, not single items by heart; None takes that of stage 1,
    alternating at most 0.3."""
    reconstruction_weight: NonNegativeFloat = 0.5
    """alpha' of Eq. 19: what ties codes to the content."""
    auxiliary_weight: NonNegativeFloat = 0.5
    """beta' of Eq. 19, for tokenizers that have such a loss."""
    commitment_weight: NonNegativeFloat = 0.0
    """Pull of the encoder's output towards its codeword."""
    target_codes: Literal["soft", "detached"] = "soft"
    """Joint: whether the codes of items that are to be predicted learn too. "soft" needs a loss
    over the catalogue, where an item gains nothing by sharing the codes of others; elsewhere, and
    with "detached", only codes in histories do."""
    items_per_step: PositiveInt = 512
    """Joint: most items of a batch whose codes carry a gradient, drawn at random; the others are
    looked up, which has the same value."""
    refreshes: PositiveInt = 1
    """Joint: how often in an epoch all items get their new IDs."""
    max_colliding: Annotated[float, Field(ge=0, le=1)] = 0.1
    """By how much the share of items that share their ID may rise; an epoch beyond it ends the
    fine-tuning and is not kept."""
    refit_epochs: NonNegativeInt = 0
    """Passes of the recommender alone over the final IDs, afterwards."""

    @model_validator(mode="after")
    def _codes_move(self) -> FinetuneSettings:
        if self.mode == "alternating" and self.resolved_rate and 0 < self.moving < 1 / self.epochs:
            raise ValueError(
                f"codes move after an epoch within the first {self.moving:.0%} of the epochs, and "
                f"{self.epochs} leaves none; take epochs={math.ceil(1 / self.moving)} or more, "
                "mode=joint, or tokenizer_rate=0 if codes are to stay"
            )
        return self

    @property
    def resolved_rate(self) -> float:
        """The tokenizer's share of the recommender's rate."""
        usual = 0.5 if self.mode == "alternating" else 0.003
        return usual if self.tokenizer_rate is None else self.tokenizer_rate

    def has_turn(self, progress: float) -> bool:
        """Alternating: whether codes learn after an epoch that ends at this share of ``epochs``."""
        return self.resolved_rate > 0 and progress <= self.moving

    def resolved_input_noise(self, stage1: float) -> float:
        """That of the tokenizer, given what it had in stage 1."""
        usual = min(stage1, 0.3) if self.mode == "alternating" else stage1
        return usual if self.input_noise is None else self.input_noise

    def resolved_least_gain(self, length: int) -> float:
        """In nats, for IDs of so many codes."""
        named = math.log(length * (self.nearest - 1))
        return named if self.least_gain is None else self.least_gain

    def tau(self, progress: float) -> float:
        """The temperature at a share of the training."""
        start = self.temperature or (0.02 if self.mode == "alternating" else 0.07)
        return float(start * ((self.temperature_end or start) / start) ** progress)

    def learning(self, of: EarlyStoppingSettings, epochs: int) -> EarlyStoppingSettings:
        """Settings of a training for so many epochs of a recommender with the settings ``of``."""
        return of.model_copy(
            update={
                "seed": self.seed,
                "epochs": epochs,
                "patience": self.patience,
                "learning_rate": self.learning_rate or of.learning_rate,
                "schedule": self.schedule,
                "warmup": self.warmup,
            }
        )
