"""What is true of every toy: the known factors behind its words, its picture and its sales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

FactorSource = Literal["shared", "text", "image", "synergy"]


class Factor(NamedTuple):
    """One property of a toy.

    Attributes:
        source: what tells it. ``shared``: the words and the picture, each by itself; ``text`` and
            ``image``: that one alone; ``synergy``: only both together.
        levels: names of its values; the factor tables hold indices into them.
    """

    source: FactorSource
    levels: tuple[str, ...]


TEAMS = ("red", "gold", "blue")
"""Colours a toy may be made for (the words say) and may wear on its badge (the picture shows)."""

FACTORS: Mapping[str, Factor] = {
    "toy": Factor("shared", ("ball", "car", "bear", "blocks", "kite", "robot", "boat", "train")),
    "size": Factor("shared", ("small", "medium", "large")),
    "material": Factor("text", ("wood", "plush", "tin", "rubber")),
    "maker": Factor("text", ("Brightwell", "Hobbin", "Kestrel", "Oakapple", "Tumbledown")),
    "team": Factor("text", TEAMS),
    "colour": Factor("image", ("green", "purple", "pink", "brown", "turquoise", "charcoal")),
    "background": Factor("image", ("plain", "stripes", "dots", "checks")),
    "badge": Factor("image", TEAMS),
    "pairing": Factor("synergy", ("match", "rival", "neutral")),
}
"""All factors by name. ``pairing`` is ``(badge - team) mod 3``: a toy that wears the colour of its
own team, of the rival, or of the third one."""


def draw_factors(items: int, match_share: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Factor name -> ``(items,)`` int64 levels.

    Every factor but ``pairing`` and ``badge`` is drawn evenly and by itself. ``pairing`` is a match
    with probability ``match_share``, independently of the team; the badge follows from the two.
    As the team is even, the badge is even too, and ``pairing`` is independent of the team and of
    the badge, each by itself: whoever reads only the words or sees only the picture cannot know it.
    """
    levels = {
        name: rng.integers(len(factor.levels), size=items)
        for name, factor in FACTORS.items()
        if name not in ("badge", "pairing")
    }
    rest = (1 - match_share) / 2
    levels["pairing"] = rng.choice(3, size=items, p=[match_share, rest, rest])
    levels["badge"] = (levels["team"] + levels["pairing"]) % len(TEAMS)
    return {name: levels[name].astype(np.int64) for name in FACTORS}
