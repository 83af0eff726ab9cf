"""What changed between two tables of (mostly) the same items."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmq.errors import DataError
from mmq.metrics.buckets import bucket_ids
from mmq.semantic_ids.table import SemanticIDs


@dataclass(frozen=True)
class Drift:
    """How far a new table is from an old one.

    Attributes:
        common: items in both tables.
        only_old: items of the old table alone.
        only_new: items of the new table alone.
        changed: share of common items whose semantic ID changed.
        changed_positions: share of common items whose code changed, for each position.
        apart: pairs of common items that shared an ID and no longer do.
        together: pairs of common items that share an ID and did not.
        regrouped: share of common items whose company changed: the common items they share their
            ID with are no longer the same. It compares tables of two tokenizers too, whose codes
            mean nothing to each other.
    """

    common: int
    only_old: int
    only_new: int
    changed: float
    changed_positions: tuple[float, ...]
    apart: int
    together: int
    regrouped: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def drift(old: SemanticIDs, new: SemanticIDs) -> Drift:
    """What changed from ``old`` to ``new``, over the items that both have.

    Raises:
        DataError: the IDs differ in length, or no item is in both.
    """
    if old.length != new.length:
        raise DataError(
            f"semantic IDs of {old.length} and of {new.length} codes cannot be compared; "
            "give two tables of the same length"
        )
    if old.item_ids.type != new.item_ids.type:
        raise DataError(
            f"item ids of the tables are {old.item_ids.type} and {new.item_ids.type}; "
            "give two tables of the same catalogue"
        )
    rows = new.find(old.item_ids)
    here = np.flatnonzero(rows >= 0)
    if len(here) == 0:
        raise DataError("the two tables have no item in common; give two of the same catalogue")
    before, after = old.codes[here], new.codes[rows[here]]
    changed = before != after
    bucket_before, bucket_after = bucket_ids(before), bucket_ids(after)
    both = bucket_ids(np.stack([bucket_before, bucket_after], axis=1))
    same_company = _size(both) == np.maximum(_size(bucket_before), _size(bucket_after))
    stayed = _pairs(both)
    return Drift(
        common=len(here),
        only_old=len(old) - len(here),
        only_new=len(new) - len(here),
        changed=float(changed.any(axis=1).mean()),
        changed_positions=tuple(changed.mean(axis=0).tolist()),
        apart=_pairs(bucket_before) - stayed,
        together=_pairs(bucket_after) - stayed,
        regrouped=float((~same_company).mean()),
    )


def _size(buckets: np.ndarray) -> np.ndarray:
    """How many items are in the bucket of each item."""
    sizes: np.ndarray = np.bincount(buckets)[buckets]
    return sizes


def _pairs(buckets: np.ndarray) -> int:
    """Pairs of items that share a bucket."""
    sizes = np.bincount(buckets)
    return int((sizes * (sizes - 1)).sum() // 2)
