"""Recall, NDCG and coverage of top-k recommendation, exact where scores tie.

Items that share a semantic ID get the same score, and whoever lists one of them first decides by
chance. So figures are the *expected* ones under uniform tie-breaking: the place of a target,
counted from 0, is uniform on ``above, ..., above + tied - 1`` (:class:`Ranks`). The ID level uses
the same functions with distinct IDs counted in place of items; its figures are higher wherever
items share IDs, and are not those of a list of items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy.special import gammaln

from mmq.errors import DataError, DivergedError, SettingsError
from mmq.metrics.quantisation import gini, utilisation

RecallDenominator = Literal["targets", "reachable"]
"""What a user's hits are divided by: all targets, or those that fit, ``min(k, targets)``."""

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the targets stand among all candidates.

    Attributes:
        above: ``(targets,)`` int, candidates that score strictly higher.
        tied: ``(targets,)`` int, candidates with exactly the target's score, itself included.
    """

    above: np.ndarray
    tied: np.ndarray

    def __post_init__(self) -> None:
        assert self.above.shape == self.tied.shape, "each target has one `above` and one `tied`"
        assert (self.above >= 0).all(), "counts are not negative"
        assert (self.tied >= 1).all(), "a target ties with itself, unless its score is NaN"

    def __len__(self) -> int:
        return len(self.above)

    @classmethod
    def of(
        cls, scores: np.ndarray, targets: np.ndarray, candidates: np.ndarray | None = None
    ) -> Ranks:
        """The ranks of one target a row of scores.

        For the ID level give one column for each distinct ID, and the targets' IDs.

        Args:
            scores: ``(b, items)``, higher is better; finite or -inf.
            targets: ``(b,)`` int, the column of each target.
            candidates: ``(b, items)`` bool, or ``(items,)`` for all rows alike; False is left out
                of the ranking. None takes all.

        Raises:
            DataError: a target is not among its candidates.
            DivergedError: a score is NaN or +inf.

        >>> Ranks.of(np.array([[0.9, 0.5, 0.5, 0.1]]), np.array([2]))
        Ranks(above=array([1]), tied=array([2]))
        """
        assert (targets >= 0).all(), "a target without a column would be read from the other end"
        # the largest is NaN where any is NaN, and NaN is not below infinity
        if scores.size and not scores.max() < np.inf:
            raise DivergedError(
                "a score is NaN or infinite, so items cannot be ranked; the model has diverged, "
                "train it again with a lower learning rate"
            )
        rows = np.arange(len(scores))
        if candidates is not None:
            allowed = np.broadcast_to(candidates, scores.shape)[rows, targets]
            if not allowed.all():
                raise DataError(
                    f"the target of row {int(allowed.argmin())} is not among its candidates "
                    f"({int((~allowed).sum())} such rows); allow it or leave the row out"
                )
        return cls(*count_ranks(scores, scores[rows, targets][:, None], candidates))

    @classmethod
    def join(cls, parts: Iterable[Ranks]) -> Ranks:
        """The ranks of several blocks, one after the other; at least one block."""
        blocks = list(parts)
        return cls(
            np.concatenate([block.above for block in blocks]),
            np.concatenate([block.tied for block in blocks]),
        )


def count_ranks(scores: Any, own: Any, candidates: Any = None) -> tuple[Any, Any]:
    """``above`` and ``tied`` of :class:`Ranks`, ``(b,)`` each; of numpy arrays or tensors.

    Nothing is checked: NaN compares as neither higher nor tied.

    Args:
        scores: ``(b, items)``.
        own: ``(b, 1)`` scores of the targets.
        candidates: bool that broadcasts to ``(b, items)``; None takes all.
    """
    higher, same = scores > own, scores == own
    if candidates is not None:
        higher, same = higher & candidates, same & candidates
    return higher.sum(1), same.sum(1)


def expected_recall(ranks: Ranks, cutoff: int) -> np.ndarray:
    """Probability that each target is among the first ``cutoff``, ``(targets,)``.

    >>> expected_recall(Ranks(np.array([0, 4, 5]), np.array([1, 2, 1])), 5).tolist()
    [1.0, 0.5, 0.0]
    """
    probability: np.ndarray = np.clip(cutoff - ranks.above, 0, ranks.tied) / ranks.tied
    return probability


def expected_ndcg(ranks: Ranks, cutoff: int) -> np.ndarray:
    """Expected gain of each target, ``(targets,)``.

    A place among the first ``cutoff``, counted from 0, gains ``1 / log2(place + 2)``, any other 0.
    That is the NDCG of a user with this one target, whose ideal gain is 1.
    """
    gains = _summed_gains(cutoff)
    first, end = np.minimum(ranks.above, cutoff), np.minimum(ranks.above + ranks.tied, cutoff)
    expected: np.ndarray = (gains[end] - gains[first]) / ranks.tied
    return expected


def user_figures(
    ranks: Ranks,
    cutoffs: Sequence[int] = (5, 10),
    users: np.ndarray | None = None,
    recall_denominator: RecallDenominator = "targets",
) -> dict[str, np.ndarray]:
    """Expected figures of every user under the names ``recall@5``, ``ndcg@5``; ``(users,)`` each.

    With several targets a user, by linearity of expectation: recall is the sum of the hit
    probabilities over the denominator, NDCG the sum of the expected gains over the ideal gain of
    ``min(k, targets)`` targets. A user's targets are distinct items that rank in one list: each
    is a candidate when another's rank is counted.

    Args:
        ranks: of all targets; at least one.
        cutoffs: the k to measure at.
        users: ``(targets,)`` numbers of the users; their figures come in ascending order of these
            numbers. None takes each target for a user of its own, in the order of ``ranks``.
        recall_denominator: ``"targets"``, all targets of the user, or ``"reachable"``,
            ``min(k, targets)``.

    Raises:
        DataError: there are no targets.
        SettingsError: no cutoff or one below 1, or an unknown denominator.
    """
    _check(ranks, cutoffs, recall_denominator)
    group = np.arange(len(ranks))
    if users is not None:
        group = np.unique(users, return_inverse=True)[1]
    targets = np.bincount(group)
    figures = {}
    for cutoff in sorted(set(cutoffs)):
        fitting = np.minimum(cutoff, targets)
        recall = np.bincount(group, expected_recall(ranks, cutoff))
        gain = np.bincount(group, expected_ndcg(ranks, cutoff))
        figures[f"recall@{cutoff}"] = recall / (
            targets if recall_denominator == "targets" else fitting
        )
        figures[f"ndcg@{cutoff}"] = gain / _summed_gains(cutoff)[fitting]
    for name, values in figures.items():
        assert values.max() <= 1 + _TOLERANCE, f"{name} above 1: targets do not rank in one list"
    return figures


def retrieval_figures(
    ranks: Ranks,
    cutoffs: Sequence[int] = (5, 10),
    users: np.ndarray | None = None,
    recall_denominator: RecallDenominator = "targets",
) -> dict[str, float]:
    """Means over users of :func:`user_figures`, which explains the arguments and errors.

    >>> ranks = Ranks(np.array([0, 2, 40, 4]), np.array([1, 1, 1, 2]))
    >>> figures = retrieval_figures(ranks)
    >>> {name: round(value, 4) for name, value in figures.items()}
    {'recall@5': 0.625, 'ndcg@5': 0.4234, 'recall@10': 0.75, 'ndcg@10': 0.4679}
    """
    each = user_figures(ranks, cutoffs, users, recall_denominator)
    figures = {name: float(values.mean()) for name, values in each.items()}
    if all(len(values) == len(ranks) for values in each.values()):
        check_gain_law(figures, cutoffs)
    return figures


def first_hit_figures(
    ranks: Ranks, cutoffs: Sequence[int] = (5, 10), users: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Expected figures of every user's first hit, ``hit@5``, ``mrr@5``; ``(users,)`` each.

    ``hit@k`` is the probability that any target of the user is among the first k, ``mrr@k`` the
    expected reciprocal place, counted from 1, of the best one, 0 beyond k. Of the m best targets,
    which tie with ``tied - m`` other items after ``above`` ones, none is among the first i of the
    tied with probability ``C(tied - i, m) / C(tied, m)``; no other target can be better.

    Args:
        ranks: of the targets.
        cutoffs: the k to measure at.
        users: as in :func:`user_figures`.

    Raises:
        DataError: there are no targets.
        SettingsError: no cutoff or one below 1.

    >>> found = first_hit_figures(Ranks(np.array([0, 2, 2]), np.array([1, 4, 4])), [3], [0, 1, 1])
    >>> {name: values.round(4).tolist() for name, values in found.items()}
    {'hit@3': [1.0, 0.5], 'mrr@3': [1.0, 0.1667]}
    """
    _check(ranks, cutoffs, "targets")
    group = np.arange(len(ranks)) if users is None else np.unique(users, return_inverse=True)[1]
    best = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(best, group, ranks.above)
    first = ranks.above == best[group]
    among, tied = np.bincount(group[first]), np.zeros_like(best)
    tied[group[first]] = ranks.tied[first]
    places = np.arange(max(cutoffs) + 1)
    missed = _none_among(places - best[:, None], tied[:, None], among[:, None])
    gained = np.cumsum((missed[:, :-1] - missed[:, 1:]) / (places[:-1] + 1), axis=1)
    figures = {}
    for cutoff in sorted(set(cutoffs)):
        figures[f"hit@{cutoff}"] = 1 - missed[:, cutoff]
        figures[f"mrr@{cutoff}"] = gained[:, cutoff - 1]
    return figures


