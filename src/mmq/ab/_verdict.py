"""What an experiment has shown, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmq.ab._analysis import LEAST_USERS, Analysis, ArmResult
from mmq.ab._metrics import METRICS, Difference, Metric, Range


def verdict(analysis: Analysis) -> list[str]:
    """Sentences for people: whether an arm is better, or why that cannot be said.

    There is no verdict where users are not spread over the arms as they should be, or where the
    logs cannot be right.
    """
    doubts = [*_mismatch(analysis), *analysis.sums.counts.doubts()]
    if doubts:
        return [*doubts, "No verdict is given: figures of such logs mislead"]
    return [sentence for result in analysis.results for sentence in _arm(analysis, result)]


def trusted(analysis: Analysis) -> bool:
    """Whether a verdict may be given."""
    return not analysis.mismatch.alarm and not any(analysis.sums.counts.doubts())


def _mismatch(analysis: Analysis) -> Iterator[str]:
    found = analysis.mismatch
    if found.alarm:
        seen = ", ".join(f"{users:,} in {arm}" for arm, users in found.users.items())
        due = ", ".join(f"{users:,.0f}" for users in found.expected.values())
        yield (
            f"Sample-ratio mismatch: {seen} where {due} are due (p = {found.p_value:.1g}); "
            "something other than chance decides who is counted: look at redirects, bots, crashes "
            "and the logging of exposures in each arm"
        )


def _arm(analysis: Analysis, result: ArmResult) -> Iterator[str]:
    metric, control = analysis.primary, analysis.experiment.arm_names[0]
    found = result.differences.get(metric.name)
    if found is None:
        yield (
            f"{result.arm}: fewer than {LEAST_USERS} users of an arm have their window behind "
            "them, too few for intervals; wait"
        )
        return
    yield f"{result.arm} against {control}: {_sentence(metric, found)}"
    yield from _others(metric, result)
    if result.wait is not None and not decided(found):
        yield _yet(metric, result)


def decided(difference: Difference) -> bool:
    """Whether the anytime-valid interval leaves 0 out."""
    return difference.anytime.low > 0 or difference.anytime.high < 0


def _sentence(metric: Metric, found: Difference) -> str:
    ends = f"the interval that holds at every look goes from {_ends(found.anytime_relative)}"
    if found.anytime.low > 0:
        return f"{metric.label} is higher by {_percent(found.relative)}; {ends}"
    if found.anytime.high < 0:
        return f"{metric.label} is lower by {_percent(-found.relative)}; {ends}"
    if math.isnan(found.relative):
        return f"{metric.label} cannot be compared, since there is none in an arm"
    return f"no difference in {metric.label} is proven ({found.relative:+.1%}; {ends})"


def _others(primary: Metric, result: ArmResult) -> Iterator[str]:
    """Other metrics that are clearly better or worse."""
    for metric in METRICS:
        found = result.differences[metric.name]
        if metric.name != primary.name and decided(found):
            word = "higher" if found.effect > 0 else "lower"
            size = _percent(abs(found.relative))
            yield f"Beside it, {metric.label} is {word} by {size} ({_ends(found.anytime_relative)})"


def _yet(metric: Metric, result: ArmResult) -> str:
    assert result.wait is not None
    effect, wait = f"{result.wait.effect:.1%}", result.wait
    if wait.days[1] == 0:
        return (
            f"An effect of {effect} in {metric.label} would probably have shown by now: it takes "
            f"{wait.needed.anytime:,} users, and there are {wait.users:,}; a smaller one may exist"
        )
    return (
        f"To show an effect of {effect} in {metric.label} it takes {wait.needed.anytime:,} users "
        f"({wait.users:,} so far), about {wait.days[1]:,.0f} more days at this pace; with a single "
        f"look at the end {wait.needed.fixed:,} users"
    )


def _ends(interval: Range) -> str:
    return f"{interval.low:+.1%} to {interval.high:+.1%}"


def _percent(share: float) -> str:
    return f"{share:.1%}"
