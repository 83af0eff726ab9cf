"""Sums of codewords: codes chosen each in the light of the others.

Where a vector is reconstructed as ``offset + sum_n table[n, c_n]``, the codes that independent
experts choose are not the best together. Sweeping over the positions and choosing each code given
the rest (iterated conditional modes, as in additive quantisation: Babenko and Lempitsky, CVPR
2014) lowers the error with every step.

Axes: ``b`` items, ``n`` code position, ``k`` codeword, ``d`` vector dimension, ``m`` modality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from mmq.nn.codebook import best

GRAM = 4096
"""Codewords in all up to which their products with one another are kept (64 MiB)."""

Score = Callable[[Tensor, int, Sequence[int]], Tensor]


class Refiner:
    """Search of codes under a table of what every codeword adds.

    Args:
        offset: ``(d)``.
        table: ``(n, k, d)``.
        widths: of the modalities side by side in a vector; an item may lack some of them.
        sweeps: passes over the positions.
    """

    def __init__(self, offset: Tensor, table: Tensor, widths: Sequence[int], sweeps: int) -> None:
        self.offset, self.table, self.sweeps = offset, table, sweeps
        self.widths = torch.tensor(widths, device=table.device)

    def __call__(
        self, x: Tensor, present: Tensor, codes: Tensor | None, movable: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`codes`, and the scores ``(b, n, k)`` by which each was last chosen."""
        found = self._shortest(len(x)) if codes is None else codes.clone()
        scores = x.new_empty(*found.shape, self.table.shape[1])
        for place, own, steps in self._searches(x, present, found, movable, codes is None):
            last = scores[place]
            for n, score in steps:
                last[:, n] = score
            found[place], scores[place] = own, last
        return found, scores

    def codes(self, x: Tensor, present: Tensor, codes: Tensor | None, movable: Tensor) -> Tensor:
        """Codes ``(b, n)`` int64.

        Args:
            x: vectors ``(b, d)``, zero where missing.
            present: ``(b, m)`` one where the item has the modality; the rest counts for nothing.
            codes: ``(b, n)`` int64 to start from; None finds them first, each in the light of
                those before it.
            movable: ``(b, n)`` bool; the other codes stay, and are the shortest codewords where
                there are none yet.
        """
        found = self._shortest(len(x)) if codes is None else codes.clone()
        for place, own, steps in self._searches(x, present, found, movable, codes is None):
            for _ in steps:
                pass
            found[place] = own
        return found

    def _searches(
        self, x: Tensor, present: Tensor, codes: Tensor, movable: Tensor, greedy: bool
    ) -> Iterator[tuple[Tensor | slice, Tensor, Iterator[tuple[int, Tensor]]]]:
        """For items that have the same modalities: where they are, their codes, and the steps."""
        for place in _alike(present):
            pattern = present[place][0]
            seen = pattern.repeat_interleave(self.widths)
            tables = self._whole if bool(pattern.all()) else Tables.of(self.table * seen)
            score = tables.scorer((x[place] - self.offset) * seen)
            own = codes[place]
            yield place, own, self._sweep(score, own, movable[place], greedy)

    @cached_property
    def _whole(self) -> Tables:
        """Of items that have all modalities, most often all of them: made once, not a block."""
        return Tables.of(self.table)

    def _shortest(self, items: int) -> Tensor:
        """The codeword of each position that says least."""
        return self.table.square().sum(2).argmin(1).repeat(items, 1)

    def _sweep(
        self, score: Score, codes: Tensor, movable: Tensor, greedy: bool
    ) -> Iterator[tuple[int, Tensor]]:
        """Choose codes anew, in place; each position with the scores that it was chosen by."""
        positions = range(codes.shape[1])
        for sweep in range(self.sweeps + greedy):
            for n in positions:
                others = range(n) if greedy and not sweep else [m for m in positions if m != n]
                own = score(codes, n, others)
                codes[:, n] = torch.where(movable[:, n], best(own), codes[:, n])
                yield n, own


def _alike(present: Tensor) -> list[Tensor | slice]:
    """Rows of ``present`` ``(b, m)``, zeros and ones, that are equal; a slice where all are."""
    if not len(present):
        return []
    if bool((present == present[0]).all()):
        return [slice(None)]
    powers = 2 ** torch.arange(present.shape[1], device=present.device)
    key = (present.long() * powers).sum(1)  # several times faster than unique rows
    return [torch.nonzero(key == value).flatten() for value in key.unique()]


class Tables(NamedTuple):
    """What every codeword adds, and what can be said of them before any item is seen.

    Attributes:
        table: ``(n, k, d)``.
        halves: ``(n, k)`` minus half of their squared lengths.
        gram: ``(n, n k, k)`` products of all codewords with those of a position; None where they
            are too many.
    """

    table: Tensor
    halves: Tensor
    gram: Tensor | None

    @classmethod
    def of(cls, table: Tensor) -> Tables:
        """Of a table ``(n, k, d)``."""
        positions, size, _ = table.shape
        flat, gram = table.flatten(0, 1), None
        if len(flat) <= GRAM:
            gram = (flat @ flat.T).view(-1, positions, size).transpose(0, 1).contiguous()
        return cls(table, -0.5 * table.square().sum(2), gram)

    def scorer(self, x: Tensor) -> Score:
        """Function of codes, a position and others: ``(b, k)``, what each takes off the error.

        That is ``r . t - |t|^2 / 2`` for what the others leave over, ``r = x - sum_m t_m``. The
        products of codewords with x and with one another are made once where they fit.
        """
        table, halves, gram = self
        positions, size, _ = table.shape
        flat = table.flatten(0, 1)
        starts = size * torch.arange(positions, device=x.device)
        if gram is None:

            def by_residual(codes: Tensor, n: int, others: Sequence[int]) -> Tensor:
                explained = _sums(flat, codes[:, list(others)] + starts[list(others)])
                return torch.addmm(halves[n], x - explained, table[n].T)

            return by_residual
        products = torch.addmm(halves.flatten(), x, flat.T).view(len(x), positions, size)

        def by_products(codes: Tensor, n: int, others: Sequence[int]) -> Tensor:
            return products[:, n] - _sums(gram[n], codes[:, list(others)] + starts[list(others)])

        return by_products


def _sums(rows: Tensor, index: Tensor) -> Tensor:
    """Sum of the rows at each line of ``index`` ``(b, j)``; zero for none."""
    if index.shape[1] == 0:
        return rows.new_zeros(len(index), rows.shape[1])
    total: Tensor = embedding_bag(index, rows, mode="sum")
    return total
