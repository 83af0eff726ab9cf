"""Experiments: how often intervals hold, what a replay is worth, and how fast the rest is.

    python -m benchmarks.bench_ab [coverage replay mismatch assignment speed] [--exposures 5000000]

Coverage is of simulated tests of 20,000 users each over four weeks, looked at every day: revenue
is zero for most and lognormal for the others (sigma 1.5), so heavy-tailed. A/A tests have no
effect, A/B tests 10% more buyers. Every part is stored as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from benchmarks.common import RESULTS, provenance, write
from mmq.ab import (
    NOBODY,
    Experiment,
    MarketSettings,
    Metric,
    Target,
    Windows,
    assign_all,
    open_market,
    replay_log,
    simulate,
    target_scores,
    write_table,
)
from mmq.ab._market import draw_visits, show, worth
from mmq.ab._metrics import compare
from mmq.ab._mismatch import ALARM, sample_ratio
from mmq.ab._moments import Moments

DAYS, USERS, RATE, LIFT = 28, 20_000, 0.05, 0.1
MU, SIGMA = 3.0, 1.5
WORTH = float(np.exp(MU + SIGMA**2 / 2))
METRICS = {
    "conversion": Metric("conversion", "", "converted"),
    "revenue": Metric("revenue", "", "revenue"),
    "revenue_cuped": Metric("revenue", "", "revenue", None, "before"),
    "revenue_capped": Metric("revenue", "", "capped"),
}


def users_of(rng: np.random.Generator, effect: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Arm and columns of the users of one test."""
    habit = rng.gamma(0.8, 1 / 0.8, USERS)
    arm = rng.random(USERS) < 0.5
    converted = rng.random(USERS) < RATE * habit * (1 + effect * arm)
    revenue, before = np.zeros(USERS), np.zeros(USERS)
    revenue[converted] = rng.lognormal(MU, SIGMA, int(converted.sum()))
    orders = rng.poisson(8 * RATE * habit)
    before = orders * rng.lognormal(MU, 0.5, USERS)
    cap = np.quantile(revenue[converted], 0.99)
    capped = np.minimum(revenue, cap)
    return arm, {"converted": converted * 1.0, "revenue": revenue, "capped": capped,
                 "before": before}  # fmt: skip


def looks(arm: np.ndarray, columns: dict[str, np.ndarray]) -> list[tuple[Moments, Moments]]:
    """Moments of both arms at the end of every day; as many users come on each."""
    so_far = [Moments.none(tuple(columns))] * 2
    found = []
    for day in np.array_split(np.arange(USERS), DAYS):
        for which in (0, 1):
            rows = day[arm[day] == which]
            so_far[which] += Moments.of({name: each[rows] for name, each in columns.items()})
        found.append((so_far[0], so_far[1]))
    return found


def truths(effect: float) -> dict[str, float | None]:
    """Effects that are known; of capped revenue only where there is none."""
    gain = RATE * effect
    known = {"conversion": gain, "revenue": gain * WORTH, "revenue_cuped": gain * WORTH}
    return {**known, "revenue_capped": None if effect else 0.0}


def coverage(tests: int = 2000) -> dict[str, Any]:
    """Shares of tests whose intervals hold the true effect: at the end, and at every look."""
    return {
        name: covered(effect, tests, seed)
        for seed, (name, effect) in enumerate({"a/a": 0.0, "a/b": LIFT}.items())
    }


def covered(effect: float, tests: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 28])
    known = {name: truth for name, truth in truths(effect).items() if truth is not None}
    fixed, anytime, naive, decided = (dict.fromkeys(known, 0) for _ in range(4))
    effects: dict[str, list[float]] = {name: [] for name in known}
    told, relative = dict.fromkeys(known, 0.0), dict.fromkeys(known, 0)
    for _ in range(tests):
        pairs = looks(*users_of(rng, effect))
        for name, truth in known.items():
            found = [compare(METRICS[name], *pair, planned_users=USERS) for pair in pairs]
            last = found[-1]
            fixed[name] += last.interval.low <= truth <= last.interval.high
            relative[name] += last.relative_interval.low <= effect <= last.relative_interval.high
            anytime[name] += all(e.anytime.low <= truth <= e.anytime.high for e in found)
            naive[name] += all(e.interval.low <= truth <= e.interval.high for e in found)
            decided[name] += any(not e.anytime.low <= 0 <= e.anytime.high for e in found)
            effects[name].append(last.effect)
            told[name] += last.variance_saved / tests
    saved = 1 - np.var(effects["revenue_cuped"]) / np.var(effects["revenue"])
    return {
        "tests": tests,
        "fixed_horizon": {name: each / tests for name, each in fixed.items()},
        "fixed_horizon_relative": {name: each / tests for name, each in relative.items()},
        "anytime_every_day": {name: each / tests for name, each in anytime.items()},
        "naive_every_day": {name: each / tests for name, each in naive.items()},
        "decided_at_any_look": {name: each / tests for name, each in decided.items()},
        "cuped_variance_saved": {"reported": told["revenue_cuped"], "over_tests": float(saved)},
    }


