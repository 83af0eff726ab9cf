"""What there is to say about a log before anything learns from it, and where a long one is kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmq._artifacts import beside, made_folder
from mmq.data._cleaning import MANY_TIES, repeated_rows, with_items
from mmq.data._interactions import Interactions
from mmq.data._log import LogReader
from mmq.errors import DataError, warn
from mmq.ranking import RankingData
from mmq.recommenders import RetrievalData, SplitSettings
from mmq.training._distributed import process_number, processes

ROWS_IN_MEMORY = 50_000_000
"""Longer logs are kept on disk while they are learned from."""


def described(log: Interactions, data: RetrievalData, item_ids: Any = None) -> dict[str, Any]:
    """What is odd about a log, for JSON: rows that come twice, unknown items, ties of time.

    Args:
        log: as it was read.
        data: that were made of it.
        item_ids: that may be recommended, where that is known.
    """
    unknown = 0 if item_ids is None else int((~with_items(log, item_ids, strict=False)).sum())
    tied, users = data.ties
    return {
        "rows": len(log),
        # without times, who meets an item twice is no mistake
        "repeated_rows": int(repeated_rows(log).sum()) if log.has_time.any() else 0,
        "dedupe": data.split.dedupe,
        "unknown_rows": unknown,
        "has_times": log.has_moments,
        "ties": {"order": data.split.ties, "users": tied, "of": users},
    }


def described_impressions(log: LogReader, data: RankingData) -> dict[str, Any]:
    """What is odd about a log of impressions, for JSON: rows that come twice."""
    dedupe = data.split.dedupe
    counted = (
        dedupe or "timestamp" in log.names
    )  # without times, to meet an item twice is no mistake
    return {
        "rows": sum(map(len, data.parts)) + (data.repeated if dedupe else 0),
        "repeated_rows": data.repeated if counted else 0,
        "dedupe": dedupe,
        "ties": {"order": data.split.ties},
    }


def concerns(log: Mapping[str, Any]) -> list[str]:
    """Sentences on what :func:`described` gives, where it is worth a warning."""
    found, ties, rows = [], log["ties"], log["rows"]
    share = ties["users"] / max(ties["of"], 1)
    if share > MANY_TIES and ties["order"] == "file" and log["has_times"]:
        found.append(
            f"{ties['users']:,} of {ties['of']:,} users ({share:.0%}) have a held-out item of the "
            "same time as the item before it, so that the order of the rows decides what is held "
            "out, and a model may learn that order; --ties shuffled takes a random one"
        )
    found += repeats(log)
    if log["unknown_rows"]:
        found.append(
            f"{log['unknown_rows']:,} of {rows:,} rows have an item without a semantic ID and were "
            "left out"
        )
    return found


def repeats(log: Mapping[str, Any]) -> list[str]:
    """A sentence on rows that come more than once and count as often."""
    if not log["repeated_rows"] or log["dedupe"]:
        return []
    return [
        f"{log['repeated_rows']:,} of {log['rows']:,} rows equal an earlier one in all columns and "
        "count again; --dedupe leaves them out"
    ]


def require_order(log: Interactions, ordered: bool, split: SplitSettings) -> None:
    """Raise :class:`~mmq.errors.DataError` where nothing says what came first and it matters.

    Args:
        log: the log.
        ordered: whether the model learns from the order of a history.
        split: where ``ties`` was given, it says what rows at one moment are.
    """
    if log.has_time.any() or "ties" in split.model_fields_set:
        return
    if ordered:
        raise DataError(
            "the log has no timestamps, and this model learns from the order of events; give a "
            "column of times (--timestamp-column), or say that the rows are in the order of time: "
            "--ties file"
        )
    warn("the log has no timestamps, so the order of its rows decides which items are held out")


def liked_by(log: Interactions) -> list[str]:
    """The columns that tell positives; none of a log whose rows all count."""
    return [name for name in ("rating", "label") if name in log.table.column_names]


@contextlib.contextmanager
def rows_on_disk(out: str | Path, rows: int) -> Iterator[Path | None]:
    """A folder for the numbers of a long log, which vanishes; None for one that fits in memory."""
    if rows <= ROWS_IN_MEMORY:
        yield None
        return
    rank, world = process_number(), processes()
    folder = beside(out, f"rows-{rank}")
    for older in folder.parent.glob(f"{beside(out, 'rows-').name}*"):  # of a run that was killed
        of = older.name.rpartition("-")[2]
        if of.isdigit() and (int(of) == rank or (rank == 0 and int(of) >= world)):
            shutil.rmtree(older, ignore_errors=True)
    with made_folder(folder.parent):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
