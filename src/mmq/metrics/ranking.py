"""How well scores tell label 1 from label 0: AUC, AUC within each user; strata of items.

A row is an impression: a user saw an item and clicked it (label 1) or not (label 0). How good the
scores are as probabilities is the business of :mod:`mmq.metrics.calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mmq.errors import DataError, SettingsError


class UserAUCs(NamedTuple):
    """The AUC of every eligible user, that is, one with rows of both labels.

    Print :attr:`eligible_users` and :attr:`eligible_rows` beside a mean: the users who are left
    out differ from one log to another.

    Attributes:
        auc: ``(eligible users,)`` float64.
        rows: ``(eligible users,)`` int64, their rows, thus impressions.
        positives: ``(eligible users,)`` int64, their rows of label 1.
        users: ``(eligible users,)`` their numbers, ascending.
        all_users: how many users there are, eligible or not.
        all_rows: how many rows there are, of eligible users or not.
    """

    auc: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    users: np.ndarray
    all_users: int
    all_rows: int

    @property
    def weighted(self) -> float:
        """GAUC: the mean weighted by each user's rows, ``sum n_u AUC_u / sum n_u``.

        Zhu et al. 2017, "Optimized Cost per Click in Taobao Display Advertising", whose groups are
        the rows of one user at one position of the page; ours are the rows of one user. NaN where
        no user is eligible.
        """
        return float(np.average(self.auc, weights=self.rows)) if len(self.auc) else float("nan")

    @property
    def unweighted(self) -> float:
        """The mean in which every eligible user counts alike; NaN where there is none."""
        return float(self.auc.mean()) if len(self.auc) else float("nan")

    @property
    def eligible_users(self) -> int:
        """How many users have rows of both labels."""
        return len(self.auc)

    @property
    def eligible_rows(self) -> int:
        """How many rows these users have."""
        return int(self.rows.sum())


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a row of label 1 scores above one of label 0.

    Equal scores count one half, which makes it the Mann-Whitney statistic over the number of
    pairs (Hanley & McNeil 1982). Pairs are counted in whole numbers, in n log n.

    Args:
        labels: ``(rows,)`` 0, 1 or bool.
        scores: ``(rows,)`` finite numbers, higher is better; compared exactly as they are.

    Raises:
        DataError: lengths differ, a label is not 0 or 1, a score is not finite, there are no
            rows, or all have the same label.

    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    positive, scores = check_scored(labels, scores)
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(high) or not len(low):
        raise DataError(
            f"all {len(scores)} rows have the label {int(len(high) > 0)}, so there is nothing to "
            "rank; AUC needs rows of both labels"
        )
    return int(_twice_below(high, low).sum()) / (2 * len(high) * len(low))


def user_aucs(users: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> UserAUCs:
    """The AUC within every user who has rows of both labels; GAUC is their ``weighted`` mean.

    There may be none: a log of one row a user has an AUC and no GAUC.

    Float32 scores are quicker than float64: they take the place of their own rank.

    Args:
        users: ``(rows,)`` whole numbers of the users, as in ``Interactions.users.codes``. Others,
            such as 64-bit hashes, do as well and take longer.
        labels: ``(rows,)`` as in :func:`auc`.
        scores: ``(rows,)`` as in :func:`auc`.

    Raises:
        DataError: lengths differ, a label is not 0 or 1, a score is not finite, there are no
            rows, or users are not whole numbers.

    >>> found = user_aucs(np.array([7, 7, 7, 3, 3, 5]), np.array([0, 1, 1, 1, 0, 1]),
    ...                   np.array([0.2, 0.9, 0.1, 0.8, 0.3, 0.5]))
    >>> found.users.tolist(), found.auc.tolist(), found.weighted, found.unweighted
    ([3, 7], [1.0, 0.5], 0.7, 0.75)
    """
    users = np.asarray(users)
    positive, scores = check_scored(labels, scores, user=users)
    if users.dtype.kind not in "iu":
        raise DataError(
            f"the user column is of type {users.dtype}; give whole numbers, such as "
            "Interactions.users.codes"
        )
    codes, bits = _score_codes(scores)
    numbers, distinct = _user_numbers(users, 63 - bits)
    keys = (numbers << bits) | codes  # one sort of these orders rows by user, then score
    high, low = np.sort(keys[positive]), np.sort(keys[~positive])
    clickers, clicks_from, clicks = _runs(high >> bits)
    passers, passes_from, passes = _runs(low >> bits)
    both, at_click, at_pass = np.intersect1d(
        clickers, passers, assume_unique=True, return_indices=True
    )
    all_users = len(clickers) + len(passers) - len(both)
    won = np.add.reduceat(_twice_below(high, low), clicks_from)[at_click]
    p, n = clicks[at_click], passes[at_pass]
    won -= 2 * p * passes_from[at_pass]  # the rows of users before were counted as below
    found = both.astype(users.dtype) if distinct is None else distinct[both]
    return UserAUCs(won / (2 * p * n), p + n, p, found, all_users, len(users))


def popularity_strata(counts: np.ndarray, share: float = 0.25) -> np.ndarray:
    """1 for the most popular items, -1 for the least popular, 0 between; ``(items,)`` int8.

    Head and tail have ``round(share * items)`` items each (but never more than half of them),
    whatever the counts. Among items of equal counts the smaller number is taken for the more
    popular, so that the strata are always the same, though by no merit of the items at the edge.

    Args:
        counts: ``(items,)`` training impressions of each item. All that are given count as items:
            leave out those with none if strata of the items seen in training are wanted.
        share: of the items in the head, and in the tail; at most 0.5.

    Raises:
        DataError: there are no items, or a count is negative or not a number.
        SettingsError: the share is not above 0 and at most 0.5.

    >>> popularity_strata(np.array([5, 90, 5, 0, 40, 7, 5, 61]))
    array([ 0,  1,  0, -1,  0,  0, -1,  1], dtype=int8)
    """
    counts = np.asarray(counts)
    if counts.ndim != 1 or not len(counts):
        raise DataError(
            f"the counts have the shape {counts.shape}; give one count an item, of at least one"
        )
    wrong = ~(counts >= 0)
    if wrong.any():
        item = int(wrong.argmax())
        raise DataError(
            f"item {item} has {counts[item].item()!r} training impressions; counts start from 0"
        )
    if not 0 < share <= 0.5:
        raise SettingsError(f"the share {share} of items should be above 0 and at most 0.5")
    size = min(round(share * len(counts)), len(counts) // 2)
    # a stable sort of the items in reverse has, read backwards, the smaller number first
    descending = len(counts) - 1 - np.argsort(counts[::-1], kind="stable")[::-1]
    strata = np.zeros(len(counts), np.int8)
    strata[descending[:size]] = 1
    strata[descending[len(counts) - size :]] = -1
    return strata


def check_scored(
    labels: np.ndarray, scores: np.ndarray, name: str = "score", **others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the label is 1, ``(rows,)`` bool, and the scores, both found fit to be evaluated.

    Args:
        labels: ``(rows,)``.
        scores: ``(rows,)``.
        name: what a message calls a score.
        others: columns that should be as long.

    Raises:
        DataError: lengths differ, a label is not 0 or 1, a score is not finite, or there are no
            rows.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    _check_columns({**others, "label": labels, name: scores})
    refuse_rows(
        (labels != 0) & (labels != 1), labels, "label", "labels are 1 for what was clicked, else 0"
    )
    if scores.dtype.kind not in "biuf":
        raise DataError(f"the {name} column is of type {scores.dtype}; give numbers")
    refuse_rows(~np.isfinite(scores), scores, name, "train the model again that gave such numbers")
    return labels != 0, scores


def refuse_rows(wrong: np.ndarray, values: np.ndarray, name: str, remedy: str) -> None:
    """Raise DataError that names the first row where ``wrong`` is True, if there is one."""
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"row {row} has the {name} {values[row].item()!r} ({int(wrong.sum())} such rows); "
            f"{remedy}"
        )


def _check_columns(columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        if values.ndim != 1:
            raise DataError(f"the {name} column has the shape {values.shape}; give one value a row")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns have different lengths: {lengths}; give each for every row")
    if not all(lengths.values()):
        raise DataError("there are no rows to evaluate; give at least one")


def _twice_below(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """For each of ``high``, 2 for each of ``low`` below it and 1 for each equal; both sorted."""
    # sorted needles find their way through parts of the haystack that are still in the cache
    twice: np.ndarray = np.searchsorted(low, high, "left")
    twice += np.searchsorted(low, high, "right")
    return twice


def _score_codes(scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Whole numbers from 0 on in the order of the scores, ``(rows,)`` int64, and their bits."""
    if scores.dtype.kind == "f" and scores.dtype.itemsize <= 4:
        return _ordinals(scores.astype(np.float32)).astype(np.int64) + 2**31, 32
    order = _order(scores)
    ordered = scores[order]
    ranks = np.zeros(len(scores), np.int64)
    ranks[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return ranks, int(ranks[order[-1]]).bit_length()


def _ordinals(scores: np.ndarray) -> np.ndarray:
    """Signed integers in the order of float32 or float64 scores, and as wide."""
    # read as integers, IEEE numbers ascend where positive and descend where negative
    bits = (scores + 0).view(f"i{scores.itemsize}")  # adding 0 makes 0 of -0
    negative = bits >> (8 * scores.itemsize - 1)  # all ones where negative, else 0
    ordinals: np.ndarray = bits ^ (negative & np.iinfo(bits.dtype).max)
    return ordinals


def _order(scores: np.ndarray) -> np.ndarray:
    """A sorting order of the scores; for millions of rows in half the time of np.argsort.

    numpy sorts integers several times as fast as it finds orders. So rows are sorted with as much
    of the score as fits before the row into 64 bits, and then by all of the score: merge sort is
    quick to see that hardly any row has to move.
    """
    keys = _ordinals(scores.astype(np.float64))
    keys = (keys - keys.min()).view(np.uint64)
    row_bits = (len(scores) - 1).bit_length()
    surplus = max(0, int(keys.max()).bit_length() + row_bits - 64)
    keys = np.sort(((keys >> surplus) << row_bits) | np.arange(len(scores), dtype=np.uint64))
    rows = (keys & ((1 << row_bits) - 1)).view(np.int64)
    return rows[np.argsort(scores[rows], kind="stable")]


def _user_numbers(users: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers of at most ``bits`` in the order of the users, and the user of each.

    None stands for users who are their own numbers already.
    """
    if users.min() >= 0 and int(users.max()).bit_length() <= bits:
        return users.astype(np.int64), None
    distinct, numbers = np.unique(users, return_inverse=True)
    assert (len(distinct) - 1).bit_length() <= bits, "two billion rows and more do not fit"
    return numbers, distinct


def _runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct values of a sorted array, where each starts, and how often it is there."""
    values, starts, counts = np.unique(ordered, return_index=True, return_counts=True)
    return values, starts, counts
