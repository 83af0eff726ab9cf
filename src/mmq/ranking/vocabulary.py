"""What a ranker has embeddings for, and how the ids of any log find theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.errors import DataError
from mmq.ranking.code_features import CodeFeatures
from mmq.ranking.data import Met, RankingData
from mmq.ranking.impressions import BLOCK, Impressions
from mmq.ranking.numbers import Scale, scales
from mmq.semantic_ids import SemanticIDs
from mmq.semantic_ids.lookup import ItemIndex


class Vocabulary(NamedTuple):
    """Who and what occurs in the training part.

    Attributes:
        users: Arrow array of ids; number i has the embedding i + 1, all others have 0.
        items: likewise.
        shown: ``(items,)`` int64 training impressions of each item.
        columns: name of each further column of categories -> Arrow array of values, likewise.
        numbers: name of each further column of numbers -> its scale.
    """

    users: pa.Array
    items: pa.Array
    shown: np.ndarray
    columns: dict[str, pa.Array]
    numbers: Mapping[str, Scale] = MappingProxyType({})

    @classmethod
    def of(cls, data: RankingData) -> Vocabulary:
        """That of the training part."""
        met = data.met
        sizes = [len(each) for each in met.column_values.values()]
        users = np.zeros(len(met.user_ids), np.int64)
        items = np.zeros(len(met.item_ids), np.int64)
        columns = [np.zeros(size, np.int64) for size in sizes]
        for piece in data.train.batches(BLOCK):
            users += np.bincount(piece.users, minlength=len(users))
            items += np.bincount(piece.items, minlength=len(items))
            for place, counts in enumerate(columns):
                counts += np.bincount(piece.columns[:, place], minlength=len(counts))
        values = {
            name: _with_rows(each, counts)
            for (name, each), counts in zip(met.column_values.items(), columns, strict=True)
        }
        known = _with_rows(met.item_ids, items)
        numbers = scales(data.train, met.numeric)
        return cls(_with_rows(met.user_ids, users), known, items[items > 0], values, numbers)

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
    """

    users: np.ndarray
    items: np.ndarray
    columns: tuple[tuple[int, np.ndarray], ...]
    codes: np.ndarray | None
    numbers: tuple[tuple[int, Scale], ...]

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
        numbers = tuple((met.numeric.index(name), scale) for name, scale in known.numbers.items())
        users, items = _place(met.user_ids, known.users), _place(met.item_ids, known.items)
        return cls(users, items, columns, codes, numbers)

    def column_numbers(self, impressions: Impressions) -> np.ndarray:
        """``(rows, c)`` int64."""
        numbers = [each[impressions.columns[:, place]] for place, each in self.columns]
        return np.stack(numbers, 1) if numbers else np.empty((len(impressions), 0), np.int64)

    def standardised(self, impressions: Impressions) -> np.ndarray:
        """``(rows, numeric columns)`` float32, NaN where there is no number."""
        columns = [scale.apply(impressions.numbers[:, place]) for place, scale in self.numbers]
        shape = (len(impressions), len(columns))
        return np.stack(columns, 1).astype(np.float32) if columns else np.empty(shape, np.float32)


def _kinds(categories: Iterable[str], numbers: Iterable[str]) -> dict[str, str]:
    """Name of each further column -> what it is of."""
    return dict.fromkeys(categories, "categories") | dict.fromkeys(numbers, "numbers")


def _with_rows(values: pa.Array, counts: np.ndarray) -> pa.Array:
    return values.filter(pa.array(counts > 0))


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
            f"{item_ids[int(missing[0])].as_py()!r} among them; give them one with mmq encode "
            "--append, or drop their rows"
        )
    return rows
