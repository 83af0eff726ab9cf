"""Dividing an interaction log into training, validation and test parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmq.data._hashing import mixed, text_hashes
from mmq.data._interactions import Interactions
from mmq.data._item_ids import joined
from mmq.errors import DataError, SettingsError


class Split(NamedTuple):
    """Three disjoint parts of a log, each in the order of the log."""

    train: Interactions
    validation: Interactions
    test: Interactions


TRAIN, VALIDATION, TEST, _NONE = 0, 1, 2, 3
"""What the functions ``*_parts`` say of each interaction."""

PARTS = ("train", "validation", "test")
"""Their names in a ``split`` column."""


def leave_one_out(interactions: Interactions) -> Split:
    """The last item of each user for the test, the one before for validation, the rest to train on.

    Items of one user at the same time keep the order of the input, and rows without a timestamp
    count as the earliest. Users with fewer than three interactions are trained on whole.
    """
    return _split(interactions, leave_one_out_parts(interactions))


def leave_one_out_parts(interactions: Interactions) -> np.ndarray:
    """The part of each interaction, ``(interactions,)``, as :func:`leave_one_out` divides them."""
    order = interactions.user_order()
    counts = np.bincount(interactions.users.codes)
    ends = np.cumsum(counts)[counts >= 3]
    part = np.full(len(order), TRAIN, np.int8)
    part[order[ends - 1]], part[order[ends - 2]] = TEST, VALIDATION
    return part


def chronological_split(
    interactions: Interactions,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    warm_only: bool = False,
) -> Split:
    """The log cut at two moments: the past to train on, then validation, then the test.

    Interactions of one moment are never parted: those at the cut all go to the earlier part, so a
    part may be a little larger than its share. Rows without a timestamp are trained on; they are
    not counted in the shares.

    Args:
        interactions: the log.
        fractions: shares of train, validation and test; they sum to 1.
        warm_only: whether to drop validation and test rows of users who are not in the train part.

    Raises:
        DataError: no row has a timestamp.
        SettingsError: the fractions are not three shares that sum to 1, the first above 0.
    """
    part = chronological_parts(interactions, fractions)
    if warm_only:
        users = interactions.users.codes
        known = np.isin(users, users[part == TRAIN])
        part = np.where(known, part, _NONE)
    return _split(interactions, part)


def chronological_parts(
    interactions: Interactions, fractions: Sequence[float] = (0.8, 0.1, 0.1)
) -> np.ndarray:
    """The part of each interaction, ``(interactions,)``; see :func:`chronological_split`."""
    if interactions.has_time.any() and not interactions.has_moments:
        raise DataError(
            "the log holds histories without times, so it cannot be split by time; give "
            "timestamps or use leave-one-out"
        )
    return parts_by_time(interactions.times, interactions.has_time, fractions)


def parts_by_time(times: np.ndarray, known: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """The part of each row, ``(rows,)``; see :func:`chronological_split`.

    Args:
        times: ``(rows,)`` int64; what is not known is smaller than all that is.
        known: ``(rows,)`` bool.
        fractions: shares of train, validation and test.
    """
    if (
        len(fractions) != 3
        or min(fractions) < 0
        or fractions[0] <= 0
        or abs(sum(fractions) - 1) > 1e-6
    ):
        raise SettingsError(
            f"the fractions {tuple(fractions)} should be three shares that sum to 1, "
            "such as 0.8,0.1,0.1"
        )
    ordered = np.sort(times[known])
    if not len(ordered):
        raise DataError(
            "no interaction has a timestamp, so the log cannot be split by time; "
            "give timestamps or use leave-one-out"
        )
    train = times <= _cut(ordered, fractions[0])
    early = times <= _cut(ordered, fractions[0] + fractions[1])
    part = np.full(len(times), TEST, np.int8)
    part[early] = VALIDATION
    part[train] = TRAIN
    return part


def stored_split(interactions: Interactions) -> Split:
    """The parts that the log's own ``split`` column names.

    Raises:
        DataError: there is no such column.
    """
    return _split(interactions, stored_parts(interactions))


def stored_parts(interactions: Interactions) -> np.ndarray:
    """The part of each interaction, ``(interactions,)``; see :func:`stored_split`."""
    if "split" not in interactions.table.column_names:
        raise DataError("the interactions have no split column; split them by time instead")
    named = joined(interactions.table.column("split")).dictionary_encode()
    numbers = pc.index_in(named.dictionary, pa.array(PARTS)).to_numpy()
    parts: np.ndarray = numbers[named.indices.to_numpy()]
    return parts


def random_parts(interactions: Interactions, fractions: Sequence[float]) -> np.ndarray:
    """The part of each interaction, ``(interactions,)``, that a hash of user and item draws.

    All that a user had with an item is in one part, and the order of the rows has no say.

    Args:
        interactions: the log.
        fractions: shares of train, validation and test.
    """
    users, items = (
        text_hashes(coded.ids)[coded.codes] for coded in (interactions.users, interactions.items)
    )
    drawn = mixed([users, items]) / 2.0**64
    train, early = drawn < fractions[0], drawn < fractions[0] + fractions[1]
    return np.select([train, early], [TRAIN, VALIDATION], TEST)


def _cut(ordered: np.ndarray, share: float) -> int:
    """The last moment of the earliest ``share`` of the sorted times."""
    return int(ordered[max(1, round(share * len(ordered))) - 1])


def _split(interactions: Interactions, part: np.ndarray) -> Split:
    return Split(*(interactions.filter(part == name) for name in (TRAIN, VALIDATION, TEST)))
