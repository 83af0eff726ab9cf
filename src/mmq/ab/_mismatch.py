"""Sample-ratio mismatch: do as many users stand in each arm as its weight says?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scipy import stats

from mmq.errors import DataError

ALARM = 1e-3
"""p below which the arms were not filled as they should have been, and no verdict is given."""


class Mismatch(NamedTuple):
    """The chi-square test of the users of arms against their weights.

    Attributes:
        users: arm -> users.
        expected: arm -> users by its weight.
        statistic: chi-square.
        p_value: of it.
    """

    users: Mapping[str, int]
    expected: Mapping[str, float]
    statistic: float
    p_value: float

    @property
    def alarm(self) -> bool:
        """Whether something other than chance filled the arms."""
        return self.p_value < ALARM


def sample_ratio(users: Mapping[str, int], weights: Mapping[str, float]) -> Mismatch:
    """Test the users of arms against the arms' weights (Fabijan et al. 2019).

    Args:
        users: arm -> users who saw it.
        weights: arm -> its weight, adding up to 1.

    Raises:
        DataError: there is no user.

    >>> sample_ratio({"a": 5050, "b": 4950}, {"a": 0.5, "b": 0.5}).alarm
    False
    """
    total = sum(users.values())
    if not total:
        raise DataError("no user stands in any arm; check the experiment's name and its exposures")
    expected = {arm: total * weight for arm, weight in weights.items()}
    found = stats.chisquare([users[arm] for arm in expected], list(expected.values()))
    return Mismatch(dict(users), expected, float(found.statistic), float(found.pvalue))
