"""Where one model stands beside another by one figure: ahead, behind, or not told apart."""

from __future__ import annotations

from typing import NamedTuple

from mmq.metrics.resampling import SIGNIFICANT

_WORDS = {1: "ahead of", 0: "not significantly different from", -1: "behind"}


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
        """By a difference and its p-value; NaN where there is no test."""
        sure = p_value < SIGNIFICANT
        return cls(own, other, 0 if not sure else 1 if difference > 0 else -1)

    @property
    def word(self) -> str:
        """``ahead of``, ``behind`` or ``not significantly different from``."""
        return _WORDS[self.sign]

    @property
    def figures(self) -> str:
        """Both, as in ``0.0380 against 0.0440``."""
        return f"{self.own:.4f} against {self.other:.4f}"
