"""Figures of every user of an evaluation, in a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmq.artifacts import check_writable, write_file
from mmq.data.sequences import Cases
from mmq.errors import DataError
from mmq.recommenders import Evaluation

_MARK = b"mmq.per_user"
"""Metadata of the files that this module writes, and so may replace."""


def check_per_user(path: str | Path, sources: Iterable[str | Path]) -> None:
    """Raise :class:`DataError` where the figures cannot be written; before they are made."""
    check_writable(path, sources)
    if Path(path).exists() and not _is_ours(path):
        raise DataError(
            f"{path} exists and holds no figures of users, so it is not replaced; choose another "
            "path for --per-user"
        )


def write_per_user(
    path: str | Path,
    found: Evaluation,
    cases: Cases,
    user_ids: pa.Array,
    cutoffs: Sequence[int],
) -> None:
    """Write a row for each list of a user: id, held-out items, figures under either protocol.

    Columns are ``user_id``, ``targets``, and ``history_competes.recall@10`` and so on. A user whose
    held-out items follow several histories has a row for each.

    Args:
        path: Parquet file to write, whole or not at all.
        found: of the cases.
        cases: that were measured.
        user_ids: ids by number.
        cutoffs: the k of recall, NDCG, hit rate and MRR.
    """
    first, targets = np.unique(cases.lists, return_index=True, return_counts=True)[1:]
    columns = {
        "user_id": user_ids.take(pa.array(cases.users[first])),
        "targets": pa.array(targets),
    }
    for name, protocol in (("history_competes", found), ("history_left_out", found.left_out)):
        figures = protocol.at(cutoffs)
        columns |= {f"{name}.{figure}": pa.array(each) for figure, each in figures.items()}
    table = pa.table(columns).replace_schema_metadata({_MARK: b"1"})
    with write_file(path) as temporary:
        pq.write_table(table, temporary)


def _is_ours(path: str | Path) -> bool:
    try:
        return _MARK in (pq.read_schema(path).metadata or {})
    except (pa.ArrowInvalid, OSError):
        return False
