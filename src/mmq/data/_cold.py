"""Cold items: some items lose all their interactions, which then are cases for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data._interactions import Interactions
from mmq.errors import DataError, SettingsError


class Withheld(NamedTuple):
    """A log without its cold items, and the cases that ask for these.

    Case c is the interaction ``cases.item_ids[c]`` of ``cases.user_ids[c]``, to be predicted from
    the rows ``order[starts[c]:ends[c]]`` of ``rest``: what the user did before it, oldest first,
    other cold items left out.

    Attributes:
        rest: all interactions with the other items, in the order of the log.
        cold_items: ids of the cold items, in the order of their first appearance in the log.
        cases: interactions with cold items that have a history, in the order of the log.
        order: ``(rest,)`` int64 row numbers of ``rest`` by user, then time, as
            :meth:`Interactions.user_order` sorts; the order of users may differ.
        starts: ``(cases,)`` int64, where the case's user starts in ``order``.
        ends: ``(cases,)`` int64, where the history of the case ends in ``order``.
    """

    rest: Interactions
    cold_items: pa.Array
    cases: Interactions
    order: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def history(self, case: int) -> np.ndarray:
        """Row numbers in ``rest`` of what the user of a case did before it; at least one."""
        rows: np.ndarray = self.order[self.starts[case] : self.ends[case]]
        return rows


def withhold_items(interactions: Interactions, share: float, seed: int) -> Withheld:
    """The log without a random ``share`` of its items, and their interactions as cold test cases.

    Each case is predicted from its user's remaining interactions before it. Interactions of one
    time keep the order of the input, and those without a timestamp count as the earliest. Cases
    with nothing before them are dropped; there may be none left. ``rest`` goes on after the moment
    of a case: it is the log to train on, and may itself be split.

    Args:
        interactions: the log.
        share: of the distinct items; at least one is withheld, and at least one remains.
        seed: decides which.

    Raises:
        DataError: the log has fewer than two items.
        SettingsError: the share is not between 0 and 1.

    >>> log = Interactions.build({"user_id": [1, 1, 1, 2], "item_id": ["a", "b", "c", "b"]})
    >>> withheld = withhold_items(log, 0.3, seed=5)
    >>> withheld.cold_items.to_pylist(), len(withheld.rest), len(withheld.cases)
    (['c'], 3, 1)
    >>> withheld.rest.item_ids.take(withheld.history(0)).to_pylist()
    ['a', 'b']
    """
    items = interactions.items
    cold = _chosen(len(items.ids), share, seed)
    is_cold = cold[items.codes]
    by_user = interactions.user_order()
    starts, ends = _spans(interactions.users.codes, by_user, ~is_cold)
    is_case = is_cold & (ends > starts)
    row_in_rest = np.cumsum(~is_cold) - 1
    return Withheld(
        interactions.filter(~is_cold),
        items.ids.filter(pa.array(cold)),
        interactions.filter(is_case),
        row_in_rest[by_user[~is_cold[by_user]]],
        starts[is_case],
        ends[is_case],
    )


def _chosen(items: int, share: float, seed: int) -> np.ndarray:
    """``(items,)`` bool: the items to withhold."""
    if not 0 < share < 1:
        raise SettingsError(f"a share of {share} cannot be withheld; it should be between 0 and 1")
    if items < 2:
        raise DataError(
            "the log has fewer than two items, so none can be withheld; give a log with more items"
        )
    cold = np.zeros(items, bool)
    count = min(max(round(share * items), 1), items - 1)
    cold[np.random.default_rng(seed).choice(items, count, replace=False)] = True
    return cold


def _spans(
    users: np.ndarray, by_user: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each row of the log, how many kept rows precede its user, and how many precede itself.

    Both count in the order ``by_user``; all arrays are ``(interactions,)``.
    """
    before = np.cumsum(kept[by_user]) - kept[by_user]
    ordered = users[by_user]
    starts, ends = np.empty_like(before), np.empty_like(before)
    starts[by_user], ends[by_user] = before[np.searchsorted(ordered, ordered)], before
    return starts, ends
