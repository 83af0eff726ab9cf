"""What a retrieval model learns from and is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import NonNegativeInt

from mmq.data._cleaning import LogSettings, repeated_rows, shuffled, tied_users, with_items
from mmq.data._cold import Withheld
from mmq.data._interactions import Interactions
from mmq.data._item_ids import ItemIndex, as_item_ids, check_ids
from mmq.data._sequences import Cases, Sequences, held_out_cases, user_sequences
from mmq.data._splits import (
    TEST,
    TRAIN,
    VALIDATION,
    chronological_parts,
    leave_one_out_parts,
    stored_parts,
)
from mmq.errors import DataError
from mmq.recommenders._measured import Measured
from mmq.semantic_ids import SemanticIDs

_PARTS = {
    "leave-one-out": leave_one_out_parts,
    "chronological": chronological_parts,
    "stored": stored_parts,
}


class SplitSettings(LogSettings):
    """Which interactions count, and how they are divided."""

    split: Literal["leave-one-out", "chronological", "stored"] = "leave-one-out"
    """Each user's last item for the test and the one before for validation; or the last tenths of
    the log by time; or the log's own ``split`` column."""
    min_interactions: NonNegativeInt = 5
    """Users and items with fewer are left out (k-core); 0 keeps all."""

    def kept(self, interactions: Interactions, item_ids: pa.Array | None = None) -> Interactions:
        """The interactions that count.

        Args:
            interactions: the log.
            item_ids: items that may be recommended, where that is known.

        Raises:
            DataError: there are none.
        """
        return self.stages(interactions, item_ids)[2]

    def stages(
        self, interactions: Interactions, item_ids: pa.Array | None = None
    ) -> tuple[Interactions, Interactions, Interactions]:
        """The log, its positives, and those that count; takes and raises as :meth:`kept`.

        The log is without rows that are left out for their own sake, if any are.
        """
        if self.dedupe:
            interactions = interactions.filter(~repeated_rows(interactions))
        if self.drop_unknown and item_ids is not None:
            interactions = interactions.filter(with_items(interactions, item_ids))
        log = liked = interactions.positives(self.positive_above)
        if self.min_interactions > 1:
            log = liked.k_core(self.min_interactions)
        if not len(log):
            raise DataError(
                f"no interactions are left of {len(interactions):,} above "
                f"{self.positive_above:g} with {self.min_interactions} a user and item; "
                "give a longer log, or lower positive_above or min_interactions"
            )
        if self.ties == "shuffled":
            log = shuffled(log)
        return interactions, liked, log

    def parts(self, log: Interactions) -> np.ndarray:
        """``(interactions,)`` the part of each of :meth:`kept`; see :mod:`mmq.data._splits`."""
        return _PARTS[self.split](log)


