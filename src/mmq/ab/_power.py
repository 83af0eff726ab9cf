"""How many users an effect takes, for one look at the end and for a look every day."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from mmq.ab._metrics import ALPHA
from mmq.ab._sequential import mixture_widths
from mmq.errors import DataError

POWER = 0.8


class Need(NamedTuple):
    """Users of both arms that an effect takes.

    Attributes:
        fixed: for one look, when all are there.
        anytime: for intervals that hold at every look; found so far at the latest, since a larger
            effect, or luck, ends the experiment earlier.
    """

    fixed: int
    anytime: int


def standard_error(variance: float, users: float, share: float) -> float:
    """Of the difference of two arms' means.

    Args:
        variance: of a user's figure, the same in both arms.
        users: of both arms.
        share: of them in the treatment.
    """
    return math.sqrt(variance / users * (1 / share + 1 / (1 - share)))


def users_needed(
    variance: float, effect: float, share: float = 0.5, power: float = POWER, alpha: float = ALPHA
) -> Need:
    """Users of both arms together that show an effect with some probability.

    One look: ``(z(1 - alpha/2) + z(power))^2 variance (1/share + 1/(1 - share)) / effect^2``. Many
    looks: the same with the anytime-valid interval, tuned to the number of users that comes out.

    Args:
        variance: of a user's figure.
        effect: the absolute effect that is to be shown.
        share: of the users in the treatment.
        power: the probability to show it.
        alpha: what the interval leaves out.

    Raises:
        DataError: the variance or the effect is 0.
    """
    if not variance > 0 or not effect:
        raise DataError(
            "users cannot be counted for an effect or a variance of 0; give both above 0"
        )
    unit = standard_error(variance, 1.0, share)
    reach = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)

    def missing(log_users: float) -> float:
        users = math.exp(log_users)
        width = float(mixture_widths(np.array(users), math.ceil(users), alpha))
        return (width + float(stats.norm.ppf(power))) * unit / math.sqrt(users) - abs(effect)

    fixed = (reach * unit / effect) ** 2
    anytime = optimize.brentq(missing, math.log(fixed), math.log(fixed) + 5)
    return Need(math.ceil(fixed), math.ceil(math.exp(anytime)))


def detectable_effect(
    variance: float, users: int, share: float = 0.5, power: float = POWER, alpha: float = ALPHA
) -> float:
    """The smallest absolute effect that so many users of both arms show, with one look."""
    reach = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    return float(reach * standard_error(variance, users, share))
