"""What decides a world."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field, PositiveInt

from mmq.settings import Settings

ITEMS_A_PART = 65_536
USERS_A_PART = 65_536

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Stream: TypeAlias = Literal["tree", "maps", "catalogue", "interactions"]

_STREAMS: dict[Stream, int] = {"tree": 0, "maps": 1, "catalogue": 2, "interactions": 3}


class World(Settings):
    """Size and laws of a world; equal settings make equal bytes."""

    items: Annotated[int, Field(ge=256, le=2**31 - 1)] = 10_000
    users: PositiveInt = 10_000
    seed: int = 0
    parts: PositiveInt | None = None
    """Files of catalogue and log each; None for parts of at most 65,536 items and users."""
    modalities: tuple[str, ...] = ("text", "image")
    width: Annotated[int, Field(ge=16)] = 64
    """Of every embedding."""
    shared: Share = 0.6
    """Share of a modality's variance that the others know: the canonical correlation of any two,
    before noise."""
    noise: Share = 0.2
    """Share of an embedding's variance that says nothing."""
    leaf_exponent: float = 0.8
    """Of Zipf's law over leaves, and thus of the tail of the items' popularity."""
    item_exponent: float = 1.0
    """Of Zipf's law over the items of a leaf."""
    events: Annotated[int, Field(ge=6)] = 16
    """Mean of a user's events, before what the user has taken already is left out."""
    longest: PositiveInt = 50
    """A user's most events."""
    tastes: PositiveInt = 3
    """Branches that a user likes at a time."""
    follows: Share = 0.45
    """Share of events that follow from the one before."""
    liked: Share = 0.4
    """Share of events that are of a user's tastes; what is left is popular."""
    same_rank: Share = 0.5
    """Share of what follows that follows from the very item, and not from its leaf alone."""
    drift: Share = 0.03
    """Chance at each event that one taste gives way to another."""

    def generator(self, stream: Stream, part: int = 0) -> np.random.Generator:
        """The only source of what is random in a part."""
        return np.random.default_rng([self.seed, _STREAMS[stream], part])

    @property
    def part_count(self) -> int:
        """How many parts there are."""
        needed = max(-(-self.items // ITEMS_A_PART), -(-self.users // USERS_A_PART))
        return self.parts or needed

    def span(self, total: int, part: int) -> range:
        """The numbers of items or users of a part."""
        return range(total * part // self.part_count, total * (part + 1) // self.part_count)
