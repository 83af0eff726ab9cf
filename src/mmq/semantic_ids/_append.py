"""New items for an old table: no old row moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data._item_ids import are_alike, as_item_ids, check_ids, end_to_end
from mmq.errors import DataError
from mmq.metrics.buckets import bucket_ids, occurrence
from mmq.metrics.quantisation import check_codes
from mmq.semantic_ids._collisions import Candidates, move_collisions
from mmq.semantic_ids._lacking import Lacking, LackingRef
from mmq.semantic_ids._manifest import (
    Manifest,
    is_imported,
    known_positions,
    require_same_tokenizer,
)
from mmq.semantic_ids._table import SemanticIDs


class Appended(NamedTuple):
    """What :func:`append` gives back.

    Attributes:
        ids: the old rows, then the new ones in their order.
        added: items that are new.
        kept: given items that the old table knew; their old row stands, whatever their new codes.
        moved: new items that moved to a free ID.
    """

    ids: SemanticIDs
    added: int
    kept: int
    moved: int


def append(
    old: SemanticIDs,
    item_ids: Any,
    codes: Any,
    manifest: Manifest | None = None,
    candidates: Callable[[np.ndarray], Candidates] | None = None,
    absent: Mapping[str, np.ndarray] | None = None,
) -> Appended:
    """The old table with new items after it; old ids, codes and ranks stay as they are.

    Items that the old table knows keep their row, so that a whole new catalogue can be given.
    Ranks go on from the old ones, also where items were deleted from the old table.

    Args:
        old: the table to go on from.
        item_ids: ``(items,)`` ids, new and old.
        codes: ``(items, length)`` their codes, by the tokenizer that made the old ones.
        manifest: what made the new codes; without it, the old manifest.
        candidates: gives the best codewords of the items at some rows of ``codes``; new items
            whose ID is taken then move, see :func:`~mmq.semantic_ids._collisions.move_collisions`.
        absent: modality -> ``(items,)`` bool, True where an item lacks it; without, the manifest
            no longer says who lacks what.

    Raises:
        FormatError: the new codes come from another tokenizer.
        DataError: duplicate ids, ids of another type than the old ones, or lengths that differ.
    """
    manifest = manifest or old.manifest
    items, codes = as_item_ids(item_ids), np.asarray(codes)
    check_ids(items)
    check_appendable(old, items, manifest)
    check_codes(codes, old.codebook_sizes)
    if len(items) != len(codes):
        raise DataError(f"{len(items)} item ids for {len(codes)} semantic IDs; each needs one")
    known = old.find(items)
    fresh = np.flatnonzero(known < 0)
    new, moved = codes[fresh].astype(np.int32), 0
    if candidates is not None:
        ask = candidates
        new, mask = move_collisions(new, lambda rows: ask(fresh[rows]), taken=old.codes)
        moved = int(mask.sum())
    everything = np.concatenate([old.codes, new])
    manifest = {**manifest, "lacking": _lacking(old, manifest, known, new, absent)}
    ids = SemanticIDs(
        end_to_end([old.item_ids, items.take(pa.array(fresh))]),
        everything,
        np.concatenate([old.rank, ranks_after(everything, old.rank)]),
        old.codebook_sizes,
        manifest,
    )
    return Appended(ids, len(fresh), len(items) - len(fresh), moved)


def check_appendable(old: SemanticIDs, item_ids: pa.Array, manifest: Manifest) -> None:
    """Raise like :func:`append` unless these items, so encoded, can go after the old table.

    To be called before the items are encoded, which may take long.
    """
    remedy = (
        "give new items IDs where the old ones were made and add them with mmq import ids --append"
        if is_imported(old.manifest)
        else "append with the tokenizer of the old table"
    )
    require_same_tokenizer(
        old.manifest,
        manifest,
        f"appending would mix two code spaces; {remedy}, or encode the whole catalogue again",
    )
    if not are_alike(item_ids.type, old.item_ids.type):
        raise DataError(
            f"the new item ids are {item_ids.type}, those of the old table {old.item_ids.type}; "
            "cast them to one type"
        )


def _lacking(
    old: SemanticIDs,
    manifest: Manifest,
    known: np.ndarray,
    new: np.ndarray,
    absent: Mapping[str, np.ndarray] | None,
) -> dict[str, LackingRef] | None:
    """Who lacks what in the old table and the new items together; None where it cannot be told.

    Of an old table that does not say it, the items that are given again tell.

    Args:
        old: the table.
        manifest: of the new codes.
        known: ``(items,)`` row of each given item in the table, -1 for one that is new.
        new: ``(new items, length)`` their codes.
        absent: modality -> ``(items,)`` bool.
    """
    positions = known_positions(manifest)
    if absent is None or positions is None:
        return None
    there, noted = known >= 0, old.manifest.get("lacking")
    before = (
        Lacking.of(old.codes[known[there]], _some(absent, there), positions)
        if noted is None
        else Lacking.from_manifest(noted)
    )
    return (before + Lacking.of(new, _some(absent, ~there), positions)).to_manifest()


def _some(absent: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: mask[rows] for name, mask in absent.items()}


def ranks_after(codes: np.ndarray, old_rank: np.ndarray) -> np.ndarray:
    """Ranks of the rows of ``codes`` after the old ones, going on from the largest old rank."""
    buckets = bucket_ids(codes)
    before, after = buckets[: len(old_rank)], buckets[len(old_rank) :]
    free = np.zeros(int(buckets.max()) + 1, np.int32)
    np.maximum.at(free, before, old_rank + 1)
    ranks: np.ndarray = free[after] + occurrence(after)
    return ranks
