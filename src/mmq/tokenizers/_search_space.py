"""Where ``mmq tune`` draws the settings of a tokenizer from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from mmq.settings import Settings

DIGITS = 3
"""Significant digits of a number that is drawn, so that settings stay short to read."""


class Size(NamedTuple):
    """Of what is fitted.

    Attributes:
        items: how many.
        modalities: how many.
    """

    items: int
    modalities: int


@dataclass(frozen=True)
class Source(ABC):
    """Where the value of one setting comes from."""

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> Any:
        """A value."""

    def names(self, name: str) -> set[str]:
        """The settings that a value of setting ``name`` decides; fixing one fixes all of them."""
        return {name}

    def settings(self, name: str, value: Any, defaults: Settings, size: Size) -> dict[str, Any]:
        """A drawn value as settings, given the defaults and the size of the catalogue."""
        return {name: value}

    def described(self) -> dict[str, list[Any]]:
        """As plain values, for the record of a search."""
        return {type(self).__name__: [getattr(self, each.name) for each in fields(self)]}


Space = Mapping[str, Source]
"""Setting -> where its values come from."""


@dataclass(frozen=True)
class Choice(Source):
    """One of some values, each as likely."""

    values: tuple[Any, ...]

    def draw(self, generator: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[int(generator.integers(len(self.values)))]


@dataclass(frozen=True)
class Uniform(Source):
    """A number between two others."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float:
        """A number of :data:`DIGITS` digits."""
        return _short(generator.uniform(self.low, self.high))


@dataclass(frozen=True)
class LogUniform(Source):
    """A number between two others, all orders of magnitude as likely."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float:
        """A number of :data:`DIGITS` digits."""
        return _short(math.exp(generator.uniform(math.log(self.low), math.log(self.high))))


@dataclass(frozen=True)
class Factor(Source):
    """A number between two others, times the default for that many items.

    ``of`` is the method of the settings that gives the default.
    """

    low: float
    high: float
    of: str

    def draw(self, generator: np.random.Generator) -> float:
        """The factor, of :data:`DIGITS` digits."""
        return _short(generator.uniform(self.low, self.high))

    def settings(self, name: str, value: Any, defaults: Settings, size: Size) -> dict[str, Any]:
        """The factor times the default."""
        return {name: _short(value * getattr(defaults, self.of)(size.items))}


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
