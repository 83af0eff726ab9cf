"""A recommender's folder -> vectors of its items and of users, for any vector database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmq._progress import bar
from mmq.errors import SettingsError
from mmq.recommenders import Recommender
from mmq.recommenders._sequential import SequentialRecommender
from mmq.workflows._files import LogFile, ModelFolder
from mmq.workflows._marked import Marked
from mmq.workflows._users import known_users

ITEMS, USERS = "items.parquet", "users.parquet"
_VECTORS = Marked("mmq.vectors", "vectors", "--out")
_BLOCK = 4096
"""Vectors that are made at a time."""
_GROUP = 1 << 16
"""Vectors of a row group."""


def export_vectors(
    model: ModelFolder | str | Path,
    out: str | Path,
    users: LogFile | str | Path | None = None,
    *,
    log: LogFile | str | Path | None = None,
) -> dict[str, Any]:
    """Write item vectors, and users' if asked for; give back figures of them.

    The product of a user's and an item's vector is the model's score of the item, up to a constant
    of the user: a search by inner product finds what the model recommends. ``items.parquet`` has
    ``item_id`` and ``vector`` (float32, a fixed number), ``users.parquet`` ``user_id`` and
    ``vector``. Memory holds one row group, however many there are.

    Args:
        model: SASRec or HeterRec, with a newer ID table if items are to come from there.
        out: the folder to write to; files of an older export are replaced.
        users: "all" of the log, or a file of user ids or of histories; those without a history
            that the model knows have no vector and are left out.
        log: where histories are taken from.

    Raises:
        SettingsError: a model whose scores are no products of two vectors.
        DataError: a file that cannot be used.

    Example: ``export_vectors("model", "vectors", "all", log="log.parquet")["dimension"]``
    """
    model, folder = ModelFolder.of(model), Path(out)
    log = None if log is None else LogFile.of(log)
    if log is not None and users is None:
        raise SettingsError("--interactions are for vectors of users; add --users all or a FILE")
    _check(folder, [each for each in (users, log) if each is not None])
    recommender = _of_products(model.recommender())
    items = _of_items(recommender)
    found: dict[str, Any] = {"model": recommender.kind, "dimension": items.width}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / ITEMS, "item_id", items)
    found["items"] = len(items.ids)
    if users is not None:
        asked, without = _of_users(recommender, users, log)
        _write(folder / USERS, "user_id", asked)
        found |= {"users": len(asked.ids), "without_history": without}
    return {**found, "out": str(out)}


def _check(folder: Path, files: list[LogFile | str | Path]) -> None:
    """Raise :class:`~mmq.errors.DataError` where something would be overwritten."""
    logs = [LogFile.of(each).path for each in files]
    for name in (ITEMS, USERS):
        _VECTORS.check(folder / name, logs)


def _of_products(model: Recommender[Any]) -> SequentialRecommender[Any, Any]:
    if not isinstance(model, SequentialRecommender):
        raise SettingsError(
            f"a {model.kind} recommender scores items by what stands in the history and has no "
            "vectors of users; export sasrec or heterrec"
        )
    return model


class _Vectors(NamedTuple):
    """Vectors to come.

    Attributes:
        ids: of all.
        width: of a vector.
        make: from a slice of the ids to ``(n, width)``.
    """

    ids: pa.Array
    width: int
    make: Callable[[slice], Tensor]


def _of_items(model: SequentialRecommender[Any, Any]) -> _Vectors:
    ids = model.items.item_ids

    def make(some: slice) -> Tensor:
        return model.answer_vectors(torch.arange(some.start, some.stop))

    return _Vectors(ids, make(slice(0, 1)).shape[1], make)


def _of_users(
    model: SequentialRecommender[Any, Any], users: LogFile | str | Path, log: LogFile | None
) -> tuple[_Vectors, int]:
    """Vectors of the users with a history, and how many have none."""
    known = known_users(model, users, log)
    there = np.flatnonzero(known.histories.lengths)
    histories = known.histories.take(there)
    model.prepare(len(there))

    def make(some: slice) -> Tensor:
        return model.question_vectors(histories.take(np.arange(some.start, some.stop)))

    width = model.answer_vectors(torch.arange(1)).shape[1]
    return _Vectors(known.ids.take(pa.array(there)), width, make), len(known.ids) - len(there)


def _write(path: Path, name: str, vectors: _Vectors) -> None:
    kind = pa.list_(pa.float32(), vectors.width)
    schema = pa.schema({name: vectors.ids.type, "vector": kind})
    total = len(vectors.ids)
    with _VECTORS.writer(path, schema) as writer, bar(f"writing {path.name}", total, "") as advance:
        for group in _slices(0, total, _GROUP):
            parts = []
            for some in _slices(group.start, group.stop, _BLOCK):
                parts.append(vectors.make(some).cpu().numpy())
                advance(some.stop - some.start)
            flat = pa.array(np.concatenate(parts).ravel())
            column = pa.FixedSizeListArray.from_arrays(flat, vectors.width)
            writer.write_table(pa.table([vectors.ids[group], column], schema=schema))


def _slices(start: int, stop: int, size: int) -> Iterator[slice]:
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))
