"""How large the cells of a reproduction are: a small run in minutes, a full one in a night."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from mmq.settings import Settings

_CYCLE = {"schedule": "one-cycle", "warmup": 0.05, "patience": 100}


class Scale(Settings):
    """What all rows of a table are given alike; any of it can be changed by its dotted name."""

    shop_items: int = Field(default=1500, ge=200)
    """Toys of the generated shop, where no data are given."""
    shop_shoppers: int = Field(default=4000, ge=50)
    """Its shoppers."""
    cold_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the items that are withheld: no tokenizer is fitted to them, and no retrieval model
    meets them. Another sample for every seed."""
    positive_above: float = 3.0
    """Ratings above it count as liked."""
    min_interactions: NonNegativeInt = 5
    """Retrieval leaves out users and items with fewer (k-core)."""

    trials: PositiveInt = 1
    """Settings tried for each tokenizer, the same number for all, by the items that a search holds
    out; with 1 all have their defaults."""
    tokenizers: dict[str, Any] = Field(default_factory=dict)
    """Settings of every tokenizer that has them."""
    tuned: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Row -> settings of its tokenizer that an earlier search found; it is not searched again."""
    behaviour: dict[str, Any] = Field(default_factory=dict)
    """Settings of :class:`~mmq.encoders.behaviour.BehaviourSettings`."""

    heterrec: dict[str, Any] = Field(default_factory=dict)
    """Settings of the retrieval model of semantic IDs."""
    sasrec: dict[str, Any] = Field(default_factory=dict)
    """Settings of SASRec."""
    ppnet: dict[str, Any] = Field(default_factory=dict)
    """Settings of the ranker."""
    finetuning: dict[str, Any] = Field(default_factory=dict)
    """Settings of stage 2 (:class:`~mmq.finetuning.FinetuneSettings`), in retrieval and ranking."""
    retrieval_stage2: dict[str, Any] = Field(default_factory=dict)
    """The same, in retrieval alone."""
    ranking_stage2: dict[str, Any] = Field(default_factory=dict)
    """The same, in ranking alone."""


SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "small": {
            "shop_items": 1000,
            "shop_shoppers": 3500,
            "tokenizers": {"codebook_size": 32, "epochs": 60},
            "behaviour": {"dimension": 64},
            "heterrec": {
                **_CYCLE, "hidden_dim": 32, "history": 20, "token_layers": 1, "item_layers": 1,
                "epochs": 6, "learning_rate": 4e-3, "dropout": 0.2,
            },
            "sasrec": {
                **_CYCLE, "hidden_dim": 32, "history": 20, "epochs": 6, "learning_rate": 4e-3,
            },
            "ppnet": {"epochs": 4, "learning_rate": 2e-3, "batch_size": 1024},
            "retrieval_stage2": {"epochs": 2, "learning_rate": 1e-3},
            "ranking_stage2": {"epochs": 2},
        },
        "full": {
            "trials": 12,
            "heterrec": {
                **_CYCLE, "hidden_dim": 128, "history": 50, "token_layers": 1, "epochs": 12,
                "learning_rate": 2e-3,
            },
            "sasrec": {
                **_CYCLE, "hidden_dim": 128, "history": 50, "epochs": 20, "learning_rate": 2e-3,
            },
            "ppnet": {"epochs": 12, "patience": 2, "dropout": 0.2},
            "retrieval_stage2": {"epochs": 3},
            "ranking_stage2": {"epochs": 4},
        },
    }
)  # fmt: skip
"""What differs from the defaults of :class:`Scale`."""


def scale_of(name: str, changes: Mapping[str, Any]) -> Scale:
    """A scale by its name, with some of it changed.

    Args:
        name: a key of :data:`SCALES`.
        changes: settings, nested; a group that is changed keeps the rest of its settings.

    Raises:
        SettingsError: an unknown name, or a value out of range.
    """
    return Scale.parse(_merged(SCALES[name], changes))


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(one)
    for name, value in other.items():
        old = found.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return found
