"""Sums over users, which add up, and the means, ratios and variances that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Moments:
    """Users, their sums and their sums of products of some columns.

    Everything that an estimator needs, of any number of users in a few numbers; the moments of two
    groups together are their sum.

    Attributes:
        names: of the m columns.
        users: how many.
        sums: ``(m,)`` float64 sum of each column over users.
        products: ``(m, m)`` float64 sum of each product of two.
    """

    names: tuple[str, ...]
    users: int
    sums: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, columns: Mapping[str, np.ndarray]) -> Self:
        """Of columns with one value a user."""
        matrix = np.stack([np.asarray(each, np.float64) for each in columns.values()])
        return cls(tuple(columns), matrix.shape[1], matrix.sum(axis=1), matrix @ matrix.T)

    @classmethod
    def none(cls, names: Sequence[str]) -> Self:
        """Of no user."""
        return cls(tuple(names), 0, np.zeros(len(names)), np.zeros((len(names), len(names))))

    def __add__(self, other: Moments) -> Moments:
        assert self.names == other.names
        sums, products = self.sums + other.sums, self.products + other.products
        return Moments(self.names, self.users + other.users, sums, products)

    def mean(self, name: str) -> float:
        """Of one column; NaN of no user."""
        return float(self.sums[self.names.index(name)] / self.users) if self.users else np.nan

    def total(self, name: str) -> float:
        """Sum of one column."""
        return float(self.sums[self.names.index(name)])

    def covariances(self) -> np.ndarray:
        """``(m, m)`` sample covariances (n - 1); NaN of fewer than two users."""
        if self.users < 2:
            return np.full_like(self.products, np.nan)
        means = self.sums / self.users
        return (self.products - self.users * np.outer(means, means)) / (self.users - 1)

    def quotient(self, numerator: str, denominator: str | None = None) -> Linear:
        """The ratio of two means as a linear function of the columns, by the delta method.

        Around the means, ``N / D`` moves by ``(dN - N/D dD) / D`` (Deng, Knoblich & Lu 2018).

        Args:
            numerator: a column.
            denominator: another; None for the plain mean.
        """
        weights = np.zeros(len(self.names))
        if denominator is None:
            weights[self.names.index(numerator)] = 1.0
            return Linear(self.mean(numerator), weights)
        below = self.mean(denominator)
        value = self.mean(numerator) / below if below else np.nan
        weights[self.names.index(numerator)] += 1.0 / below if below else np.nan
        weights[self.names.index(denominator)] -= value / below if below else np.nan
        return Linear(value, weights)


class Linear(NamedTuple):
    """A figure, and what each column of a user adds to it.

    Attributes:
        value: of the figure.
        weights: ``(m,)`` float64; the figure's variance a user is ``weights @ cov @ weights``.
    """

    value: float
    weights: np.ndarray
