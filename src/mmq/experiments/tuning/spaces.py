"""What is searched: for each kind of tokenizer, its settings and where their values come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mmq.formats import to_json
from mmq.tokenizers.base import TokenizerSettings
from mmq.tokenizers.mmq.settings import DEFAULT_EXPERTS

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


class Split(NamedTuple):
    """So many experts a modality; the shared ones are what is left of the default length."""

    specific: tuple[int, ...]

    def draw(self, generator: np.random.Generator) -> int:
        """One of the numbers."""
        return self.specific[int(generator.integers(len(self.specific)))]

    def settings(self, specific: int, modalities: int) -> dict[str, int]:
        """The experts of an ID as long as the default one."""
        shared = DEFAULT_EXPERTS * (1 + modalities) - specific * modalities
        return {"shared_experts": shared, "specific_experts": specific}


class Size(NamedTuple):
    """Of what is fitted.

    Attributes:
        items: how many.
        modalities: how many.
    """

    items: int
    modalities: int


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


Space = Mapping[str, Choice | Uniform | LogUniform | Factor | Split]

SPACES: dict[str, Space] = {
    "mmq": {
        "specific_experts": Split((0, 1, 2, 3)),
        "smoothing": Uniform(0.0, 1.2),
        "refinement": Choice((1, 3, 6)),
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

BY_GRADIENT: Space = {
    "learning_rate": LogUniform(3e-3, 8e-3),
    "input_noise": Factor(0.0, 2.0, "resolved_noise"),
    "temperature": Choice((0.05, 0.07, 0.1, 0.15)),
    "latent_dim": Choice((128, 256)),
    "commitment_weight": Choice((0.5, 1.0, 2.5)),
    "refinement": Choice((0, 3)),
}
"""Of MMQ with learning = "gradient", where the user asks for that."""

_EXPERTS = {"shared_experts", "specific_experts"}  # one choice: the ID keeps its length
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


def space_of(kind: str, fixed: Mapping[str, Any]) -> Space:
    """The space of a kind without what the user has fixed."""
    space = BY_GRADIENT if fixed.get("learning") == "gradient" else SPACES[kind]
    given = set(fixed)
    if given & _EXPERTS:
        given |= _EXPERTS
    return {name: source for name, source in space.items() if name not in given}


def settled(
    values: Mapping[str, Any], space: Space, settings: TokenizerSettings, size: Size
) -> dict[str, Any]:
    """Values as settings: factors multiplied with the defaults for so many items, experts split."""
    found = dict(values)
    for name in values:
        source = space[name]
        if isinstance(source, Factor):
            found[name] = _short(values[name] * getattr(settings, source.of)(size.items))
        if isinstance(source, Split):
            found |= source.settings(values[name], size.modalities)
    return found


def described(space: Space) -> dict[str, Any]:
    """The space as plain values, for the record of a search."""
    return {name: {type(source).__name__: list(source)} for name, source in space.items()}
