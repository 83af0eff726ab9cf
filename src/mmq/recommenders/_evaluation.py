"""How well a recommender finds held-out items: full ranking, item level and ID level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmq.data._sequences import Cases, Sequences
from mmq.errors import DataError, DivergedError
from mmq.metrics.buckets import bucket_ids
from mmq.metrics.retrieval import (
    Ranks,
    count_ranks,
    coverage,
    first_hit_figures,
    retrieval_figures,
    user_figures,
)
from mmq.recommenders._base import BLOCK
from mmq.semantic_ids import SemanticIDs

if TYPE_CHECKING:
    from mmq.recommenders._base import Recommender

CUTOFFS = (5, 10)
_SCORES = 1 << 25
"""Scores that are held at a time, a few times over: 128 MiB."""
_SHOWN = 10
"""Best items of a user that count for the coverage."""


@dataclass(frozen=True, eq=False)
class Protocol:
    """Figures under one rule on the items of a user's own history.

    Attributes:
        figures: item level, expected where items share an ID: ``recall@5``, ``ndcg@10``, ...
        id_level: the same of distinct IDs; None for a recommender that scores items, not IDs.
        users: item level of every user, ``(users,)`` each, for intervals and paired tests; a user
            whose cases have several histories counts once for each.
        coverage: share of the items that occur in anybody's ten best.
        ranks: where the target of each case stands.
        lists: ``(cases,)`` the list of each case, in the order of which figures of users come.
    """

    figures: dict[str, float]
    id_level: dict[str, float] | None
    users: dict[str, np.ndarray]
    coverage: float
    ranks: Ranks
    lists: np.ndarray

    def of_cases(self, which: np.ndarray, cutoffs: Sequence[int]) -> dict[str, float]:
        """Recall and NDCG of some cases, ``(cases,)`` bool; empty where there are none."""
        if not which.any():
            return {}
        ranks = Ranks(self.ranks.above[which], self.ranks.tied[which])
        return retrieval_figures(ranks, cutoffs, self.lists[which])

    def at(self, cutoffs: Sequence[int]) -> dict[str, np.ndarray]:
        """Recall, NDCG, hit rate and MRR of every user at further cutoffs, ``(users,)`` each.

        Raises:
            SettingsError: no cutoff or one below 1.
        """
        return {
            **user_figures(self.ranks, cutoffs, self.lists),
            **first_hit_figures(self.ranks, cutoffs, self.lists),
        }


@dataclass(frozen=True, eq=False)
class Evaluation(Protocol):
    """Figures of some cases where the history competes, and beside them where it is left out.

    Published figures follow either rule and differ by a tenth to a third: compare within one.

    Attributes:
        left_out: where items of the history are no candidates, unless they are targets.
        cases: held-out items.
    """

    left_out: Protocol
    cases: int


def evaluate(
    recommender: Recommender[Any], cases: Cases, cutoffs: Sequence[int] = CUTOFFS
) -> Evaluation:
    """Rank all items for every case, and see where the held-out one stands.

    Args:
        recommender: a fitted one; new items stand where :meth:`Recommender.show_new_items` has put
            them.
        cases: of its items.
        cutoffs: the k of recall and NDCG.

    Raises:
        DataError: there are no cases.
        SettingsError: no cutoff or one below 1.
        DivergedError: a score is not a number.
    """
    if not len(cases.targets):
        raise DataError("there are no cases to evaluate; give at least one held-out interaction")
    ids = recommender.items.ids if recommender.needs_ids else None
    distinct = None if ids is None else _Distinct.of(ids, recommender.device)
    items, lists = len(recommender.items.item_ids), cases.lists
    wanted = np.sort(lists * items + cases.targets)
    recommender.prepare(len(cases.targets))
    new = recommender.new_items
    histories = bool((cases.histories.lengths > 0).all())  # popularity tells items apart
    competing, left_out = (
        _Places(len(cases.targets), distinct, alike, items)
        for alike in (histories and not recommender.tells_apart and not new.share, False)
    )
    block = max(1, min(BLOCK, _SCORES // items))
    for start in range(0, len(cases.targets), block):
        rows = slice(start, start + block)
        part = cases.take(rows)
        scores = _scores(recommender, part.histories)
        targets = torch.from_numpy(part.targets).to(scores.device)[:, None]
        competing.add(rows, new.placed(scores), targets)
        _leave_out(scores, part.histories, lists[rows] * items, wanted)
        left_out.add(rows, new.placed(scores), targets)
    one, other = (each.protocol(cases, cutoffs) for each in (competing, left_out))
    return Evaluation(**vars(one), left_out=other, cases=len(cases.targets))


class _Places:
    """Gathers where targets stand, block by block.

    What is kept of a block is written into arrays that are there from the start: small arrays that
    stay between large ones that come and go would keep memory from being used again (5 GB for
    Beauty's 22,363 users).

    Args:
        cases: how many there are.
        distinct: the IDs; None for a recommender that scores items.
        alike: whether items that share an ID always score alike.
        items: of the catalogue.
    """

    def __init__(self, cases: int, distinct: _Distinct | None, alike: bool, items: int) -> None:
        self.distinct, self.alike, self.items = distinct, alike, items
        self.ranks = Ranks(np.zeros(cases, np.int64), np.ones(cases, np.int64))
        self.id_ranks = Ranks(np.zeros(cases, np.int64), np.ones(cases, np.int64))
        self.best = np.empty((cases, min(_SHOWN, items)), np.int64)

    def add(self, rows: slice, scores: Tensor, targets: Tensor) -> None:
        """A block of scores ``(b, items)``, and the target ``(b, 1)`` of each row."""
        _put(self.ranks, rows, scores, targets)
        if self.distinct is not None:
            found = self.distinct.best(scores, self.alike)
            _put(self.id_ranks, rows, found, self.distinct.buckets[targets])
        ten = scores.topk(self.best.shape[1], dim=1)
        self.best[rows] = ten.indices.masked_fill(ten.values == -torch.inf, -1).cpu().numpy()

    def protocol(self, cases: Cases, cutoffs: Sequence[int]) -> Protocol:
        """The figures of all blocks, which were those of ``cases``."""
        distinct, lists = self.distinct, cases.lists
        return Protocol(
            retrieval_figures(self.ranks, cutoffs, lists),
            None if distinct is None else _id_level(self.id_ranks, distinct, cases, cutoffs),
            user_figures(self.ranks, cutoffs, lists),
            coverage(self.best, self.items),
            self.ranks,
            lists,
        )


def _put(ranks: Ranks, rows: slice, scores: Tensor, targets: Tensor) -> None:
    above, tied = count_ranks(scores, scores.gather(1, targets))
    ranks.above[rows], ranks.tied[rows] = above.cpu().numpy(), tied.cpu().numpy()


def _scores(recommender: Recommender[Any], histories: Sequences) -> Tensor:
    """``(b, items)``, all of them numbers; whoever has no history is given what is popular."""
    scores = _known_or_popular(recommender, histories)
    if not bool(torch.isfinite(scores.amax(1)).all()):
        raise DivergedError(
            "a score is not a number, so items cannot be ranked; the model has diverged, train it "
            "again with a lower learning rate"
        )
    return scores


def _known_or_popular(recommender: Recommender[Any], histories: Sequences) -> Tensor:
    """``(b, items)``: interactions of an item in training, where nothing is known of a user."""
    known = np.flatnonzero(histories.lengths)
    if len(known) == len(histories):
        return recommender.score_block(histories)
    met = torch.from_numpy(recommender.items.popularity).to(recommender.device, torch.float32)
    scores = met.repeat(len(histories), 1)
    if len(known):
        own = recommender.score_block(histories.take(known))
        scores[torch.from_numpy(known).to(scores.device)] = own.to(scores.dtype)
    return scores


def _leave_out(
    scores: Tensor, histories: Sequences, offsets: np.ndarray, wanted: np.ndarray
) -> None:
    """Make the items of histories score -inf, but for the targets of the same list.

    Args:
        scores: ``(b, items)``, changed in place.
        histories: of each row.
        offsets: ``(b,)``; an offset plus an item's row is the key of that item in its list.
        wanted: rising keys of all targets.
    """
    rows, lengths = histories.pack()
    users = np.repeat(np.arange(len(lengths)), lengths)
    keys = offsets[users] + rows
    kept = wanted[np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)] == keys
    out = (torch.from_numpy(each[~kept]).to(scores.device) for each in (users, rows))
    scores[tuple(out)] = -torch.inf


def _id_level(
    ranks: Ranks, distinct: _Distinct, cases: Cases, cutoffs: Sequence[int]
) -> dict[str, float]:
    """Figures of distinct IDs; targets of one list that share an ID are one target."""
    lists, buckets = cases.lists, distinct.buckets.cpu().numpy()
    asked = np.stack([lists, buckets[cases.targets]])
    once = np.unique(asked, axis=1, return_index=True)[1]
    return retrieval_figures(Ranks(ranks.above[once], ranks.tied[once]), cutoffs, lists[once])


class _Distinct(NamedTuple):
    """Items by their ID.

    Attributes:
        buckets: ``(items,)`` int64 number of each item's ID.
        first: ``(ids,)`` int64 row of an item that has it.
    """

    buckets: Tensor
    first: Tensor

    @classmethod
    def of(cls, ids: SemanticIDs, device: torch.device) -> _Distinct:
        buckets = bucket_ids(ids.codes)
        first = np.unique(buckets, return_index=True)[1]
        return cls(torch.from_numpy(buckets).to(device), torch.from_numpy(first).to(device))

    def best(self, scores: Tensor, alike: bool) -> Tensor:
        """``(b, items)`` -> ``(b, ids)``, the best of each ID's items; they may be all alike."""
        if alike:
            return scores.index_select(1, self.first)
        none = scores.new_full((len(scores), len(self.first)), -torch.inf)
        return none.scatter_reduce_(1, self.buckets.expand(len(scores), -1), scores, "amax")
