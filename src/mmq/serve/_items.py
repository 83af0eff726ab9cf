"""Items of a release as clients see them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmq.errors import DataError
from mmq.release import Release
from mmq.reports._similar import similar
from mmq.semantic_ids._manifest import known_positions
from mmq.serve._problems import ServiceError

_FEW = 20


def shown_items(release: Release, rows: np.ndarray) -> list[dict[str, Any]]:
    """Id, title, semantic ID and whether it is new, of some rows of the table."""
    return [
        {"item_id": item, "title": title, "semantic_id": codes, "new": new}
        for item, title, codes, new in zip(
            release.item_ids(rows),
            release.shown.titles(rows),
            release.ids.codes[rows].tolist(),
            release.new[rows].tolist(),
            strict=True,
        )
    ]


def row_of(release: Release, item_id: str) -> int:
    """Row of an item.

    Raises:
        ServiceError: there is none (404).
    """
    row = int(release.rows([item_id])[0])
    if row < 0:
        raise ServiceError(404, f"the release has no item '{item_id[:60]}'; find one at /v1/items")
    return row


def item(release: Release, item_id: str) -> dict[str, Any]:
    """All that is known of an item."""
    row = row_of(release, item_id)
    codes = release.ids.codes[row]
    same = release.ids.rows_of(codes[None]).rows
    words = zip(release.code_words, codes.tolist(), strict=True)
    return {
        **shown_items(release, np.array([row]))[0],
        "attributes": dict(release.shown.attributes(row)),
        "picture": release.shown.picture(row) is not None,
        "same_id": release.item_ids(same[same != row][:_FEW]),
        "code_words": [of.get(str(code), []) for of, code in words],
    }


def find(release: Release, words: str, most: int) -> list[dict[str, Any]]:
    """Items whose id is what was asked for, then those whose title holds all its words."""
    rows = release.rows([words]) if words else np.zeros(0, np.int64)
    rows = np.concatenate([rows[rows >= 0], release.shown.find(words, most)])
    return shown_items(release, rows[np.sort(np.unique(rows, return_index=True)[1])][:most])


def similar_items(release: Release, item_id: str, count: int) -> list[dict[str, Any]]:
    """Items whose decoded vectors point most alike, nearest first.

    Raises:
        ServiceError: no such item (404), or no tokenizer that decodes (409).
    """
    row = row_of(release, item_id)
    tokenizer = release.models.tokenizer
    if tokenizer is None:
        raise ServiceError(409, "the release has no tokenizer, whose decoded vectors tell it")
    near = similar(release.ids, tokenizer, row, count)
    items = shown_items(release, np.array([each.row for each in near], np.int64))
    return [{**each, "cosine": float(one.cosine)} for each, one in zip(items, near, strict=True)]


def code(release: Release, position: int, number: int) -> dict[str, Any]:
    """What a code stands for, and some items that have it.

    Raises:
        ServiceError: there is no such position or code (404).
    """
    sizes = release.ids.codebook_sizes
    if not 0 <= position < len(sizes) or not 0 <= number < sizes[position]:
        raise ServiceError(
            404, f"there is no such code; positions are 0 to {len(sizes) - 1}, see /v1/items"
        )
    rows = np.flatnonzero(release.ids.codes[:, position] == number)
    return {
        "position": position,
        "code": number,
        "group": groups(release)[position],
        "count": len(rows),
        "words": release.code_words[position].get(str(number), []),
        "items": shown_items(release, rows[:_FEW]),
    }


def groups(release: Release) -> list[str]:
    """What each position tells of: "shared", or a modality; "all" where it is not known."""
    positions = known_positions(release.ids.manifest) or {}
    of = {place: group for group, places in positions.items() for place in places}
    return [of.get(place, "all") for place in range(release.ids.length)]


def values(release: Release, column: str, most: int = 200) -> list[dict[str, Any]]:
    """The most frequent values of an attribute.

    Raises:
        DataError: there is no such attribute.
    """
    if column not in release.shown.columns:
        raise DataError(f"the release has no attribute '{column[:60]}'; see /v1/attributes")
    return [{"value": value, "items": count} for value, count in release.shown.values(column, most)]
