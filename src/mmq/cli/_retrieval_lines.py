"""What ``mmq train retrieval`` and ``mmq evaluate`` print of a recommender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def trained_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Of :func:`~mmq.workflows.train_retrieval`."""
    yield f"{result['model']} for {result['items']:,} items -> {result['out']}"
    count = result["training_interactions"]
    yield (
        f"  trained on {count:,} interactions of {result['users']:,} users; the log has "
        f"{result['rows']:,} rows{_repeats(result['log'])}, {told_by(result['liked_by'])}"
    )
    if result["items_without_interactions"]:
        yield (
            f"  {result['items_without_interactions']:,} items without interactions in training"
            + (" (they can be recommended by their IDs)" if result["test"]["id_level"] else "")
        )
    if result["epochs"]:
        yield (
            f"  best epoch {result['best_epoch']} of {result['epochs']}, "
            f"{result['seconds_per_epoch']:.1f} s each"
        )
    parts = {name: result[name] for name in ("validation", "test")}
    others = {f"{name}, test": found["test"] for name, found in result["baselines"].items()}
    yield from _table(parts, others)
    yield from (f"  {each}" for each in result["verdict"])
    yield from (f"  warning: {each}" for each in result["warnings"])
    yield from _measured(result["measured"])
    if "report" in result:
        yield f"report -> {result['report']}"


def _repeats(log: Mapping[str, Any]) -> str:
    """A clause on rows that come more than once."""
    count = log["repeated_rows"]
    left = "left out" if log["dedupe"] else "counted again"
    return f" ({count:,} of them repeat an earlier one and were {left})" if count else ""


def evaluated_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Of :func:`~mmq.workflows.evaluate`."""
    yield (
        f"{result['model']} on the {result['part']} part: {result['cases']:,} cases of "
        f"{result['users']:,} users, {result['items']:,} items ranked"
    )
    yield from _table({"": result}, result["baselines"])
    yield from _old_and_new(result["old_and_new"])
    yield "  95% intervals over users"
    told = [name for name in result["item_level"] if name.startswith(("recall", "ndcg"))]
    rows = {
        _words(protocol): {name: f"{each[name][0]:.3f}-{each[name][1]:.3f}" for name in told}
        for protocol, each in result["intervals"].items()
    }
    yield from figure_lines(rows)
    yield from (f"  {each}" for each in result["verdict"])
    yield from (f"  warning: {each}" for each in result["warnings"])
    yield from _measured({result["part"]: result["measured"]})


def new_lines(result: Mapping[str, Any], shown: int) -> Iterator[str]:
    """How many items are new, and how many of the items that are ``shown`` are."""
    if result["new_items"]:
        yield (
            f"  {result['new_items']:,} items are new since training: {result['new_shown']:,} of "
            f"the {shown:,} recommendations"
        )


def _old_and_new(found: Mapping[str, Any] | None) -> Iterator[str]:
    """Figures of old and of new items side by side, where some are new."""
    if found is None:
        return
    yield (
        f"  {found['new']['items']:,} items are new since training; {found['new']['cases']:,} "
        f"cases ask for them, {found['old']['cases']:,} for old ones"
    )
    rows = {
        f"{name} items, {_words(protocol)}": each[protocol]
        for name, each in found.items()
        for protocol in ("history_competes", "history_left_out")
        if each[protocol]
    }
    yield from figure_lines(rows)


def _measured(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Who is measured in each part, and how to measure new users too."""
    from mmq.recommenders._measured import Measured

    parts = {name: Measured(**counts) for name, counts in measured.items()}
    for name, of in parts.items():
        yield f"  {name}: {of.sentence()}"
    if any(of.no_history for of in parts.values()) and not of.new_users_measured:
        yield "  mmq evaluate --new-users measures those without a history too, on what is popular"


def told_by(columns: Sequence[str]) -> str:
    """A clause on the columns that tell what is positive."""
    if not columns:
        return "which all count as positives, since no rating and no label was read"
    return f"of which those count that are positive by {' or '.join(columns)}"


def _words(protocol: str) -> str:
    """The key of a protocol as text: ``history left out``."""
    return protocol.replace("_", " ")


def _told(found: Mapping[str, Any], protocol: str) -> dict[str, float]:
    """The figures of a protocol; without the hit rate where it is the recall, of one target each.

    The rest stands in the JSON.
    """
    once = found["cases"] == found["users"]
    return {name: v for name, v in found[protocol].items() if not (once and name[:3] == "hit")}


_COLUMNS = 6
"""Figures that a terminal has room for side by side."""


def _table(
    parts: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """A line for each part and protocol, then one for each other model; figures in a few blocks.

    Args:
        parts: name of a part -> figures of the model.
        others: kind of another model -> figures on the last of the parts.
    """
    protocols = ("history_competes", "history_left_out")
    rows = {
        f"{title}, {_words(each)}" if title else _words(each): _told(found, each)
        for title, found in [*parts.items(), *others.items()]
        for each in protocols
    }
    last = list(parts.values())[-1]
    rows |= {f"IDs, {_words(each)}": found for each, found in (last["id_level"] or {}).items()}
    yield from figure_lines(rows)


def figure_lines(rows: Mapping[str, Mapping[str, float | str]]) -> Iterator[str]:
    """A line for each row, in blocks of a few columns; a row without a block's figures is left out.

    Args:
        rows: name -> figure -> value, or text; the first row has all figures.
    """
    names = list(next(iter(rows.values())))
    for start in range(0, len(names), _COLUMNS):
        block = names[start : start + _COLUMNS]
        yield f"  {'':<36}" + "".join(f"{name:>12}" for name in block)
        for label, found in rows.items():
            if found.keys() & set(block):
                yield f"  {label:<36}" + "".join(f"{_cell(found.get(n, '')):>12}" for n in block)


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"
