"""Figures of every user of an evaluation, in a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmq.data._sequences import Cases
from mmq.recommenders import Evaluation
from mmq.workflows._marked import Marked

PER_USER = Marked("mmq.per_user", "figures of users", "--per-user")
"""Files that :func:`write_per_user` writes."""


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
    table = pa.table(columns)
    with PER_USER.writer(path, table.schema) as writer:
        writer.write_table(table)
