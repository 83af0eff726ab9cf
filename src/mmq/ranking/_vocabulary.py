"""Who and what there are numbers for: in a log, and in what a ranker has learned from one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data._item_ids import ItemIndex
from mmq.errors import DataError
from mmq.ranking._code_features import CodeFeatures
from mmq.ranking._impressions import BLOCK, Impressions
from mmq.ranking._numbers import Scale, scales
from mmq.ranking._rates import count, log_odds, with_unknown
from mmq.semantic_ids import SemanticIDs
from mmq.semantic_ids._manifest import append_command


class Vocabulary(NamedTuple):
    """The users, items and values that occur; a number is a place among them.

    Attributes:
        users: Arrow array of ids.
        items: likewise.
        columns: name of each further column of categories -> Arrow array of its values.
        numbers: name of each further column of numbers -> its scale, that of the numbers themselves
            before anything is learned.
        counts: of what training saw: ``(n, 2)`` impressions and positives of users, items and
            values, in this order; see :mod:`mmq.ranking._rates`. None of a log as such.
    """

    users: pa.Array
    items: pa.Array
    columns: dict[str, pa.Array]
    numbers: Mapping[str, Scale] = MappingProxyType({})
    counts: tuple[np.ndarray, ...] = ()

    @property
    def shown(self) -> np.ndarray:
        """``(items,)`` int64 training impressions of each item."""
        return self.counts[1][:, 0]

    def seen_in(self, train: Impressions) -> Vocabulary:
        """What of it a training part has, with counts and scales: what a ranker learns of it."""
        values = [self.users, self.items, *self.columns.values()]
        counts = [np.zeros((len(each), 2), np.int64) for each in values]
        for piece in train.batches(BLOCK):
            for each, numbers in zip(counts, _numbers(piece), strict=True):
                count(each, numbers, piece.labels)
        seen = [each[:, 0] > 0 for each in counts]
        users, items, *others = (
            each.filter(pa.array(mask)) for each, mask in zip(values, seen, strict=True)
        )
        columns = dict(zip(self.columns, others, strict=True))
        known = tuple(each[mask] for each, mask in zip(counts, seen, strict=True))
        return Vocabulary(users, items, columns, scales(train, self.numbers), known)

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

    def kinds(self) -> dict[str, str]:
        """Name of each further column -> what it is of."""
        return dict.fromkeys(self.columns, "categories") | dict.fromkeys(self.numbers, "numbers")


class Numbering(NamedTuple):
    """Where the users, items and values of a log have their embeddings.

    Attributes:
        users: ``(users of the log,)`` int64, 0 for those that training did not see, else one more
            than their place in the ranker's vocabulary.
        items: ``(items of the log,)`` int64, likewise.
        columns: of each further column of the training, its place among those of the log, and
            ``(values of the log,)`` int64, likewise.
        codes: ``(items of the log, length)`` int64 rows of the embeddings of semantic IDs; None
            without.
        numbers: of each column of numbers of the training, its place among those of the log, and
            its scale.
        counts: of users, items and values, by the same numbers; see :mod:`mmq.ranking._rates`.
    """

    users: np.ndarray
    items: np.ndarray
    columns: tuple[tuple[int, np.ndarray], ...]
    codes: np.ndarray | None
    numbers: tuple[tuple[int, Scale], ...]
    counts: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls,
        log: Vocabulary,
        known: Vocabulary,
        ids: SemanticIDs | None = None,
        features: CodeFeatures | None = None,
    ) -> Numbering:
        """That of what occurs in a log, by what a ranker knows.

        Raises:
            DataError: an item has no semantic ID, or a further column of the training is missing.
        """
        _require_columns(log, known)
        codes = None
        if ids is not None and features is not None:
            codes = features.rows(ids.codes[_id_rows(log.items, ids)])
        places = list(log.columns)
        columns = tuple(
            (places.index(name), _place(log.columns[name], values))
            for name, values in known.columns.items()
        )
        numeric = list(log.numbers)
        return cls(
            _place(log.users, known.users),
            _place(log.items, known.items),
            columns,
            codes,
            tuple((numeric.index(name), scale) for name, scale in known.numbers.items()),
            tuple(map(with_unknown, known.counts)),
        )

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
            smoothing: see :func:`~mmq.ranking._rates.log_odds`.
            left_out: whether the impressions were counted themselves, which is undone.
        """
        known = [self.users[impressions.users], self.items[impressions.items]]
        numbers = np.column_stack([*known, self.column_numbers(impressions)])
        labels = np.asarray(impressions.labels, np.int64) if left_out else None
        return log_odds(self.counts, numbers, smoothing, labels)


def _require_columns(log: Vocabulary, known: Vocabulary) -> None:
    """Raise :class:`DataError` if a log lacks a column of the training, or has it as another."""
    read = log.kinds()
    for name, kind in known.kinds().items():
        if name not in read:
            raise DataError(
                f"the model was trained with the column '{name}', which was not read; name it with "
                "--column"
            )
        if read[name] != kind:
            raise DataError(
                f"the column '{name}' was one of {kind} in training and is one of {read[name]} "
                "here; give the columns of numbers with LogReader.with_numeric(..., settled=True)"
            )


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
