"""What is searched: for each kind of tokenizer, its settings and where their values come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mmq.formats import to_json
from mmq.tokenizers.base import TokenizerSettings

DIGITS = 3
"""Significant digits of a number that is drawn, so that settings stay short to read."""


class Choice(NamedTuple):
    """One of some values, each as likely."""

    values: tuple[Any, ...]

    def draw(self, generator: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[int(generator.integers(len(self.values)))]


class Uniform(NamedTuple):
    """A number between two others."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float:
        """A number of :data:`DIGITS` digits."""
        return _short(generator.uniform(self.low, self.high))


class LogUniform(NamedTuple):
    """A number between two others, all orders of magnitude as likely."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float:
        """A number of :data:`DIGITS` digits."""
        return _short(math.exp(generator.uniform(math.log(self.low), math.log(self.high))))


class Factor(NamedTuple):
    """A number between two others, times the default for that many items.

    ``of`` is the method of the settings that gives the default.
    """

    low: float
    high: float
    of: str

    def draw(self, generator: np.random.Generator) -> float:
        """The factor, of :data:`DIGITS` digits."""
        return _short(generator.uniform(self.low, self.high))


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


Space = Mapping[str, Choice | Uniform | LogUniform | Factor]

SPACES: dict[str, Space] = {
    "mmq": {
        "learning_rate": LogUniform(3e-3, 8e-3),
        "input_noise": Factor(0.0, 2.0, "resolved_noise"),
        "temperature": Choice((0.05, 0.07, 0.1, 0.15)),
        "latent_dim": Choice((128, 256)),
        "commitment_weight": Choice((0.5, 1.0, 2.5)),
        "refinement": Choice((0, 3)),
    },
    "rqvae": {
        "learning_rate": LogUniform(5e-4, 1e-2),
        "hidden_sizes": Choice(([], [512], [512, 256, 128])),
        "latent_dim": Choice((64, 128)),
        "codebook": Choice(("loss", "ema", "index")),
        "commitment_weight": Choice((0.25, 0.5, 1.0, 2.5)),
        "input_noise": Factor(0.0, 1.6, "resolved_noise"),
        "refinement": Choice((0, 3)),
    },
    "rqkmeans": {
        "start": Choice(("spherical", "k-means++")),
        "iterations": Choice((10, 25, 50, 100)),
        "shrinkage": LogUniform(0.5, 30.0),
        "refinement": Choice((0, 3)),
        "balanced": Choice((False, True)),
    },
    "opq": {
        "rotations": Choice((5, 10, 20, 40)),
        "iterations": Choice((10, 25, 50, 100)),
        "shrinkage": LogUniform(0.5, 30.0),
    },
}

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


def settled(
    values: Mapping[str, Any], space: Space, settings: TokenizerSettings, items: int
) -> dict[str, Any]:
    """Values whose factors are multiplied with the defaults for ``items`` items."""
    found = dict(values)
    for name in values:
        source = space[name]
        if isinstance(source, Factor):
            found[name] = _short(values[name] * getattr(settings, source.of)(items))
    return found


def described(space: Space) -> dict[str, Any]:
    """The space as plain values, for the record of a search."""
    return {name: {type(source).__name__: list(source)} for name, source in space.items()}
