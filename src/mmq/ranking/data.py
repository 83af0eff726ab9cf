"""Impressions as numbers: what a ranker learns from and is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmq.data.interactions import Interactions
from mmq.data.sequences import Sequences
from mmq.data.spool import Spool
from mmq.ranking.impressions import BLOCK, Impressions
from mmq.ranking.log import Pieces
from mmq.ranking.parts import positives_of, read_parts
from mmq.ranking.settings import RankingSplit
from mmq.ranking.survey import survey


class Met(NamedTuple):
    """Who and what occurs in a log; numbers of impressions are places in these.

    Attributes:
        user_ids: Arrow array.
        item_ids: Arrow array.
        column_values: name of each further column of categories -> Arrow array.
        numeric: names of the further columns of numbers.
        repeated: rows that equal an earlier one in all columns that are read; with ``dedupe``,
            those that were left out.
    """

    user_ids: pa.Array
    item_ids: pa.Array
    column_values: dict[str, pa.Array]
    numeric: tuple[str, ...] = ()
    repeated: int = 0


class RankingData(NamedTuple):
    """A log of impressions in its three parts.

    Attributes:
        met: who and what occurs in it.
        train: to learn from.
        validation: to tell the best epoch by; histories hold the training part as well.
        test: histories hold the other parts as well.
        split: what counts as liked, and how the log is divided.
    """

    met: Met
    train: Impressions
    validation: Impressions
    test: Impressions
    split: RankingSplit = RankingSplit()

    @classmethod
    def of(
        cls,
        log: Interactions | pa.Table | Pieces,
        settings: RankingSplit | None = None,
        columns: Sequence[str] = (),
        spool: Path | None = None,
    ) -> RankingData:
        """The data of a log.

        Args:
            log: of impressions: rows with a label, or a rating. :meth:`Pieces.open` reads one that
                is larger than the memory.
            settings: what counts as liked, and how the log is divided.
            columns: names of further columns; those of numbers with fractions are numeric, and
                others that :meth:`Pieces.with_numeric` names, the rest are categories.
            spool: an existing folder for the numbers, which the caller removes; None keeps them
                in memory. What users liked, and the times while they are sorted, stay in memory:
                about 35 bytes a row.

        Raises:
            DataError: a row has neither label nor rating, the log cannot be divided, or a part of
                it is empty.
        """
        settings = settings or RankingSplit()
        pieces = log if isinstance(log, Pieces) else Pieces.of(log, columns)
        how = settings.resolved_split(pieces.names)
        if settings.split not in (None, "stored"):
            pieces = pieces.without("split")
        rows = pieces.rows
        if settings.dedupe:
            pieces = pieces.deduped()
        space = Spool(spool)
        known = survey(pieces, settings, space)
        read, dealt = read_parts(pieces, known, space, settings.ties == "shuffled")
        users = len(known.user_ids)
        parts = [
            part.impressions(
                positives_of(read[: number + 1], users), space, None if number else dealt
            )
            for number, part in enumerate(read)
        ]
        again = rows - pieces.rows if settings.dedupe else known.repeated
        met = Met(known.user_ids, known.item_ids, known.values, known.numeric, again)
        resolved = settings.model_copy(update={"split": how})  # for other logs, later
        train, validation, test = parts
        return cls(met, train, validation, test, resolved)

    @property
    def parts(self) -> tuple[Impressions, Impressions, Impressions]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    @property
    def item_ids(self) -> pa.Array:
        """The items of the log."""
        return self.met.item_ids

    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """The positives of the training part: numbers of users, and rows of items."""
        liked = np.asarray(self.train.labels) == 1
        return np.asarray(self.train.users)[liked], np.asarray(self.train.items)[liked]

    def histories(self) -> Sequences:
        """The positives of each user in the training part, oldest first."""
        positives = self.train.positives
        return Sequences(
            positives.items.astype(np.int64), positives.starts[:-1], positives.starts[1:]
        )

    def fingerprint(self) -> str:
        """Content hash (SHA-256) of what is learned from and selected on."""
        digest = hashlib.sha256(f"{len(self.met.user_ids)} {len(self.met.item_ids)}".encode())
        for part in (self.train, self.validation):
            for piece in part.batches(BLOCK):
                columns = (piece.columns, piece.numbers)
                for array in (piece.users, piece.items, piece.labels, *columns, piece.ends):
                    digest.update(np.ascontiguousarray(array).data)
            digest.update(part.positives.items.data)
        return digest.hexdigest()
