"""Values of a search space, drawn and made into settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmq._formats import to_json
from mmq.settings import Settings
from mmq.tokenizers._search_space import Size, Space

_TRIES = 100  # draws before the search takes a repetition, where a space is that small


def draws(
    space: Space, count: int, seed: int, fits: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[dict[str, Any]]:
    """``count`` values of the space, the first the empty one (all defaults), no two alike.

    The first ones do not depend on how many there are. A space with fewer values than that gives
    repetitions.

    Args:
        space: setting -> where its values come from.
        count: how many.
        seed: of the draws.
        fits: whether values can be used; others are drawn anew.
    """
    generator = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{}]
    seen = {to_json({})}
    while len(found) < count:
        for _ in range(_TRIES):
            values = {name: source.draw(generator) for name, source in space.items()}
            if to_json(values) not in seen and fits(values):
                break
        seen.add(to_json(values))
        found.append(values)
    return found


def unfixed(space: Space, fixed: Mapping[str, Any]) -> Space:
    """The space without what the user has fixed."""
    return {n: source for n, source in space.items() if not source.names(n) & fixed.keys()}


def settled(
    values: Mapping[str, Any], space: Space, defaults: Settings, size: Size
) -> dict[str, Any]:
    """Values as settings, given the defaults and the size of the catalogue."""
    found = dict(values)
    for name, value in values.items():
        found |= space[name].settings(name, value, defaults, size)
    return found
