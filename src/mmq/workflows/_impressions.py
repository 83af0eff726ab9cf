"""A log of impressions as rankers read it: with further columns, and on disk where it is long."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmq.artifacts import beside, made_folder
from mmq.errors import warn
from mmq.ranking import Pieces, Ranker, RankingData, RankingSplit
from mmq.semantic_ids import SemanticIDs
from mmq.workflows._files import LogFile

ROWS_IN_MEMORY = 50_000_000
"""Longer logs are kept on disk while they are learned from."""


def log_of(ranker: Ranker[Any], log: LogFile) -> Pieces:
    """The log, with the further columns that a ranker learned from."""
    further, numeric = ranker.further_columns()
    return Pieces.open(log.path, log.columns, further).with_numeric(numeric, settled=True)


def known_rows(pieces: Pieces, split: RankingSplit, table: SemanticIDs | None) -> Pieces:
    """The rows whose items have an ID, where others are to be left out; a note says how many."""
    if table is None or not split.drop_unknown:
        return pieces
    left = pieces.with_items(table.item_ids)
    if left.rows < pieces.rows:
        warn(
            f"{pieces.rows - left.rows:,} of {pieces.rows:,} rows have an item without a semantic "
            "ID and were left out"
        )
    return left


def described(pieces: Pieces, data: RankingData, split: RankingSplit) -> dict[str, Any]:
    """What is odd about a log, for JSON."""
    timed = "timestamp" in pieces.names  # without times, who meets an item twice is no mistake
    return {
        "rows": pieces.rows,
        "repeated_rows": data.met.repeated if timed or split.dedupe else 0,
        "dedupe": split.dedupe,
        "ties": {"order": split.ties},
    }


@contextlib.contextmanager
def rows_on_disk(out: str | Path, pieces: Pieces) -> Iterator[Path | None]:
    """A folder for the numbers of a long log, which vanishes; None for one that fits in memory."""
    if pieces.rows <= ROWS_IN_MEMORY:
        yield None
        return
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    folder = beside(out, f"rows-{rank}")
    for older in folder.parent.glob(f"{beside(out, 'rows-').name}*"):  # of a run that was killed
        of = older.name.rpartition("-")[2]
        if of.isdigit() and (int(of) == rank or (rank == 0 and int(of) >= processes)):
            shutil.rmtree(older, ignore_errors=True)
    with made_folder(folder.parent):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
