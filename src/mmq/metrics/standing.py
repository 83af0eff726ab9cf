"""Where one model stands beside another by one figure: ahead, behind, or not told apart."""

from __future__ import annotations

from typing import NamedTuple

from mmq.metrics.resampling import SIGNIFICANT

WORDS = {1: "ahead of", 0: "not significantly different from", -1: "behind"}
"""Sign of a difference -> where a model stands."""


def sign_of(difference: float, p_value: float) -> int:
    """1 or -1 by a difference that a test is sure of, else 0; NaN where there is no test."""
    if not p_value < SIGNIFICANT:
        return 0
    return 1 if difference > 0 else -1


class Standing(NamedTuple):
    """A model beside another one.

    Attributes:
        own: figure of the model.
        other: of the other one.
        sign: 1 if the model is ahead, -1 if behind, 0 if a test over users cannot tell.
    """

    own: float
    other: float
    sign: int

    @classmethod
    def of(cls, own: float, other: float, difference: float, p_value: float) -> Standing:
        """See :func:`sign_of`."""
        return cls(own, other, sign_of(difference, p_value))

    @property
    def word(self) -> str:
        """``ahead of``, ``behind`` or ``not significantly different from``."""
        return WORDS[self.sign]

    @property
    def figures(self) -> str:
        """Both, as in ``0.0380 against 0.0440``."""
        return f"{self.own:.4f} against {self.other:.4f}"
