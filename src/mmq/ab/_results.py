"""An analysis as plain values: one JSON object, and rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from mmq.ab._analysis import Analysis, ArmResult, Wait
from mmq.ab._metrics import METRICS, Difference, Range
from mmq.ab._moments import Moments
from mmq.ab._verdict import trusted, verdict

_EVERYBODY = "all users"


def as_dict(analysis: Analysis) -> dict[str, Any]:
    """All figures of an analysis, its verdict and what it has to say of the logs."""
    names, mismatch = analysis.experiment.arm_names, analysis.mismatch
    return {
        "experiment": analysis.experiment.name,
        "control": names[0],
        "primary": analysis.primary.name,
        "windows": analysis.windows.to_dict(),
        "verdict": verdict(analysis),
        "trusted": trusted(analysis),
        "sample_ratio": {
            "users": dict(mismatch.users),
            "expected": dict(mismatch.expected),
            "p_value": mismatch.p_value,
            "alarm": mismatch.alarm,
        },
        "revenue_cap": analysis.sums.cap,
        "arms": {arm: _arm(moments) for arm, moments in analysis.arms.items()},
        "results": [_result(each) for each in analysis.results],
        "counted": analysis.sums.counts._asdict(),
        "warnings": list(analysis.sums.counts.notes()),
    }


def as_table(analysis: Analysis) -> pa.Table:
    """A row for each arm but the control, stratum and metric."""
    rows = [
        {"arm": result.arm, "stratum": stratum, "metric": name, **_flat(difference)}
        for result in analysis.results
        for stratum, differences in ((_EVERYBODY, result.differences), *result.strata.items())
        for name, difference in differences.items()
    ]
    return pa.Table.from_pylist(rows)


def _arm(moments: Moments) -> dict[str, Any]:
    found: dict[str, Any] = {"users": moments.users}
    for metric in METRICS:
        found[metric.name] = moments.quotient(metric.numerator, metric.denominator).value
    return found


def _result(result: ArmResult) -> dict[str, Any]:
    return {
        "arm": result.arm,
        "differences": _plain(result.differences),
        "without_cuped": _plain(result.plain),
        "strata": {stratum: _plain(each) for stratum, each in result.strata.items()},
        "looks": [
            {"day": look.day, "users": look.users, **_difference(look.difference)}
            for look in result.looks
        ],
        "wait": None if result.wait is None else _wait(result.wait),
    }


def _wait(wait: Wait) -> dict[str, Any]:
    return {
        "effect": wait.effect,
        "users": wait.users,
        "users_needed": wait.needed._asdict(),
        "more_days": dict(zip(wait.needed._fields, wait.days, strict=True)),
    }


def _plain(differences: Mapping[str, Difference]) -> dict[str, Any]:
    return {name: _difference(each) for name, each in differences.items()}


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, Range) else value
        for name, value in difference._asdict().items()
    }


def _flat(difference: Difference) -> dict[str, float]:
    return dict(_flattened(difference))


def _flattened(difference: Difference) -> Iterator[tuple[str, float]]:
    for name, value in difference._asdict().items():
        if isinstance(value, Range):
            yield f"{name}_low", value.low
            yield f"{name}_high", value.high
        else:
            yield name, value
