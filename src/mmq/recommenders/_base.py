"""The contract of every recommender for retrieval, and what all of them do alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmq._log_model import LogModel
from mmq.data._item_ids import ItemIndex
from mmq.data._sequences import Packed, Sequences
from mmq.decoding import Decoded, Filters
from mmq.errors import DataError, SettingsError
from mmq.made_from import Checkpoint
from mmq.model import Fit
from mmq.recommenders._batches import padded_left
from mmq.recommenders._candidates import exclude, of_users
from mmq.recommenders._data import RetrievalData, SplitSettings
from mmq.recommenders._dense import top_shared
from mmq.recommenders._folder import (
    FORMAT,
    POPULARITY,
    read_items,
    recommender_card,
    write_items,
)
from mmq.recommenders._measured import Measured
from mmq.recommenders._new_items import NewItems, new_since_training
from mmq.recommenders._results import Items, Recommendations
from mmq.semantic_ids import SemanticIDs
from mmq.settings import Settings

S = TypeVar("S", bound=Settings)

BLOCK = 256
"""Users that are scored at a time."""
ASKED = 50
"""Last items of a history that are asked which of them speaks most for a recommendation."""
_ENTRIES = 1 << 21
"""Answers to that which are in memory at a time."""


class Recommender(LogModel[S], Generic[S]):
    """Scores every item for a history of items.

    Args:
        settings: or their values by name.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
    """

    folder_format = FORMAT
    needs_ids: ClassVar[bool] = False
    """Whether it can only be fitted to items with semantic IDs."""
    reads_order: ClassVar[bool] = True
    """Whether the order of a user's interactions changes what it learns."""

    def __init__(self, settings: S | None = None, *, device: str = "auto", **values: Any) -> None:
        super().__init__(settings, device=device, **values)
        self.split = SplitSettings()
        """Which interactions it was fitted to, so that ``mmq evaluate`` takes the same."""
        self.measured: dict[str, Measured] = {}
        """Of each held-out part, who is measured, and who is left out and why."""
        self.new_items = NewItems(np.zeros(0, bool))
        """Which items are new since training, and the share that they are given."""
        self._items: Items | None = None

    def fit(
        self,
        data: RetrievalData,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Learn from the training part; what is best on the validation part is kept.

        Args:
            data: histories and held-out items; the test part is not looked at.
            checkpoint: what a killed training can go on from, to a result that is the same to the
                bit. Data and settings are added to what it is made from.

        Raises:
            DataError: nothing to learn from, items without the semantic IDs that this kind needs,
                or a training that diverged.
            FormatError: the checkpoint is damaged or of other data or settings.
        """
        if self.needs_ids and data.ids is None:
            raise DataError(
                f"{self.kind} reads semantic IDs and was given none; pass them with the data "
                "(--ids ids.parquet)"
            )
        if not (data.train.lengths > 1).any():
            raise DataError(
                "no user has two interactions in the training part, so there is nothing to learn "
                "from; give a longer log"
            )
        self.load_items(Items(data.item_ids, data.ids, data.popularity()))
        try:
            fit = self._fit(data, checkpoint)
        except BaseException:
            self._items = None  # half-trained weights are no recommender
            raise
        self.figures, self.split, self.measured = fit.figures, data.split, dict(data.measured)
        return fit

    @abstractmethod
    def _fit(self, data: RetrievalData, checkpoint: Checkpoint | None) -> Fit: ...

    @abstractmethod
    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)`` scores of all items for some histories; higher is better."""

    def prepare(self, users: int) -> None:
        """Make once what scoring so many users would make again and again."""

    @abstractmethod
    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The best ``k`` items of some histories that pass the filters."""

    def speaks_for(self, histories: Tensor, rows: Tensor) -> Tensor:
        """``(b, t, k)``: how much each item of a history speaks for each recommended item.

        -inf where it says nothing, as here: a kind that can tell overrides this.

        Args:
            histories: ``(b, t)`` rows of items, oldest first, the last at the end.
            rows: ``(b, k)`` rows of the recommended items.
        """
        return torch.full((*histories.shape, rows.shape[1]), -torch.inf)

    @abstractmethod
    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Go back to what :meth:`tensors` gave; the items are set already."""

    def config(self) -> dict[str, Any]:
        """See :mod:`mmq.recommenders._folder`."""
        return {
            **super().config(),
            "items": len(self.fitted.item_ids),
            "measured": {part: each.to_dict() for part, each in self.measured.items()},
        }

    def card(self, config: Mapping[str, Any]) -> str:
        """Figures, who is measured, settings."""
        sentences = {part: each.sentence() for part, each in self.measured.items()}
        return recommender_card(config, sentences)

    def stored_tensors(self) -> dict[str, np.ndarray]:
        """What was learned, and the interactions of each item."""
        return {POPULARITY: self.fitted.popularity, **self.tensors()}

    def write_files(self, folder: Path) -> dict[str, Any]:
        """The items that it was fitted to, or their IDs."""
        return write_items(folder, self.fitted)

    def take_up(
        self, config: Mapping[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> None:
        """See :meth:`mmq.model.Model.take_up`."""
        self.split = SplitSettings.parse_saved(config["split"])
        self.log_columns = config.get("log_columns")
        self.measured = {
            part: Measured(**each) for part, each in config.get("measured", {}).items()
        }
        self.load_items(read_items(folder, config, tensors.pop(POPULARITY, None)))
        self.restore(tensors, folder)

    @property
    def tells_apart(self) -> bool:
        """Of one that reads IDs: whether items that share one have scores of their own."""
        return False

    @property
    def items(self) -> Items:
        """All items that may be recommended."""
        if self._items is None:
            raise self._unfitted()
        return self._items

    @property
    def fitted(self) -> Items:
        """The items that it was fitted to; those it recommends, unless it was given others."""
        _ = self.items
        return self._fitted

    @property
    def fitted_ids(self) -> SemanticIDs | None:
        """Those of :attr:`fitted`."""
        return self.fitted.ids

    def load_items(self, items: Items) -> None:
        """Take up the items that :meth:`fit` or a saved folder brings."""
        self._fitted = items
        self._set_items(items)

    def show_new_items(self, share: float, recent: np.ndarray | None = None) -> None:
        """Give new items at least this share of everybody's recommendations from now on.

        It is not stored with the model, and ends when the model is given another table. How places
        are shared: :class:`~mmq.recommenders._new_items.NewItems`.

        Args:
            share: 0.05 gives them a twentieth of the places; 0 leaves the order to the scores.
            recent: ``(items,)`` bool, items that are new as well as those that training lacked.

        Raises:
            SettingsError: the share is not between 0 and 1, or no item is new.
        """
        new = new_since_training(self.fitted.item_ids, self.items.item_ids)
        self.new_items = NewItems(new if recent is None else new | recent, share)

    def search(
        self,
        histories: Sequences,
        k: int,
        filters: Filters | None = None,
        beams: int | None = None,
    ) -> Decoded:
        """The best ``k`` items of each history, as rows: ``(b, k)``, -1 where fewer may be given.

        Args:
            histories: rows of items, oldest first, none of them empty.
            k: items wanted.
            filters: what may be given.
            beams: prefixes that a beam search keeps; None scores all items. Only a recommender of
                semantic IDs searches by beams.
        """
        if beams is not None and not self.needs_ids:
            raise SettingsError(
                f"{self.kind} has no semantic IDs to search by beams; leave beams out"
            )
        self.prepare(len(histories))
        parts = []
        for rows, block in _blocks(histories):
            find = partial(self._search, block, k, beams)
            parts.append(self.new_items.found(find, of_users(filters or Filters(), rows)))
        return Decoded(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def _search(self, histories: Sequences, k: int, beams: int | None, filters: Filters) -> Decoded:
        return self.search_block(histories, k, filters, beams)

    def search_or_popular(
        self,
        histories: Sequences,
        k: int,
        allowed: Tensor | None = None,
        exclude_history: bool = False,
        beams: int | None = None,
    ) -> Decoded:
        """:meth:`search`, on the CPU, and the most popular items for histories that are empty.

        Args:
            histories: rows of items, oldest first.
            k: items wanted.
            allowed: ``(items,)`` bool, the items that may be given; None for all.
            exclude_history: whether to leave out what is in the user's own history.
            beams: see :meth:`search`.
        """
        known = np.flatnonzero(histories.lengths)
        own = histories.take(known)
        find = partial(top_shared, self.popularity_scores().cpu(), 1, k)
        popular = self.new_items.found(find, Filters(allowed))
        found = Decoded(*(each.repeat(len(histories), 1) for each in popular))
        if len(known):
            filters = Filters(allowed, exclude(own) if exclude_history else None)
            searched = self.search(own, k, filters, beams)
            found.rows[known], found.scores[known] = (each.cpu() for each in searched)
        return found

    def closest_of_history(self, histories: Sequences, rows: Tensor) -> Tensor:
        """``(b, k)`` row of the history's item that speaks most for each item, -1 for none.

        See :meth:`speaks_for`. Of long histories the last 50 items are asked.

        Args:
            histories: rows of items, oldest first.
            rows: ``(b, k)`` recommended items; -1 is none.
        """
        latest = histories.latest(ASKED)
        parts = [
            self._closest(latest.take(users), rows[users])
            for users in _slices(len(rows), max(1, _ENTRIES // (ASKED * rows.shape[1])))
        ]
        return torch.cat(parts)

    def _closest(self, histories: Sequences, rows: Tensor) -> Tensor:
        padded = padded_left(histories)
        speaks = self.speaks_for(padded.clamp(min=0), rows.clamp(min=0)).cpu()
        best, place = speaks.masked_fill_(padded[..., None] < 0, -torch.inf).max(1)
        return padded.gather(1, place).masked_fill_((best == -torch.inf) | (rows < 0), -1)

    def popularity_scores(self) -> Tensor:
        """``(items,)`` float32 interactions of each item in the training part."""
        return torch.from_numpy(self.items.popularity).float().to(self.device)

    def check_count(self, k: int) -> None:
        """Raise :class:`DataError` if there are not so many items to recommend."""
        known = len(self.items.item_ids)
        if not 1 <= k <= known:
            raise DataError(
                f"{k} recommendations were asked for of {known:,} items; ask for 1 to {known:,}"
            )

    def recommend(
        self,
        histories: Sequence[Sequence[Any]],
        k: int = 10,
        allowed: Iterable[Any] | None = None,
        exclude_history: bool = False,
        beams: int | None = None,
        lenient: bool = False,
    ) -> Recommendations:
        """The best ``k`` items for each history.

        Args:
            histories: item ids of each user, oldest first.
            k: items wanted.
            allowed: ids of the items that may be given; None for all.
            exclude_history: whether to leave out what is in the user's own history.
            beams: see :meth:`search`.
            lenient: leave out what the model does not know, of histories and of ``allowed``,
                instead of refusing all; whose history is empty then is given what is most
                popular.

        Raises:
            DataError: an empty history or an unknown item (unless ``lenient``), ``k`` below 1 or
                above the number of items, or filters that leave nothing to recommend.
        """
        rows = self._history_rows(histories, lenient)
        self.check_count(k)
        self.new_items.require_place(k)
        mask = None if allowed is None else self._allowed(list(allowed), lenient)
        found = self.search_or_popular(rows, k, mask, exclude_history, beams)
        empty = (found.rows[:, 0] < 0).nonzero()[:, 0].tolist()
        if empty:
            raise DataError(
                f"the filters leave nothing to recommend for history {empty[0] + 1}; allow more "
                "items or do not exclude the history"
            )
        lists = [[row for row in each if row >= 0] for each in found.rows.tolist()]
        names = [self.items.item_ids.take(pa.array(each)).to_pylist() for each in lists]
        scores = [
            each[: len(kept)] for each, kept in zip(found.scores.tolist(), lists, strict=True)
        ]
        return Recommendations(names, scores)

    def rows_of(self, item_ids: Any, what: str) -> np.ndarray:
        """Rows of items.

        Raises:
            DataError: one is unknown; the ids that sort beside it are named.
        """
        known = self.items
        rows = self._find.find(item_ids)
        for place in np.flatnonzero(rows < 0)[:1].tolist():
            beside = ", ".join(repr(item) for item in self._find.beside(list(item_ids)[place]))
            raise DataError(
                f"item {list(item_ids)[place]!r} of {what} is none of the "
                f"{len(known.item_ids):,} items of the model; nearest to it are {beside}"
            )
        return rows

    def _set_items(self, items: Items) -> None:
        self._items, self._find = items, ItemIndex(items.item_ids)
        self.new_items = NewItems(new_since_training(self._fitted.item_ids, items.item_ids))

    def _history_rows(self, histories: Sequence[Sequence[Any]], lenient: bool) -> Sequences:
        if not len(histories):
            raise DataError("no history was given; give at least one")
        for history in histories:
            if isinstance(history, str) or not hasattr(history, "__len__"):
                raise DataError(
                    f"{history!r} is no history; give a list of item ids for each user, such as "
                    "[[1, 5, 9]]"
                )
        lengths = np.array([len(history) for history in histories])
        items = [item for history in histories for item in history]
        if lenient:
            rows = self._find.find(items) if items else np.empty(0, np.int64)
            known = rows >= 0
            users = np.repeat(np.arange(len(lengths)), lengths)
            left = np.bincount(users[known], minlength=len(lengths))
            return Sequences.of(Packed(rows[known], left))
        for number in np.flatnonzero(lengths == 0)[:1].tolist():
            raise DataError(
                f"history {number + 1} is empty; give at least one item, or recommend what is "
                "popular to users without a history"
            )
        return Sequences.of(Packed(self.rows_of(items, "the history"), lengths))

    def _allowed(self, item_ids: Sequence[Any], lenient: bool) -> Tensor:
        """``(items,)`` bool of a list."""
        if not item_ids:
            raise DataError("the list of allowed items is empty; allow at least one")
        rows = self._find.find(item_ids) if lenient else self.rows_of(item_ids, "the allowed items")
        mask = torch.zeros(len(self.items.item_ids), dtype=torch.bool)
        mask[torch.from_numpy(rows[rows >= 0])] = True
        return mask


def _blocks(histories: Sequences) -> Iterator[tuple[slice, Sequences]]:
    for rows in _slices(len(histories), BLOCK):
        yield rows, histories.take(rows)


def _slices(users: int, size: int) -> Iterator[slice]:
    for start in range(0, users, size):
        yield slice(start, min(start + size, users))
