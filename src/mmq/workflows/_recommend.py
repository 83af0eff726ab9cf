"""A model and a history -> the items to show next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmq.data._sequences import Packed, Sequences
from mmq.errors import SettingsError
from mmq.recommenders import Recommender
from mmq.workflows._choice import History, Shown, allowed_items, history_of
from mmq.workflows._files import LogFile, ModelFolder
from mmq.workflows._new_items import show_new_items


@dataclass(frozen=True)
class ItemFilters:
    """What may be recommended.

    Attributes:
        allow: a file of item ids, one a line: only these.
        category: ``COLUMN=VALUE`` of the catalogue: only items that have it.
        exclude_history: not the items of the history.
    """

    allow: str | Path | None = None
    category: str | None = None
    exclude_history: bool = False


def recommend(
    model: ModelFolder | str | Path,
    history: Sequence[Any] | None = None,
    k: int = 10,
    *,
    user: str | None = None,
    log: LogFile | str | Path | None = None,
    catalogue: str | Path | None = None,
    filters: ItemFilters = ItemFilters(),
    beams: int | None = None,
) -> dict[str, Any]:
    """Items that go on from a history, best first, with their scores.

    Args:
        model: a recommender.
        history: item ids, oldest first; or instead a user and a log.
        k: how many items.
        user: whose history is taken.
        log: where it is taken from.
        catalogue: of titles and attributes.
        filters: what may be recommended.
        beams: search so many prefixes; None scores every item.

    Raises:
        SettingsError: neither a history nor a user, or an option that this model does not have.
        DataError: an unknown item, user or category, or nothing that may be recommended.

    Example: ``recommend("model", [1, 5, 9], k=5)["recommendations"][0]["item_id"]``
    """
    _check((history, user, log), filters, catalogue)
    model = ModelFolder.of(model)
    recommender = model.recommender()
    check_beams(recommender, beams)
    shown = Shown(catalogue) if catalogue else None
    show_new_items(recommender, model, None if log is None else LogFile.of(log), shown)
    allowed = allowed_items(recommender, filters.allow, filters.category, shown)
    past = History(list(history or ()))
    if user is not None and log is not None:
        events = LogFile.of(log).for_model(recommender).read()
        liked = events.positives(recommender.split.positive_above)
        past = history_of(recommender, liked, user)
    found = recommender.recommend([past.items], k, allowed, filters.exclude_history, beams)
    items = found.item_ids[0]
    best = zip(
        _described(recommender, items, shown),
        found.scores[0],
        _closest(recommender, past.items, items),
        strict=True,
    )
    new = recommender.new_items
    return {
        "model": recommender.kind,
        "candidates": len(recommender.items.item_ids) if allowed is None else len(allowed),
        "new_items": new.count,
        "new_shown": int(new.mask[recommender.rows_of(items, "the list")].sum()),
        "history": _described(recommender, past.items, shown),
        "left_out": past.left_out,
        "warnings": _unmet(past),
        "recommendations": [
            {**item, "score": score, "closest_history_item": closest}
            for item, score, closest in best
        ],
    }


def _check(of: tuple[Any, Any, Any], filters: ItemFilters, catalogue: Any) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for options that ask for each other."""
    history, user, log = of
    if (history is None) == (user is None) or (user is None) != (log is None):
        raise SettingsError(
            "give either --history ITEM,ITEM or both --user USER and --interactions LOG, or for "
            "many users --users all|FILE and --out FILE"
        )
    check_category(filters, catalogue)


def check_category(filters: ItemFilters, catalogue: str | Path | None) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for a category of items that nothing describes."""
    if filters.category is not None and catalogue is None:
        raise SettingsError(
            f"--category {filters.category} needs to know what the items are like; give their "
            "catalogue with --catalogue"
        )


def check_beams(recommender: Recommender[Any], beams: int | None) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for beams of a model without semantic IDs."""
    if beams is not None and not recommender.needs_ids:
        raise SettingsError(
            f"--beams is not for {recommender.kind}, which scores every item; leave it out"
        )


def _described(
    recommender: Recommender[Any], items: list[Any], shown: Shown | None
) -> list[dict[str, Any]]:
    """Id, title and semantic ID of items, as far as there are any."""
    rows = recommender.rows_of(items, "the history")
    known = recommender.items
    named = known.item_ids.take(rows)
    described: list[dict[str, Any]] = [{"item_id": item} for item in named.to_pylist()]
    if shown is not None:
        for item, title in zip(described, shown.titles(named), strict=True):
            item["title"] = title
    if known.ids is not None:
        for item, code in zip(described, known.ids.codes[rows].tolist(), strict=True):
            item["semantic_id"] = code
    return described


def _closest(recommender: Recommender[Any], history: list[Any], items: list[Any]) -> list[Any]:
    """The item of the history that speaks most for each item, None where nothing says so."""
    rows = recommender.rows_of(history, "the history")
    asked = torch.from_numpy(recommender.rows_of(items, "the list"))[None]
    found = recommender.closest_of_history(Sequences.of(Packed(rows, np.array([len(rows)]))), asked)
    known = recommender.items.item_ids
    return [None if row < 0 else known[row].as_py() for row in found[0].tolist()]


def _unmet(past: History) -> list[str]:
    """What to say where the model knows less than half of a history."""
    if past.left_out <= len(past.items):
        return []
    return [
        f"{past.left_out:,} of the {past.left_out + len(past.items):,} items of the history were "
        "not seen in training, so the recommendations are of the others alone; are item ids "
        "written as they were in the training log?"
    ]