def mismatch(tests: int = 40_000) -> dict[str, Any]:
    """False alarms of the sample ratio, and how often a loss of 2% of an arm is seen."""
    rng = np.random.default_rng(0)
    even = {"a": 0.5, "b": 0.5}

    def alarms(share: float, count: int) -> float:
        first = rng.binomial(USERS, share, count).tolist()
        rows = ({"a": users, "b": USERS - users} for users in first)
        return sum(sample_ratio(each, even).p_value < ALARM for each in rows) / count

    return {"tests": tests, "false_alarms": alarms(0.5, tests),
            "alarms_at_52_to_48": alarms(0.52, 2000)}  # fmt: skip


def one_replay(seed: int, temperature: float, slate: int) -> dict[str, float]:
    """The effect that a replay of the control's slates predicts, and that of the later test."""
    settings = MarketSettings(items=40, shoppers=2000, days=14, visits=0.5, slate=slate, seed=seed,
                              sight={"control": 0.3, "treatment": 0.6})  # fmt: skip
    market = open_market(settings)
    arms = [{"name": "control", "weight": 0.999}, {"name": "treatment", "weight": 0.001}]
    trial = Experiment.parse({"name": "log", "arms": arms, "random_share": 1.0,
                              "temperature": temperature})  # fmt: skip
    log = simulate(market, trial, Windows(), seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.parquet" for name in ("exposures", "events", "target")]
        own = log.exposures.filter(pc.equal(log.exposures["arm"], "control"))
        tables = own, log.events, target_scores(market, "treatment", own)
        for table, path in zip(tables, paths, strict=True):
            write_table(table, path)
        found = replay_log(None, *paths[:2], Target(paths[2], temperature), reward="clicks")
    rng = np.random.default_rng([seed, 9])
    visits = draw_visits(market, 0.0, 14.0, rng)
    values = []
    for arm in ("treatment", "control"):
        shown = show(market, arm, visits, np.ones(len(visits.days), bool), temperature, rng)
        values.append(expected_clicks(market, visits, shown))
    result = {"true": values[0] - values[1], "effective": found.effective_slates,
              "slates": found.slates, "doubts": len(found.doubts)}  # fmt: skip
    for name, each in found.estimates.items():
        low, high = each.effect_interval
        result |= {f"{name}_holds": low <= result["true"] <= high, f"{name}_width": high - low}
    return result


def expected_clicks(market: Any, visits: Any, shown: Any) -> float:
    """Clicks a slate, on average: by curiosity, or else by buying."""
    from mmq.ab._market import _CLICK

    utilities = market.utilities[visits.shoppers[:, None], shown.items].astype(float)
    curious = 1 / (1 + np.exp(_CLICK - utilities)) / 3
    bought = worth(market, visits, shown).choice
    return float((1 - (1 - curious) * (1 - bought)).sum(axis=1).mean())


def replayed(cases: int = 100) -> dict[str, Any]:
    """How often a replay's interval holds the later effect; where propensities are thin too."""
    found = {}
    for name, (temperature, slate) in {"usual": (2.0, 2), "thin": (0.4, 4)}.items():
        count = cases if name == "usual" else cases // 2
        rows = [one_replay(seed, temperature, slate) for seed in range(count)]
        means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        found[name] = {"cases": count, "temperature": temperature, "slate": slate, **means}
        found[name]["warned"] = float(np.mean([row["doubts"] > 0 for row in rows]))
    return found


def assignment(count: int = 10_000_000) -> dict[str, Any]:
    """Seconds, balance, independence and stability of the assignment of many users."""
    users = pa.array(np.arange(count))
    arms = [{"name": "a", "weight": 0.5}, {"name": "b", "weight": 0.5}]
    first, other = (Experiment.parse({"name": name, "arms": arms}) for name in ("one", "two"))
    wall, processor = time.perf_counter(), time.process_time()
    dealt = assign_all(first, users)
    seconds = time.perf_counter() - wall, time.process_time() - processor
    table = np.zeros((2, 2))
    np.add.at(table, (dealt, assign_all(other, users)), 1)
    small = assign_all(first.model_copy(update={"coverage": 0.1}), users)
    return {
        "users": count,
        "seconds": {"wall": seconds[0], "processor": seconds[1]},
        "balance_p": sample_ratio({"a": int(table[0].sum()), "b": int(table[1].sum())},
                                  {"a": 0.5, "b": 0.5}).p_value,
        "independence_p": float(stats.chi2_contingency(table, correction=False).pvalue),
        "share_at_a_tenth": float((small != NOBODY).mean()),
        "moved_when_coverage_grows": int((dealt != small)[small != NOBODY].sum()),
    }  # fmt: skip


MEASURE = """
import resource, sys, time
from mmq.ab import Experiment, analyse, verdict
arms = [{"name": "control", "weight": 0.5}, {"name": "treatment", "weight": 0.5}]
wall, processor = time.perf_counter(), time.process_time()
found = analyse(Experiment.parse({"name": "big", "arms": arms}), *sys.argv[1:3], threads=2)
seconds = time.perf_counter() - wall, time.process_time() - processor
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
import json
print(json.dumps({"users": sum(found.sums.exposed.values()), "wall": seconds[0],
                  "processor": seconds[1], "peak_mb": peak, "verdict": verdict(found)}))
"""


def speed(exposures: int) -> dict[str, Any]:
    """Seconds and memory of an analysis: a fifth as many users, a fifth as many events."""
    import duckdb

    users = exposures // 5
    with tempfile.TemporaryDirectory(dir=".") as folder:
        paths = [str(Path(folder) / f"{name}.parquet") for name in ("exposures", "events")]
        moment = "make_timestamp(1767225600000000 + CAST(hash({}) % 2419200000000 AS BIGINT))"
        base = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
        base.execute(
            f"""COPY (SELECT 'x' || range AS event_id, user_id, {moment.format("range")} AS time,
                'big' AS experiment, CASE WHEN hash(user_id) % 2 = 0 THEN 'control'
                ELSE 'treatment' END AS arm FROM (SELECT range,
                CAST(hash(range + 7) % {users} AS BIGINT) AS user_id FROM range({exposures})))
            TO '{paths[0]}' (FORMAT parquet)"""
        )
        base.execute(
            f"""COPY (SELECT 'e' || range AS event_id,
                CAST(hash(range + 3) % {users} AS BIGINT) AS user_id, range % 1000 AS item_id,
                {moment.format("range + 1")} AS time,
                CASE WHEN range % 4 = 0 THEN 'order' ELSE 'click' END AS kind,
                CASE WHEN range % 4 = 0 THEN (range % 97) / 3.0 END AS value
            FROM range({users})) TO '{paths[1]}' (FORMAT parquet)"""
        )
        base.close()
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", MEASURE, *paths], check=True,
                              capture_output=True, text=True)  # fmt: skip
    return {"exposures": exposures, **json.loads(done.stdout)}


def main() -> None:
    """Measure the parts that are asked for, print and store each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--exposures", type=int, default=5_000_000)
    given = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "coverage": coverage,
        "replay": replayed,
        "mismatch": mismatch,
        "assignment": assignment,
        "speed": lambda: speed(given.exposures),
    }
    path = RESULTS / "ab.json"
    for name in given.parts or parts:
        found = json.loads(path.read_text()) if path.exists() else {}
        measured = {**parts[name](), "provenance": provenance()}
        found[f"speed_{given.exposures}" if name == "speed" else name] = measured
        write(path, found)
        print(name, json.dumps({k: v for k, v in measured.items() if k != "provenance"}, indent=2))


if __name__ == "__main__":
    main()
