"""Whom a recommender is to serve, and what it knows of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._files import format_of
from mmq.data._interactions import Interactions
from mmq.data._item_ids import ItemIndex, places
from mmq.data._sequences import Packed, Sequences, user_sequences
from mmq.data._users import Users, read_users
from mmq.errors import DataError, SettingsError, shortened
from mmq.recommenders import Recommender
from mmq.workflows._files import LogFile

ALL = "all"
"""In place of a file of users: everybody in the log."""


class Known(NamedTuple):
    """Users, and the part of their histories that the model knows.

    Attributes:
        ids: ``(users,)`` ids.
        histories: of each, as rows of the model's items; empty where nothing is known.
        left_out: entries of histories whose item the model does not know.
    """

    ids: pa.Array
    histories: Sequences
    left_out: int


def known_users(model: Recommender[Any], users: LogFile | str | Path, log: LogFile | None) -> Known:
    """The users of a log, or of a file.

    Args:
        model: that is to serve them.
        users: :data:`ALL`, or the file.
        log: where histories are taken from; None where the file has them.

    Raises:
        SettingsError: histories come from nowhere, or from two places.
        DataError: the file names nobody, or nobody of the log.
    """
    if users == ALL:
        if log is None:
            raise SettingsError("--users all takes the users of a log; give it with --interactions")
        whole = log.for_model(model).read()
        return _of_log(model, whole, whole.users.ids)
    file = LogFile.of(users)
    if format_of(Path(file.path)):
        file = file.for_model(model)
    found = read_users(file.path, file.columns)
    if (found.histories is None) == (log is None):
        raise SettingsError(
            f"{file.path} names users alone; give the log of their histories with --interactions"
            if log is None
            else f"{file.path} holds histories; leave --interactions out, or give user ids alone"
        )
    if log is None:
        return _of_lists(model, found)
    whole = log.for_model(model).read()
    _require_some(found.ids, whole, file.path)
    return _of_log(model, whole, found.ids)


def _of_log(model: Recommender[Any], whole: Interactions, ids: pa.Array) -> Known:
    """The users' interactions that count, in the order of time."""
    log = whole.positives(model.split.positive_above)
    wanted = places(ids, log.users.ids)
    asked = np.isin(log.users.codes, wanted)
    rows = ItemIndex(model.items.item_ids).find(log.item_ids)
    known = user_sequences(log, rows, asked & (rows >= 0))
    return Known(ids, known.at(wanted), int((asked & (rows < 0)).sum()))


def _of_lists(model: Recommender[Any], users: Users) -> Known:
    assert users.histories is not None
    items, lengths = (
        pc.list_flatten(users.histories),
        pc.fill_null(pc.list_value_length(users.histories), 0).to_numpy().astype(np.int64),
    )
    rows = ItemIndex(model.items.item_ids).find(items) if len(items) else np.empty(0, np.int64)
    known = rows >= 0
    owners = np.repeat(np.arange(len(lengths)), lengths)
    left = np.bincount(owners[known], minlength=len(lengths))
    return Known(users.ids, Sequences.of(Packed(rows[known], left)), int((~known).sum()))


def _require_some(ids: pa.Array, log: Interactions, path: str | Path) -> None:
    if (places(ids, log.users.ids) < 0).all():
        own, known = (shortened(str(each[0])) for each in (ids, log.users.ids))
        raise DataError(
            f"none of the {len(ids):,} users of {path} is in the log, which has users such as "
            f"{known} where the file has {own}; give the ids as the log writes them"
        )
