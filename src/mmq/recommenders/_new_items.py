"""New items: which they are, and the places that they are given among the recommendations.

*New* is an item that arrived after training: the ID table (or log) of the training lacks it, or it
was first seen after a moment that the user names. An item of that table without interactions is not
new, however rarely it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmq.data._item_ids import ItemIndex
from mmq.decoding import Decoded, Filters
from mmq.errors import SettingsError

_ROUNDING = 1e-9
"""What a share such as 0.3 may be off by, so that no place is lost to it."""


def new_since_training(trained: pa.Array, item_ids: pa.Array) -> np.ndarray:
    """``(items,)`` bool: which of ``item_ids`` the items of the training lack."""
    if item_ids is trained:
        return np.zeros(len(item_ids), bool)
    return np.asarray(ItemIndex(trained).find(item_ids) < 0)


@dataclass(frozen=True, eq=False)
class NewItems:
    """Which items are new, and how many of the places they are given at least.

    Old and new items are ranked apart and merged by their scores, except that among the first n
    places of every list ``share * n`` are of new items, to the nearest whole number (halves up).
    New items that reach their place by score are counted; the others take places ``0.5 / share``,
    ``1.5 / share``, ... (rounded up): of 0.05 the 10th, the 30th. So a shorter list is the
    beginning of a longer one, and nobody's list depends on anybody else's.

    Attributes:
        mask: ``(items,)`` bool: who is new.
        share: 0 to 1; 0 leaves the order to the scores.
    """

    mask: np.ndarray
    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SettingsError(
                f"a share of {self.share} for new items is not between 0 and 1; give 0.05 for a "
                "twentieth of the recommendations"
            )
        if self.share and not self.mask.any():
            raise SettingsError(
                f"none of the {len(self.mask):,} items is new since training, so they cannot be "
                "given a share; give a newer ID table with --ids, or say from when on items are "
                "new with --new-since"
            )

    @property
    def count(self) -> int:
        """How many items are new."""
        return int(self.mask.sum())

    def places(self, k: int) -> int:
        """How many of ``k`` recommendations are new items at least, where so many may be given."""
        return int(self.share * k + 0.5 + _ROUNDING)

    def require_place(self, k: int) -> None:
        """Raise :class:`~mmq.errors.SettingsError` if the share of ``k`` rounds to no place."""
        if self.share and not self.places(k):
            raise SettingsError(
                f"a share of {self.share:g} of {k} recommendations is less than half an item, so "
                f"no new one would be shown; give {0.5 / k:g} or more, or ask for more "
                "recommendations"
            )

    def found(self, find: Callable[[Filters], Decoded], filters: Filters) -> Decoded:
        """The best items that pass the filters, new ones at their places.

        Args:
            find: the best items that pass some filters, best first.
            filters: what may be given.
        """
        if not self.share:
            return find(filters)
        new = torch.from_numpy(self.mask)
        return merged(find(_among(filters, ~new)), find(_among(filters, new)), self.share)

    def placed(self, scores: Tensor) -> Tensor:
        """``(b, items)`` scores by which items stand as :meth:`found` has them; -inf stays."""
        if not self.share:
            return scores
        new = torch.from_numpy(self.mask).to(scores.device)
        old, newer = (_sorted(scores.masked_fill(out, -torch.inf)) for out in (new, ~new))
        order = merged(old, newer, self.share).rows
        places = -torch.arange(order.shape[1], device=scores.device, dtype=torch.float32)
        spare = scores.new_full((len(scores), scores.shape[1] + 1), -torch.inf, dtype=torch.float32)
        return spare.scatter_(1, order % spare.shape[1], places.expand_as(order))[:, :-1]


def merged(old: Decoded, new: Decoded, share: float) -> Decoded:
    """Two rankings in one of the same length ``k``; see :class:`NewItems`.

    Scores stay as they are, so they may rise where a new item was put before its turn.

    Args:
        old: ``(b, k)`` the best old items; row -1 is none.
        new: ``(b, k)`` the best new ones; before an old one of the same score goes the old one.
        share: of the places of new items, above 0.
    """
    k = new.rows.shape[1]
    turn = torch.arange(1, k + 1, device=new.rows.device)
    latest = ((turn.double() - 0.5) / share - _ROUNDING).clamp(max=k + 1).ceil().long()
    # Scores fall from left to right. A new item's place by score is its turn after the old ones
    # that are no worse; both it and the latest place rise with the turn, so no two places meet.
    before = torch.searchsorted(-old.scores.contiguous(), -new.scores.contiguous(), right=True)
    place = torch.minimum(before + turn, latest)
    place = torch.where(new.rows < 0, k + 1, place).clamp(max=k + 1) - 1
    taken = torch.zeros((len(place), k + 1), dtype=torch.bool, device=place.device)
    taken = taken.scatter_(1, place, torch.ones_like(place, dtype=torch.bool))[:, :k]
    source = torch.where(taken, taken.cumsum(1), k + (~taken).cumsum(1)) - 1
    return Decoded(
        *(torch.cat(each, dim=1).gather(1, source) for each in zip(new, old, strict=True))
    )


def _among(filters: Filters, mask: Tensor) -> Filters:
    """The filters, and besides only the items of ``mask`` ``(items,)`` bool."""
    if filters.allowed is not None:
        mask = filters.allowed & mask.to(filters.allowed.device)
    return replace(filters, allowed=mask)


def _sorted(scores: Tensor) -> Decoded:
    """All items of ``scores`` ``(b, items)``, best first; -1 for those of -inf."""
    values, rows = scores.sort(dim=1, descending=True, stable=True)
    return Decoded(rows.masked_fill(values == -torch.inf, -1), values)
