"""A newer table in the place of the one that a model was trained on."""

from __future__ import annotations

import numpy as np

from mmq.errors import FormatError
from mmq.semantic_ids._manifest import append_command, require_same_tokenizer
from mmq.semantic_ids._table import SemanticIDs


def require_newer_table(known: SemanticIDs, ids: SemanticIDs) -> np.ndarray:
    """``(items,)`` int64 row in ``known`` of each item of ``ids``, -1 for one that is new.

    Args:
        known: the table that the model was trained on.
        ids: another of the same tokenizer; it may have items more, and need not have all.

    Raises:
        FormatError: it comes from another tokenizer, items of the model have other IDs in it, or
            it has none of them and does not say what its codes mean.
    """
    require_same_tokenizer(
        known.manifest,
        ids.manifest,
        "its codes mean something else to this model; train one on the new IDs",
    )
    rows = known.find(ids.item_ids)
    there = rows >= 0
    moved = int((ids.codes[there] != known.codes[rows[there]]).any(axis=1).sum())
    if moved:
        raise FormatError(
            f"{moved:,} of the {int(there.sum()):,} items that the model knows have another "
            f"semantic ID in this table; add new items with {append_command(ids.manifest)}, which "
            "leaves the old ones alone, or train a model on the new IDs"
        )
    if not there.any() and ids.manifest["tokenizer"] is None:
        raise FormatError(
            "the table has none of the model's items and does not say which tokenizer made "
            "it, so nothing tells what its codes mean; add the new items to the old table"
        )
    return rows