class RetrievalData(NamedTuple):
    """Histories to learn from, and held-out items to be measured on.

    Attributes:
        item_ids: ``(items,)`` Arrow array: the items that may be recommended; a row is a place in
            it.
        ids: their semantic IDs, where there are any.
        train: one sequence for each user.
        validation: cases whose histories are the training part before them.
        test: cases whose histories hold the validation part as well.
        measured: ``validation`` and ``test`` -> who is measured, and who is left out and why.
        split: which interactions count, and how they are divided.
        user_ids: ``(users,)`` Arrow array: those whose numbers stand in the cases.
        ties: users whose test item has the time of the item before it, and of how many; see
            :func:`~mmq.data._cleaning.tied_users`.
    """

    item_ids: pa.Array
    ids: SemanticIDs | None
    train: Sequences
    validation: Cases
    test: Cases
    measured: Mapping[str, Measured] = MappingProxyType({})
    split: SplitSettings = SplitSettings()
    user_ids: pa.Array | None = None
    ties: tuple[int, int] = (0, 0)

    @classmethod
    def of(
        cls,
        interactions: Interactions,
        items: SemanticIDs | Any = None,
        settings: SplitSettings | None = None,
        new_users: bool = False,
    ) -> RetrievalData:
        """The data of an interaction log.

        Args:
            interactions: the log.
            items: semantic IDs of all items that may be recommended, or the items alone (any
                array of ids); None takes those of the log.
            settings: which interactions count, and how they are divided.
            new_users: whether what is held out of users without any history makes cases too. They
                can only be given what is popular.

        Raises:
            DataError: an item of the log is not among ``items``, one of these is null or given
                twice, or nothing is left to learn from or to test on.
        """
        settings = settings or SplitSettings()
        ids = items if isinstance(items, SemanticIDs) else None
        known = None if items is None else as_item_ids(ids.item_ids if ids else items)
        stages = settings.stages(interactions, known)
        log = stages[2]
        item_ids = log.items.ids if known is None else known
        check_ids(item_ids)
        rows = item_rows(log, item_ids, ids)
        part = settings.parts(log)
        train = part == TRAIN
        parts, measured = {}, {}
        for name, number, before in (
            ("validation", VALIDATION, train), ("test", TEST, part != TEST)
        ):  # fmt: skip
            held = part == number
            every = held_out_cases(log, rows, before, held)
            measured[name] = Measured.of(stages, held, every, new_users)
            parts[name] = every if new_users else every.with_history()
            if not len(parts[name].targets):
                raise DataError(
                    f"the {settings.split} split leaves no {name} interaction with a history "
                    f"before it ({len(log):,} interactions); give a longer log or another split"
                )
        sequences = user_sequences(log, rows, train)
        return cls(
            item_ids,
            ids,
            sequences,
            **parts,
            measured=measured,
            split=settings,
            user_ids=log.users.ids,
            ties=tied_users(log, part),
        )

    def cold_cases(self, withheld: Withheld) -> Cases:
        """The interactions with withheld items, each with what its user did before it.

        Raises:
            DataError: an item is not among :attr:`item_ids`.
        """
        rows = item_rows(withheld.rest, self.item_ids)[withheld.order]
        histories = Sequences(rows, withheld.starts, withheld.ends)
        targets = item_rows(withheld.cases, self.item_ids).astype(np.int64)
        return Cases(histories, targets, np.arange(len(targets)))

    def fingerprint(self) -> str:
        """Content hash (SHA-256) of what is learned from and selected on."""
        digest = hashlib.sha256(self.ids.fingerprint().encode() if self.ids else b"no IDs")
        held = self.validation
        for part in (self.train, held.histories):
            for array in part.pack():
                digest.update(np.ascontiguousarray(array).data)
        digest.update(np.ascontiguousarray(held.targets).data)
        return f"{digest.hexdigest()} {len(self.item_ids)}"

    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """Who took what in the training part: numbers of users, and rows of items."""
        packed = self.train.pack()
        return np.repeat(np.arange(len(packed.lengths)), packed.lengths), packed.rows

    def popularity(self) -> np.ndarray:
        """``(items,)`` interactions of each item in the training part."""
        return np.bincount(self.train.pack().rows, minlength=len(self.item_ids))


def item_rows(log: Interactions, item_ids: pa.Array, ids: SemanticIDs | None = None) -> np.ndarray:
    """Row of each interaction's item, ``(interactions,)`` int32.

    Raises:
        DataError: an item is not in the table; the first is named.
    """
    found = ids.find(log.items.ids) if ids is not None else ItemIndex(item_ids).find(log.items.ids)
    missing = np.flatnonzero(found < 0)
    if len(missing):
        raise DataError(
            f"{len(missing):,} of {len(found):,} items of the interactions have no semantic ID or "
            f"are not among the items, {log.items.ids[int(missing[0])].as_py()!r} among them; "
            "give them one too, or leave their interactions out with --drop-unknown"
        )
    rows: np.ndarray = found.astype(np.int32)[log.items.codes]
    return rows
