"""A model and many users -> a Parquet file of the items to show each of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmq._progress import bar
from mmq.errors import SettingsError
from mmq.recommenders import Recommender
from mmq.workflows._choice import Shown, allowed_items
from mmq.workflows._files import LogFile, ModelFolder
from mmq.workflows._marked import Marked
from mmq.workflows._new_items import show_new_items
from mmq.workflows._recommend import ItemFilters, check_beams, check_category
from mmq.workflows._users import Known, known_users

_RECOMMENDATIONS = Marked("mmq.recommendations", "recommendations", "--out")
_ROWS = 1 << 19
"""Rows of the file that are made, and written as a row group, at a time."""
_BATCH = 256
"""Users of a row group at least, whatever ``k``: so many are scored at a time."""


@dataclass(frozen=True)
class RecommendationFile:
    """A Parquet file of recommendations, a row for each; users in their order, best items first.

    Its columns are ``user_id``, ``rank`` (from 1), ``item_id``, ``score``, those below, and
    ``fallback`` (whether the user had no history, and is given what is popular).

    Attributes:
        path: to write.
        titles: whether to write ``title``, of the catalogue.
        reasons: whether to write ``closest_history_item``: the item of the user's history that
            speaks most for the recommendation. Of item-knn and ease it is the one that adds most to
            the score; of sasrec and heterrec, whose scores are no such sums, the one whose vector
            has the largest cosine to the recommended item's. Null where nothing of the history
            speaks for it, and of popularity.
    """

    path: str | Path
    titles: bool = False
    reasons: bool = False

    @classmethod
    def of(cls, out: RecommendationFile | str | Path) -> RecommendationFile:
        """The file, or that of a path with the usual columns."""
        return out if isinstance(out, RecommendationFile) else cls(out)


class _Search(NamedTuple):
    """What is asked of a recommender, of every user alike."""

    model: Recommender[Any]
    k: int
    allowed: Tensor | None
    exclude_history: bool
    beams: int | None
    titles: pa.Array | None
    reasons: bool


def recommend_users(
    model: ModelFolder | str | Path,
    users: LogFile | str | Path,
    out: RecommendationFile | str | Path,
    k: int = 10,
    *,
    log: LogFile | str | Path | None = None,
    catalogue: str | Path | None = None,
    filters: ItemFilters = ItemFilters(),
    beams: int | None = None,
) -> dict[str, Any]:
    """Write the best items of many users to a file; give back figures of it.

    Memory holds the histories and the rows of one row group, however many users there are. Users
    without a history that the model knows are given the most popular items.

    Args:
        model: a recommender.
        users: "all" of the log; or a file of user ids (one a line, or a table with ``user_id``); or
            a table of histories (``user_id`` and ``history``, lists of item ids, oldest first).
        out: Parquet file to write, whole or not at all.
        k: items for each user.
        log: where histories are taken from; not with a table of histories.
        catalogue: of titles and attributes.
        filters: what may be recommended.
        beams: search so many prefixes; None scores every item.

    Raises:
        SettingsError: options that do not go together, or that this model does not have.
        DataError: a file that cannot be used, an unknown item or category, ``k`` out of range.

    Example: ``recommend_users("model", "all", "recs.parquet", 100, log="log.parquet")["users"]``
    """
    model, out = ModelFolder.of(model), RecommendationFile.of(out)
    log = None if log is None else LogFile.of(log)
    _check(out, users, log, filters, catalogue)
    recommender = model.recommender()
    recommender.check_count(k)
    check_beams(recommender, beams)
    shown = Shown(catalogue) if catalogue else None
    show_new_items(recommender, model, log, shown)
    recommender.new_items.require_place(k)
    search = _Search(
        recommender,
        k,
        _mask(recommender, filters, shown),
        filters.exclude_history,
        beams,
        _titles(recommender, shown) if out.titles else None,
        out.reasons,
    )
    return _write(search, known_users(recommender, users, log), out)


def _check(
    out: RecommendationFile,
    users: LogFile | str | Path,
    log: LogFile | None,
    filters: ItemFilters,
    catalogue: str | Path | None,
) -> None:
    """Raise a :class:`~mmq.errors.UserError` for what is wrong before anything is read."""
    check_category(filters, catalogue)
    if out.titles and catalogue is None:
        raise SettingsError("--titles come from a catalogue; give it with --catalogue")
    logs = [LogFile.of(each).path for each in (users, log) if each is not None]
    files = [each for each in (catalogue, filters.allow) if each is not None]
    _RECOMMENDATIONS.check(out.path, [*logs, *files])


def _mask(
    recommender: Recommender[Any], filters: ItemFilters, shown: Shown | None
) -> Tensor | None:
    """``(items,)`` bool: what may be recommended; None for all."""
    allowed = allowed_items(recommender, filters.allow, filters.category, shown)
    if allowed is None:
        return None
    mask = torch.zeros(len(recommender.items.item_ids), dtype=torch.bool)
    mask[torch.from_numpy(recommender.rows_of(allowed, "the allowed items"))] = True
    return mask


def _titles(recommender: Recommender[Any], shown: Shown | None) -> pa.Array:
    assert shown is not None, "titles without a catalogue were refused"
    return pa.array(shown.titles(recommender.items.item_ids), pa.string())


def _write(search: _Search, users: Known, out: RecommendationFile) -> dict[str, Any]:
    started, rows, new, unserved = time.monotonic(), 0, 0, 0
    search.model.prepare(len(users.ids))
    total = len(users.ids)
    with (
        _RECOMMENDATIONS.writer(out.path, _schema(search, users.ids.type)) as writer,
        bar("recommending", total, "users") as advance,
    ):
        for part in _parts(total, search.k):
            block = _block(search, users, part)
            writer.write_table(block.table)
            rows, new = rows + len(block.table), new + block.new
            unserved += block.unserved
            advance(part.stop - part.start)
    seconds = time.monotonic() - started
    fallback = int((users.histories.lengths == 0).sum())
    return {
        "model": search.model.kind,
        "candidates": _candidates(search),
        "users": total,
        "fallback": fallback,
        "unserved": unserved,
        "left_out": users.left_out,
        "rows": rows,
        "new_items": search.model.new_items.count,
        "new_shown": new,
        "seconds": seconds,
        "users_per_second": total / max(seconds, 1e-9),
        "out": str(out.path),
        "warnings": list(_warnings(total, fallback, unserved)),
    }


def _candidates(search: _Search) -> int:
    items = len(search.model.items.item_ids)
    return items if search.allowed is None else int(search.allowed.sum())


def _warnings(users: int, fallback: int, unserved: int) -> Iterator[str]:
    if fallback:
        yield (
            f"{fallback:,} of {users:,} users have no history that the model knows: they get the "
            "most popular items"
        )
    if unserved:
        yield f"the filters leave nothing to recommend to {unserved:,} of {users:,} users"


def _schema(search: _Search, user_ids: pa.DataType) -> pa.Schema:
    items = search.model.items.item_ids.type
    columns = {"user_id": user_ids, "rank": pa.int32(), "item_id": items, "score": pa.float32()}
    if search.titles is not None:
        columns["title"] = pa.string()
    if search.reasons:
        columns["closest_history_item"] = items
    return pa.schema({**columns, "fallback": pa.bool_()}.items())


def _parts(users: int, k: int) -> Iterator[slice]:
    """Slices of users who make up a row group."""
    size = max(_BATCH, _ROWS // k // _BATCH * _BATCH)
    for start in range(0, users, size):
        yield slice(start, min(start + size, users))


class _Block(NamedTuple):
    """Rows of some users, how many of them are of new items, and how many users have none."""

    table: pa.Table
    new: int
    unserved: int


def _block(search: _Search, users: Known, part: slice) -> _Block:
    histories = users.histories.take(part)
    found = search.model.search_or_popular(
        histories, search.k, search.allowed, search.exclude_history, search.beams
    )
    there = (found.rows >= 0).numpy()
    user, place = np.nonzero(there)
    shown = found.rows.numpy()[there]
    rows = pa.array(shown)
    known = search.model.items.item_ids
    columns = {
        "user_id": users.ids[part].take(pa.array(user)),
        "rank": pa.array(place + 1, pa.int32()),
        "item_id": known.take(rows),
        "score": pa.array(found.scores.numpy()[there]),
    }
    if search.titles is not None:
        columns["title"] = search.titles.take(rows)
    if search.reasons:
        closest = search.model.closest_of_history(histories, found.rows).numpy()[there]
        columns["closest_history_item"] = known.take(pa.array(closest, mask=closest < 0))
    columns["fallback"] = pa.array((histories.lengths == 0)[user])
    new = int(search.model.new_items.mask[shown].sum())
    return _Block(pa.table(columns), new, int((~there.any(1)).sum()))
