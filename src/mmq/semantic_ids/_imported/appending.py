"""Whether IDs of a file can go after those of an older table."""

from __future__ import annotations

import numpy as np

from mmq.errors import DataError
from mmq.semantic_ids._imported.checks import check_sizes
from mmq.semantic_ids._imported.reading import ImportedIds
from mmq.semantic_ids._table import SemanticIDs


def check_goes_after(old: SemanticIDs, found: ImportedIds) -> None:
    """Raise :class:`DataError` unless codes fit the old codebooks and old items keep their codes.

    Args:
        old: the table.
        found: what should go after it; items of the table may come again.
    """
    remedy = (
        "the old table has no place for it: import its own file again with larger --codebook-sizes"
    )
    check_sizes(found.codes, old.codebook_sizes, found.rows, remedy)
    known = old.find(found.item_ids)
    there = np.flatnonzero(known >= 0)
    other = there[(found.codes[there] != old.codes[known[there]]).any(axis=1)]
    if len(other):
        row = int(other[0])
        raise DataError(
            f"item {found.item_ids[row].as_py()!r} has {found.rows.shown(row)}, and "
            f"{old.codes[known[row]].tolist()} in the old table ({len(other):,} of the "
            f"{len(there):,} known items differ); an old item keeps its ID, so leave it out, or "
            "import all IDs anew and train on them"
        )
