"""Tables of experiments, from what benchmarks/bench_ab.py has stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.render.markdown import table, templated

Record = Mapping[str, Any]

_NAMES = {
    "conversion": "conversion rate",
    "revenue": "revenue per user",
    "revenue_cuped": "revenue per user, CUPED",
    "revenue_capped": "capped revenue per user",
}


def intervals(record: Record) -> str:
    """How often intervals hold the true effect."""
    lines = [
        [
            f"{tests.upper()}, {_NAMES[name]}",
            f"{found['tests']:,}",
            *(f"{found[key][name]:.1%}" for key in ("fixed_horizon", "anytime_every_day")),
            f"{found['naive_every_day'][name]:.1%}",
            f"{found['decided_at_any_look'][name]:.1%}",
        ]
        for tests, found in record["coverage"].items()
        if "/" in tests
        for name in found["fixed_horizon"]
    ]
    header = ["tests", "how many", "one look, at the end", "every look, every day",
              "one-look interval read every day", "found an effect at some look"]  # fmt: skip
    return table(header, lines)


def cuped(record: Record) -> str:
    """Variance that CUPED saves, and false alarms of the sample ratio."""
    saved, mismatch = record["cuped"], record["mismatch"]
    lines = [
        ["variance that CUPED saves, by the formula", f"{saved['expected']:.1%}"],
        ["as the analysis says", f"{saved['reported']:.1%}"],
        [f"of the estimates over {saved['tests']:,} A/A tests", f"{saved['over_tests']:.1%}"],
        ["tests whose interval with CUPED held the truth", f"{saved['fixed_horizon']:.1%}"],
        [f"false alarms of the sample ratio in {mismatch['tests']:,} tests",
         f"{mismatch['false_alarms']:.3%}"],
        ["alarms where one arm has 52% of 20,000 users", f"{mismatch['alarms_at_52_to_48']:.1%}"],
    ]  # fmt: skip
    return table(["what", "share"], lines)


def replays(record: Record) -> str:
    """How often a replay's interval holds the effect of the later test."""
    columns = {
        "slates of": "{slate} items, temperature {temperature:g}",
        "cases": "{cases}",
        "slates": "{slates:,.0f}",
        "effective": "{effective:,.0f}",
        "IPS": "{ips_holds:.0%}",
        "SNIPS": "{snips_holds:.0%}",
        "doubly robust": "{doubly_robust_holds:.0%}",
        "warned": "{warned:.0%}",
    }
    return templated(columns, record["replay"].values())


def speed(record: Record) -> str:
    """Assignment of many users, and analysis of many exposures."""
    dealt = record["assignment"]
    lines = [[f"assignment of {dealt['users']:,} users", f"{dealt['seconds']['processor']:.1f}",
              f"{dealt['seconds']['wall']:.1f}", "-"]]  # fmt: skip
    for name, found in record.items():
        if name.startswith("speed_"):
            what = f"analysis of {found['exposures']:,} exposures, {found['users']:,} users"
            lines.append([what, f"{found['processor']:.0f}", f"{found['wall']:.0f}",
                          f"{found['peak_mb']:,.0f}"])  # fmt: skip
    return table(["what", "processor seconds", "seconds", "peak MB"], lines)
