"""What a ranker has embeddings for, and how the ids of any log find theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data.item_ids import ItemIndex
from mmq.errors import DataError
from mmq.ranking.code_features import CodeFeatures
from mmq.ranking.data import Met, RankingData
from mmq.ranking.impressions import BLOCK, Impressions
from mmq.ranking.numbers import Scale, scales
from mmq.ranking.rates import Tally, log_odds
from mmq.semantic_ids import SemanticIDs
from mmq.semantic_ids.manifest import append_command


class Vocabulary(NamedTuple):
    """Who and what occurs in the training part.

    Attributes:
        users: Arrow array of ids; number i has the embedding i + 1, all others have 0.
        items: likewise.
        columns: name of each further column of categories -> Arrow array of values, likewise.
        tallies: how often each user, item and value was shown and liked, in this order.
        numbers: name of each further column of numbers -> its scale.
    """

    users: pa.Array
    items: pa.Array
    columns: dict[str, pa.Array]
    tallies: tuple[Tally, ...]
    numbers: Mapping[str, Scale] = MappingProxyType({})

    @property
    def shown(self) -> np.ndarray:
        """``(items,)`` int64 training impressions of each item."""
        return self.tallies[1].shown

    @classmethod
    def of(cls, data: RankingData) -> Vocabulary:
        """That of the training part."""
        met = data.met
        ids = [met.user_ids, met.item_ids, *met.column_values.values()]
        tallies = [Tally.empty(len(each)) for each in ids]
        for piece in data.train.batches(BLOCK):
            for tally, numbers in zip(tallies, _numbers(piece), strict=True):
                tally.add(numbers, piece.labels)
        users, items, *columns = (
            each.filter(pa.array(tally.shown > 0)) for each, tally in zip(ids, tallies, strict=True)
        )
        values = dict(zip(met.column_values, columns, strict=True))
        known = tuple(tally.met() for tally in tallies)
        return cls(users, items, values, known, scales(data.train, met.numeric))

    def alike(self, other: Vocabulary) -> bool:
        """Whether both are of the same users, items (shown as often) and values of columns.

        Ids may differ in type. Of columns of numbers mean and spread are compared.
        """
        if self.columns.keys() != other.columns.keys() or self.numbers != other.numbers:
            return False
        pairs = [(self.users, other.users), (self.items, other.items)]
        pairs += [(values, other.columns[name]) for name, values in self.columns.items()]
        same = all(one.cast(pa.string()).equals(two.cast(pa.string())) for one, two in pairs)
        return same and np.array_equal(self.shown, other.shown)


class Numbering(NamedTuple):
    """Where the users, items and values of a log have their embeddings.

    Attributes:
        users: ``(users of the log,)`` int64, 0 for those that training did not meet.
        items: ``(items of the log,)`` int64, likewise.
        columns: of each further column of the training, its place among those of the log, and
            ``(values of the log,)`` int64, likewise.
        codes: ``(items of the log, length)`` int64 rows of the embeddings of semantic IDs; None
            without.
        numbers: of each column of numbers of the training, its place among those of the log, and
            its scale.
        tallies: how often users, items and values were shown and liked, by the same numbers.
    """

    users: np.ndarray
    items: np.ndarray
    columns: tuple[tuple[int, np.ndarray], ...]
    codes: np.ndarray | None
    numbers: tuple[tuple[int, Scale], ...]
    tallies: tuple[Tally, ...]

    @classmethod
    def of(
        cls,
        met: Met,
        known: Vocabulary,
        ids: SemanticIDs | None,
        features: CodeFeatures | None,
    ) -> Numbering:
        """That of what occurs in a log.

        Raises:
            DataError: an item has no semantic ID, or a further column of the training is missing.
        """
        read = _kinds(met.column_values, met.numeric)
        trained = _kinds(known.columns, known.numbers)
        for name, kind in trained.items():
            if name not in read:
                raise DataError(
                    f"the model was trained with the column '{name}', which was not read; name it "
                    "with --column"
                )
            if read[name] != kind:
                raise DataError(
                    f"the column '{name}' was one of {kind} in training and is one of {read[name]} "
                    "here; give the columns of numbers with Pieces.with_numeric(..., settled=True)"
                )
        codes = None
        if ids is not None and features is not None:
            codes = features.rows(ids.codes[_id_rows(met.item_ids, ids)])
        places = list(met.column_values)
        columns = tuple(
            (places.index(name), _place(met.column_values[name], values))
            for name, values in known.columns.items()
        )
        users, items = _place(met.user_ids, known.users), _place(met.item_ids, known.items)
        numbers = tuple((met.numeric.index(name), scale) for name, scale in known.numbers.items())
        tallies = tuple(tally.with_others() for tally in known.tallies)
        return cls(users, items, columns, codes, numbers, tallies)

    def column_numbers(self, impressions: Impressions) -> np.ndarray:
        """``(rows, c)`` int64."""
        numbers = [each[impressions.columns[:, place]] for place, each in self.columns]
        return np.stack(numbers, 1) if numbers else np.empty((len(impressions), 0), np.int64)

    def standardised(self, impressions: Impressions) -> np.ndarray:
        """``(rows, numeric columns)`` float32, NaN where there is no number."""
        columns = [scale.apply(impressions.numbers[:, place]) for place, scale in self.numbers]
        shape = (len(impressions), len(columns))
        return np.stack(columns, 1).astype(np.float32) if columns else np.empty(shape, np.float32)

    def log_odds(self, impressions: Impressions, smoothing: float, left_out: bool) -> np.ndarray:
        """``(rows, 2 + c)`` float32 smoothed rates of users, items and values.

        Args:
            impressions: of the log.
            smoothing: see :func:`~mmq.ranking.rates.log_odds`.
            left_out: whether the impressions were counted themselves, which is undone.
        """
        known = [self.users[impressions.users], self.items[impressions.items]]
        numbers = np.column_stack([*known, self.column_numbers(impressions)])
        labels = np.asarray(impressions.labels, np.int64) if left_out else None
        return log_odds(self.tallies, numbers, smoothing, labels)


def _kinds(categories: Iterable[str], numbers: Iterable[str]) -> dict[str, str]:
    """Name of each further column -> what it is of."""
    return dict.fromkeys(categories, "categories") | dict.fromkeys(numbers, "numbers")


def _numbers(piece: Impressions) -> list[np.ndarray]:
    """Users, items and values of further columns of some impressions, ``(rows,)`` each."""
    return [piece.users, piece.items, *piece.columns.T]


def _place(values: pa.Array, known: pa.Array) -> np.ndarray:
    try:
        return ItemIndex(known).find(values) + 1
    except DataError:  # text among what were whole numbers in training
        return ItemIndex(known.cast(pa.string())).find(values) + 1


def _id_rows(item_ids: pa.Array, ids: SemanticIDs) -> np.ndarray:
    rows = ids.find(item_ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise DataError(
            f"{len(missing):,} of the {len(rows):,} items of the log have no semantic ID, "
            f"{item_ids[int(missing[0])].as_py()!r} among them; give them one with "
            f"{append_command(ids.manifest)}, or drop their rows"
        )
    return rows
