"""What changed between two tables of (mostly) the same items."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmq.data._item_ids import are_alike
from mmq.errors import DataError
from mmq.metrics.buckets import bucket_ids
from mmq.semantic_ids._manifest import Manifest, tokenizer_name
from mmq.semantic_ids._table import SemanticIDs


@dataclass(frozen=True)
class Drift:
    """How far a new table is from an old one.

    Codes of two tokenizers mean nothing to each other: what became of them is then None, and what
    tables still tell is which items share an ID.

    Attributes:
        comparable: whether a code of one table is the same code in the other.
        caveat: a sentence on why codes are not comparable, or may not be.
        common: items in both tables.
        only_old: items of the old table alone.
        only_new: items of the new table alone.
        changed: share of common items whose semantic ID changed; None where not comparable.
        changed_positions: share of common items whose code changed, for each position; likewise.
        apart: pairs of common items that shared an ID and no longer do.
        together: pairs of common items that share an ID and did not.
        regrouped: share of common items whose company changed: the common items they share their
            ID with are no longer the same.
    """

    comparable: bool
    caveat: str | None
    common: int
    only_old: int
    only_new: int
    changed: float | None
    changed_positions: tuple[float, ...] | None
    apart: int
    together: int
    regrouped: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def drift(old: SemanticIDs, new: SemanticIDs) -> Drift:
    """What changed from ``old`` to ``new``, over the items that both have.

    Raises:
        DataError: ids of two types, or no item is in both.
    """
    if not are_alike(old.item_ids.type, new.item_ids.type):
        raise DataError(
            f"item ids of the tables are {old.item_ids.type} and {new.item_ids.type}; "
            "give two tables of the same catalogue"
        )
    rows = new.find(old.item_ids)
    here = np.flatnonzero(rows >= 0)
    if len(here) == 0:
        raise DataError("the two tables have no item in common; give two of the same catalogue")
    before, after = old.codes[here], new.codes[rows[here]]
    comparable, caveat = _comparable(old.manifest, new.manifest)
    changed = before != after if comparable else None
    bucket_before, bucket_after = bucket_ids(before), bucket_ids(after)
    both = bucket_ids(np.stack([bucket_before, bucket_after], axis=1))
    same_company = _size(both) == np.maximum(_size(bucket_before), _size(bucket_after))
    stayed = _pairs(both)
    return Drift(
        comparable=comparable,
        caveat=caveat,
        common=len(here),
        only_old=len(old) - len(here),
        only_new=len(new) - len(here),
        changed=None if changed is None else float(changed.any(axis=1).mean()),
        changed_positions=None if changed is None else tuple(changed.mean(axis=0).tolist()),
        apart=_pairs(bucket_before) - stayed,
        together=_pairs(bucket_after) - stayed,
        regrouped=float((~same_company).mean()),
    )


def _comparable(old: Manifest, new: Manifest) -> tuple[bool, str | None]:
    """Whether the codes of two tables are of one tokenizer, and what to say where it is not sure.

    One that was fine-tuned from another goes on from its codes.
    """
    if old["codebook_sizes"] != new["codebook_sizes"]:
        return False, (
            f"the older table has codebooks of {_sizes(old)} codes, this one of {_sizes(new)}, so "
            "their codes were never comparable"
        )
    one, two = old["tokenizer"], new["tokenizer"]
    if one is None or two is None:
        which = "neither table says" if one is two else "one of the tables does not say"
        return True, (
            f"{which} which tokenizer made it; shares of changed codes hold only if it is the same"
        )
    related = {one["fingerprint"], *one.get("tuned_from", ())}
    if related.isdisjoint({two["fingerprint"], *two.get("tuned_from", ())}):
        return False, (
            f"the older table was made by tokenizer {tokenizer_name(old)}, this one by "
            f"{tokenizer_name(new)}, so their codes were never comparable"
        )
    return True, None


def _sizes(manifest: Manifest) -> str:
    return ", ".join(map(str, manifest["codebook_sizes"]))


def _size(buckets: np.ndarray) -> np.ndarray:
    """How many items are in the bucket of each item."""
    sizes: np.ndarray = np.bincount(buckets)[buckets]
    return sizes


def _pairs(buckets: np.ndarray) -> int:
    """Pairs of items that share a bucket."""
    sizes = np.bincount(buckets)
    return int((sizes * (sizes - 1)).sum() // 2)