def _none_among(drawn: np.ndarray, tied: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Probability that none of ``wanted`` is among the first ``drawn`` of ``tied``, in any order.

    The three broadcast; ``drawn`` may be below 0 (then it is 1) or above ``tied`` (then 0).
    """
    left = np.clip(tied - np.maximum(drawn, 0), 0, None)
    logs = gammaln(left + 1) - gammaln(np.maximum(left - wanted, 0) + 1)
    logs = logs - gammaln(tied + 1) + gammaln(tied - wanted + 1)
    probability: np.ndarray = np.where(left < wanted, 0.0, np.exp(np.minimum(logs, 0.0)))
    return probability


def check_gain_law(figures: Mapping[str, float], cutoffs: Sequence[int]) -> None:
    """Raise AssertionError unless recall and NDCG can belong to one ranking, one target a user.

    What NDCG gains between cutoffs a < b is what recall gains there times the gain of a place
    from a to b - 1, thus ``1 / log2(b + 1) <= (N@b - N@a) / (R@b - R@a) <= 1 / log2(a + 2)``;
    with a = 0, where both are 0, also for the smallest cutoff.
    """
    for a, b in pairwise([0, *sorted(set(cutoffs))]):
        recall, ndcg = (
            figures[f"{name}@{b}"] - (figures[f"{name}@{a}"] if a else 0.0)
            for name in ("recall", "ndcg")
        )
        low, high = recall / math.log2(b + 1), recall / math.log2(a + 2)
        if not low - _TOLERANCE <= ndcg <= high + _TOLERANCE:
            raise AssertionError(
                f"from cutoff {a} to {b} recall grows by {recall:.6g} and NDCG by {ndcg:.6g}; "
                f"with one target a user NDCG can only grow by {low:.6g} to {high:.6g}"
            )


def coverage(lists: np.ndarray, items: int) -> float:
    """Share of the catalogue's ``items`` that occur in any list.

    Args:
        lists: ``(users, k)`` int rows of recommended items, -1 where there is nothing.
        items: of the catalogue.

    >>> coverage(np.array([[0, 1], [1, -1]]), items=4)
    0.5
    """
    return float(utilisation((_exposure(lists, items),))[0])


def exposure_gini(lists: np.ndarray, items: int) -> float:
    """Gini coefficient of how often items occur in the lists of :func:`coverage`; 0 all alike."""
    return float(gini((_exposure(lists, items),))[0])


def _exposure(lists: np.ndarray, items: int) -> np.ndarray:
    return np.bincount(lists[lists >= 0], minlength=items)


def _summed_gains(cutoff: int) -> np.ndarray:
    """``(cutoff + 1,)``: the gain of the first 0, 1, ..., ``cutoff`` places together."""
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, cutoff + 2)))])


def _check(ranks: Ranks, cutoffs: Sequence[int], recall_denominator: str) -> None:
    if not len(ranks):
        raise DataError("there are no targets to evaluate; give at least one held-out interaction")
    if not cutoffs or min(cutoffs) < 1:
        raise SettingsError(f"the cutoffs {tuple(cutoffs)} should be whole numbers from 1 on")
    if recall_denominator not in ("targets", "reachable"):
        raise SettingsError(
            f"the recall denominator {recall_denominator!r} is not known; "
            "choose 'targets' or 'reachable'"
        )
