"""What a search asks of a recommender: the log-probabilities of an ID's next code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

LEAST = -1e30
"""Log-probabilities below this count as this; so an item that a model rules out stays an item."""


class CodeScores(Protocol):
    """Log-probabilities of codes, level by level, for a batch of users.

    The search takes beams; ``next`` is told which beams went on and with which code. Both are
    called in order, ``first`` once, then ``next`` for level 1, 2... Where a user has fewer beams
    than others, the surplus ones have parent and code 0; whatever comes back for them is ignored.
    """

    def first(self) -> Tensor:
        """``(b, K_0)`` float32, for the first code."""
        ...

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """``(b, beams, K_level)`` float32, or ``(b, 1, K_level)`` if the same for all beams.

        Args:
            level: position of the code asked for, from 1.
            parents: ``(b, beams)`` int64, the beam of the level before that each beam goes on
                from; before level 1 there is one beam, 0.
            codes: ``(b, beams)`` int64, the code that each has just taken.
        """
        ...


class ParallelScores:
    """Codes that are independent of each other given the history (multi-token prediction).

    Args:
        log_probs: for each position ``(b, K_l)`` float32.
    """

    def __init__(self, log_probs: Sequence[Tensor]) -> None:
        self.log_probs = tuple(log_probs)

    def first(self) -> Tensor:
        """``(b, K_0)``."""
        return self.log_probs[0]

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """``(b, 1, K_level)``, whatever the beams took so far."""
        return self.log_probs[level][:, None]
