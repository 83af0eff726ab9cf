"""A log of impressions in its parts: what a ranker learns from and is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data._interactions import Interactions
from mmq.data._log import LogReader
from mmq.data._spool import Spool
from mmq.errors import warn
from mmq.ranking._impressions import BLOCK, Impressions
from mmq.ranking._parts import read_parts, with_histories
from mmq.ranking._settings import RankingSplit
from mmq.ranking._survey import survey
from mmq.ranking._vocabulary import Vocabulary


class RankingData(NamedTuple):
    """A log of impressions in its three parts.

    Attributes:
        vocabulary: the users, items and values of the whole log.
        train: to learn from.
        validation: to tell the best epoch by; histories hold the training part as well.
        test: histories hold the other parts as well.
        split: what counts as positive, and how the log was divided.
        repeated: rows that equal an earlier one in all columns that are read; with ``dedupe``,
            those that were left out.
    """

    vocabulary: Vocabulary
    train: Impressions
    validation: Impressions
    test: Impressions
    split: RankingSplit = RankingSplit()
    repeated: int = 0

    @classmethod
    def of(
        cls,
        log: Interactions | pa.Table | LogReader,
        settings: RankingSplit | None = None,
        columns: Sequence[str] = (),
        spool: Path | None = None,
        item_ids: pa.Array | None = None,
    ) -> RankingData:
        """The data of a log.

        Args:
            log: of impressions: rows with a label, or a rating. :meth:`LogReader.open` reads one
                that is larger than the memory.
            settings: what counts as positive, and how the log is divided.
            columns: names of further columns; those of numbers with fractions are numeric, and
                others that :meth:`LogReader.with_numeric` names, the rest are categories.
            spool: an existing folder for the numbers, which the caller removes; None keeps them
                in memory. Positives, and the times while they are sorted, stay in memory: about 35
                bytes a row.
            item_ids: those that have a semantic ID, where that is known; see ``drop_unknown``.

        Raises:
            DataError: a row has neither label nor rating, the log cannot be divided, or a part of
                it is empty.
        """
        reader = log if isinstance(log, LogReader) else LogReader.of(log, columns)
        asked = settings or RankingSplit()
        split = asked.resolved(reader.names)  # so that other logs are divided so, later
        reader, left_out = kept_rows(reader, split, item_ids)
        space = Spool(spool)
        known = survey(reader, split, space)
        if split.split == "random" != asked.split:
            warn("the log has no timestamps, so a hash of user and item divides its rows at random")
        read, dealt = read_parts(reader, known, space, split.ties == "shuffled")
        users = len(known.vocabulary.users)
        parts = [
            with_histories(read[: number + 1], users, space, None if number else dealt)
            for number in range(len(read))
        ]
        train, validation, test = parts
        repeated = left_out if split.dedupe else known.repeated
        return cls(known.vocabulary, train, validation, test, split, repeated)

    @property
    def parts(self) -> tuple[Impressions, Impressions, Impressions]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    @property
    def item_ids(self) -> pa.Array:
        """The items of the log."""
        return self.vocabulary.items

    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """The positives of the training part: numbers of users, and rows of items."""
        positive = np.asarray(self.train.labels) == 1
        return np.asarray(self.train.users)[positive], np.asarray(self.train.items)[positive]

    def fingerprint(self) -> str:
        """Content hash (SHA-256) of what is learned from and selected on."""
        known = self.vocabulary
        digest = hashlib.sha256(f"{len(known.users)} {len(known.items)}".encode())
        for part in (self.train, self.validation):
            for piece in part.batches(BLOCK):
                columns = (piece.columns, piece.numbers)
                for array in (piece.users, piece.items, piece.labels, *columns, piece.ends):
                    digest.update(np.ascontiguousarray(array).data)
            digest.update(part.positives.rows.data)
        return digest.hexdigest()


def kept_rows(
    reader: LogReader, split: RankingSplit, item_ids: pa.Array | None
) -> tuple[LogReader, int]:
    """The rows that count; and how many were left out as they equal an earlier one.

    Args:
        reader: the log.
        split: what counts; of its ``split`` column nothing is kept unless that divides the log.
        item_ids: those that have a semantic ID, where that is known.

    Raises:
        DataError: none is left.
    """
    unread = [name for name in ("rating",) if "label" in reader.names]
    unread += [name for name in ("split",) if split.split != "stored"]
    reader = reader.without(*unread)
    if split.drop_unknown and item_ids is not None:
        known = reader.with_items(item_ids)
        if known.rows < reader.rows:
            warn(
                f"{reader.rows - known.rows:,} of {reader.rows:,} rows have an item without a "
                "semantic ID and were left out"
            )
        reader = known
    if not split.dedupe:
        return reader, 0
    kept = reader.deduped()
    return kept, reader.rows - kept.rows
