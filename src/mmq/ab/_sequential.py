"""Intervals that hold at every look: confidence sequences by the normal mixture.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences" (Annals of Statistics 2024), Theorem 2.2; the boundary is Robbins' two-sided
normal mixture (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon, Annals of Statistics 2021).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import lambertw


def mixture_precision(planned_users: int, alpha: float) -> float:
    """rho squared, which makes the interval narrowest at a number of users.

    ``(-W(-alpha^2 / e) - 1) / planned_users`` with the lower branch of Lambert's W, where the
    width's derivative by rho is 0.
    """
    lower = float(lambertw(-(alpha**2) / math.e, -1).real)
    return (-lower - 1) / planned_users


def mixture_widths(users: np.ndarray, planned_users: int, alpha: float) -> np.ndarray:
    """How many standard errors an interval reaches to either side, after so many users.

    ``sqrt(2 (t rho^2 + 1) / (t rho^2) * log(sqrt(t rho^2 + 1) / alpha))``, where the interval of
    one look has 1.96. With it, the probability that the true effect ever leaves the interval is at
    most ``alpha``, in the limit of many users at the first look.

    Args:
        users: ``(looks,)`` users of both arms so far.
        planned_users: where the interval is to be narrowest; chosen before the experiment.
        alpha: the probability of an error.

    >>> wide = mixture_widths(np.array([1_000, 100_000]), 100_000, 0.05)
    >>> wide.round(2).tolist()
    [8.94, 3.04]
    """
    scale = np.asarray(users, np.float64) * mixture_precision(planned_users, alpha)
    with np.errstate(divide="ignore"):
        spread = 2 * (scale + 1) / scale
    return np.sqrt(spread * (0.5 * np.log1p(scale) - math.log(alpha)))


def anytime_p_value(z: float, users: int, planned_users: int) -> float:
    """The least alpha at which the interval after so many users leaves 0 out.

    The tuning is that of alpha = 0.05 for all of them, so that p is one test's.

    Args:
        z: the effect over its standard error.
        users: of both arms so far.
        planned_users: of the tuning.
    """
    scale = users * mixture_precision(planned_users, 0.05)
    return min(1.0, math.exp(0.5 * math.log1p(scale) - z * z * scale / (2 * (scale + 1))))
