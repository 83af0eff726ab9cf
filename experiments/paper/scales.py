"""How large the cells of a reproduction are: a small run in minutes, a full one in a night."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mmq.encoders._behaviour import BehaviourSettings
from mmq.errors import SettingsError, nearest
from mmq.finetuning import FinetuneSettings
from mmq.model import kinds as known_kinds
from mmq.ranking._settings import PPNetSettings
from mmq.recommenders import HeterRecSettings, SASRecSettings
from mmq.settings import Settings
from mmq.tokenizers import MMQSettings
from mmq.tokenizers._mmq.settings import of_learning

_GROUPS: Mapping[str, type[Settings]] = {
    "behaviour": BehaviourSettings,
    "heterrec": HeterRecSettings,
    "item_tokens": HeterRecSettings,
    "sasrec": SASRecSettings,
    "ppnet": PPNetSettings,
    "finetuning": FinetuneSettings,
    "retrieval_stage2": FinetuneSettings,
    "ranking_stage2": FinetuneSettings,
}
"""Group of a scale -> what it holds settings of."""

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
    """Ratings above it count as positives."""
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
    """Settings of :class:`~mmq.encoders._behaviour.BehaviourSettings`."""

    heterrec: dict[str, Any] = Field(default_factory=dict)
    """Settings of the retrieval model of semantic IDs."""
    item_tokens: dict[str, Any] = Field(default_factory=lambda: {"item_token": True})
    """What of them differs in the rows whose items have tokens of their own."""
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

    @model_validator(mode="after")
    def _known(self) -> Self:
        """Refuse here what every cell would refuse."""
        for group, settings in _GROUPS.items():
            _check(group, settings, getattr(self, group))
        kinds = [kind.settings_class for kind in known_kinds("tokenizer").values()]
        every = {name for kind in kinds for name in kind.model_fields}
        for name in self.tokenizers:
            if name not in every:
                raise SettingsError(f"tokenizers: unknown setting '{name}'; {nearest(name, every)}")
        for kind in kinds:
            known = {
                key: self.tokenizers[key] for key in self.tokenizers if key in kind.model_fields
            }
            if kind is MMQSettings:
                for learning in ("least-squares", "gradient"):
                    _check("tokenizers", kind, of_learning(known, learning))
            else:
                _check("tokenizers", kind, known)
        return self


def _check(group: str, settings: type[Settings], values: Mapping[str, Any]) -> None:
    """Raise :class:`SettingsError` if a group of a scale is not valid."""
    if "seed" in values:
        raise SettingsError(f"{group}.seed is that of the cell; choose how many with --seeds")
    if settings is FinetuneSettings and "mode" in values:
        raise SettingsError(f"{group}.mode is what tells rows apart; leave it out")
    try:
        settings.parse(values)
    except SettingsError as error:
        raise SettingsError(f"{group}: {error}") from None


SCALES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "small": {
            "shop_items": 1000,
            "shop_shoppers": 3500,
            "trials": 5,
            "tokenizers": {"codebook_size": 32, "epochs": 80},
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
    if name not in SCALES:
        raise SettingsError(f"there is no scale '{name}'; {nearest(name, SCALES)}")
    return Scale.parse(_merged(SCALES[name], changes))


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(one)
    for name, value in other.items():
        old = found.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return found
