"""What is measured of arms, and the difference between two: plain, with CUPED, and at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from mmq.ab._moments import Linear, Moments
from mmq.ab._sequential import anytime_p_value, mixture_widths

ALPHA = 0.05
"""What intervals leave to either side together, and p below which a difference counts."""


class Metric(NamedTuple):
    """A figure of an arm: a mean over users, or a ratio of two.

    Attributes:
        name: in files.
        label: in sentences and tables.
        numerator: column of the users.
        denominator: another column; None for the mean over users.
        covariate: column of what users did before their own exposure; None for no CUPED.
        share: whether it is shown in percent.
    """

    name: str
    label: str
    numerator: str
    denominator: str | None = None
    covariate: str | None = None
    share: bool = False


METRICS = (
    Metric("conversion", "conversion rate", "converted", None, "converted_before", True),
    Metric("orders", "orders per user", "orders", None, "orders_before"),
    Metric("revenue", "revenue per user", "revenue", None, "revenue_before"),
    Metric("revenue_capped", "capped revenue per user", "revenue_capped", None, "capped_before"),
    Metric("order_value", "revenue per order", "revenue", "orders"),
    Metric("clicks_per_slate", "clicks per slate", "clicks", "slates"),
    Metric("long_tail", "long-tail orders per user", "tail_orders", None, "orders_before"),
)
PRIMARY = METRICS[2]
"""Revenue per user, what a verdict is of unless another metric is chosen."""


class Range(NamedTuple):
    """The ends of an interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """How far an arm is from the control in one metric.

    Attributes:
        control: the control's figure (with CUPED, as if both arms had been alike before).
        treatment: the arm's.
        effect: treatment - control.
        relative: effect / control.
        interval: of the effect, of one look: Welch's t.
        relative_interval: of the relative effect, by the logarithm of the ratio.
        p_value: of one look, two-sided.
        anytime: interval of the effect that holds at every look.
        anytime_relative: the same of the relative effect.
        anytime_p_value: that holds at every look.
        standard_error: of the effect.
        variance_saved: share of the effect's variance that CUPED takes away; 0 without it.
    """

    control: float
    treatment: float
    effect: float
    relative: float
    interval: Range
    relative_interval: Range
    p_value: float
    anytime: Range
    anytime_relative: Range
    anytime_p_value: float
    standard_error: float
    variance_saved: float


class _Figure(NamedTuple):
    """An arm's figure, its variance a user, and users."""

    value: float
    variance: float
    users: int

    @property
    def error(self) -> float:
        """Its squared standard error."""
        return self.variance / self.users


def compare(
    metric: Metric, control: Moments, treatment: Moments, planned_users: int,
    cuped: bool = True, alpha: float = ALPHA,
) -> Difference:  # fmt: skip
    """The difference between two arms in a metric.

    Args:
        metric: what is compared; its ratios go by the delta method.
        control: moments of the users of the control.
        treatment: of the other arm.
        planned_users: where anytime-valid intervals are narrowest.
        cuped: use the metric's covariate, where it has one (Deng, Xu, Kohavi & Walker 2013).
        alpha: what intervals leave out.
    """
    plain = [_figure(metric, arm) for arm in (control, treatment)]
    first, second = _adjusted(metric, control, treatment) if cuped and metric.covariate else plain
    error, before = (sum(each.error for each in pair) for pair in ((first, second), plain))
    effect, ratio = second.value - first.value, _over(second.value, first.value)
    logarithmic = [_logarithmic(each) for each in (first, second)]
    t, log_t = _quantile((first, second), alpha), _quantile(logarithmic, alpha)
    width = float(mixture_widths(np.array(first.users + second.users), planned_users, alpha))
    root, log_root = math.sqrt(error), math.sqrt(sum(each.error for each in logarithmic))
    z = _over(effect, root) if root else 0.0
    freedom = _freedom((first, second))
    return Difference(
        first.value,
        second.value,
        effect,
        ratio - 1,
        _around(effect, t * root),
        _times(ratio, log_t * log_root),
        float(2 * special.stdtr(freedom, -abs(z))) if root else math.nan,
        _around(effect, width * root),
        _times(ratio, width * log_root),
        anytime_p_value(z, first.users + second.users, planned_users) if root else math.nan,
        root,
        1 - error / before if before > 0 else 0.0,
    )


def _figure(metric: Metric, arm: Moments) -> _Figure:
    linear = arm.quotient(metric.numerator, metric.denominator)
    return _Figure(linear.value, _variance(arm, linear), arm.users)


def _adjusted(metric: Metric, control: Moments, treatment: Moments) -> list[_Figure]:
    """Figures with CUPED: less theta times how far the covariate is from that of both arms.

    theta is the slope of the metric on its covariate over the users of both.
    """
    assert metric.covariate is not None
    both = control + treatment
    own, covariate = _pair(metric, both)
    spread = _variance(both, covariate)
    theta = _covariance(both, own, covariate) / spread if spread > 0 else 0.0
    return [_less(metric, arm, theta, covariate.value) for arm in (control, treatment)]


def _less(metric: Metric, arm: Moments, theta: float, centre: float) -> _Figure:
    own, covariate = _pair(metric, arm)
    value = own.value - theta * (covariate.value - centre)
    together = Linear(value, own.weights - theta * covariate.weights)
    return _Figure(value, _variance(arm, together), arm.users)


def _pair(metric: Metric, arm: Moments) -> tuple[Linear, Linear]:
    assert metric.covariate is not None
    own = arm.quotient(metric.numerator, metric.denominator)
    return own, arm.quotient(metric.covariate)


def _variance(arm: Moments, linear: Linear) -> float:
    return max(_covariance(arm, linear, linear), 0.0)


def _covariance(arm: Moments, first: Linear, second: Linear) -> float:
    used = (first.weights != 0) | (second.weights != 0)
    return float(first.weights[used] @ arm.covariances()[np.ix_(used, used)] @ second.weights[used])


def _logarithmic(figure: _Figure) -> _Figure:
    """The logarithm of a figure, by the delta method."""
    return figure._replace(variance=_over(figure.variance, figure.value**2))


def _quantile(figures: Sequence[_Figure], alpha: float) -> float:
    return -float(special.stdtrit(_freedom(figures), alpha / 2))


def _freedom(figures: Sequence[_Figure]) -> float:
    """Welch and Satterthwaite's degrees of freedom."""
    below = sum(each.error**2 / (each.users - 1) for each in figures)
    return _over(sum(each.error for each in figures) ** 2, below)


def _around(centre: float, margin: float) -> Range:
    return Range(centre - margin, centre + margin)


def _times(ratio: float, margin: float) -> Range:
    return Range(ratio * math.exp(-margin) - 1, ratio * math.exp(margin) - 1)


def _over(above: float, below: float) -> float:
    return above / below if below else math.nan
