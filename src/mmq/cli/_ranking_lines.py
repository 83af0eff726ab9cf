"""What ``mmq train ranking`` and ``mmq evaluate`` print of a ranker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def trained_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Of :func:`~mmq.workflows.train_ranking`."""
    count = result["impressions"]["train"]
    yield f"{result['model']} -> {result['out']}"
    yield (
        f"  trained on {count:,} impressions of {result['items']:,} items to {result['users']:,} "
        f"users; best epoch {result['best_epoch']} of {result['epochs']}"
    )
    figures = result["validation"]
    yield f"  validation: AUC {figures['auc']:.4f}, log-loss {figures['log_loss']:.4f}"
    yield from evaluated_lines(
        {
            "model": result["model"],
            "part": "test",
            **result["test"],
            "means": result["means"] and result["means"]["test"],
            "verdict": result["verdict"],
            "warnings": result["warnings"],
        }
    )
    if "report" in result:
        yield f"report -> {result['report']}"


def _of_users(result: Mapping[str, Any]) -> str:
    """Whom GAUC is of, or that it is undefined."""
    users = f"{result['users']:,} users"
    if not result["eligible_users"]:
        return (
            f"  {'GAUC':<18}{'-':>8}   undefined: none of the {users} has rows of both labels in "
            "this part"
        )
    return (
        f"  {'':<18}GAUC is of the {result['eligible_users']:,} of {users} who have rows of both "
        f"labels, {result['eligible_impressions']:,} impressions"
    )


def evaluated_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Of :func:`~mmq.workflows.evaluate`."""
    yield (
        f"{result['model']} on the {result['part']} part: {result['impressions']:,} impressions, "
        f"{result['liked']:,} of them positive"
    )
    intervals = result.get("intervals", {})
    for name, title in (("auc", "AUC"), ("gauc", "GAUC"), ("gauc_unweighted", "GAUC, unweighted")):
        low, high = intervals.get(name, (None, None))
        between = "" if low is None else f"   95% interval {low:.4f} to {high:.4f}"
        if name == "auc" or result["eligible_users"]:
            yield f"  {title:<18}{result[name]:>8.4f}{between}"
    yield _of_users(result)
    yield f"  {'log-loss':<18}{result['log_loss']:>8.4f}"
    yield (
        f"  {'calibration':<18}{result['calibration_ratio']:>8.4f}   mean prediction over share "
        f"of positives; expected error {result['calibration_error']:.4f}"
    )
    for name, stratum in result["strata"].items():
        figure = "-" if stratum["auc"] is None else f"{stratum['auc']:.4f}"
        yield (
            f"  {'AUC, ' + name:<18}{figure:>8}   {stratum['rows']:,} impressions of "
            f"{stratum['items']:,} items"
        )
    if result["means"]:
        found = {"AUC": result["means"]["auc"]}
        if result["eligible_users"]:
            found["GAUC"] = result["means"]["gauc"]
        yield f"  {'means':<18}" + ", ".join(f"{name} {v:.4f}" for name, v in found.items())
    yield from (f"  {each}" for each in result["verdict"])
    yield from (f"  warning: {each}" for each in result.get("warnings", []))
