"""A release in memory: its parts, checked by their hashes, ready to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from mmq.model import FAMILIES
from mmq.recommenders import HeterRec
from mmq.release._code_words import read_code_words
from mmq.release._manifest import ReleaseManifest, ReleaseName, read_manifest
from mmq.release._models import IDS, INDEX, Models, load_models, map_index
from mmq.release._shown import Shown
from mmq.semantic_ids import SemanticIDs

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, eq=False)
class Release:
    """Models that belong together, and what is shown of their items.

    Items have two numbers: their row in the ID table, and the one that the recommender knows them
    by. They are the same for a recommender of semantic IDs.

    Attributes:
        manifest: what the folder says of itself.
        ids: the ID table.
        models: recommender, tokenizer, ranker.
        shown: titles, pictures, attributes; by row of the table.
        code_words: for every position, code -> what its items have in common.
        table_rows: ``(recommender's items,)`` row in the table of each.
        own_rows: ``(items,)`` the recommender's row of each item of the table, -1 for none.
    """

    manifest: ReleaseManifest
    ids: SemanticIDs
    models: Models
    shown: Shown
    code_words: list[dict[str, list[str]]]
    table_rows: np.ndarray
    own_rows: np.ndarray

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """The release in a folder, every file of which is compared with its hash first.

        Args:
            folder: that :func:`write_release` made.
            device: where the models compute.

        Raises:
            DataError: there is none.
            FormatError: a file is missing, damaged, or of a newer mmq.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        manifest.require_files(folder)
        ids = SemanticIDs.read(folder / IDS)
        folders = {family: folder / family for family in FAMILIES if family in manifest.models}
        models = load_models(folders, ids, device)
        if isinstance(models.recommender, HeterRec):
            map_index(models.recommender, folder / INDEX)
        table_rows = ids.find(models.recommender.items.item_ids)
        own_rows = np.full(len(ids), -1)
        own_rows[table_rows] = np.arange(len(table_rows))
        shown, words = Shown(folder, len(ids)), read_code_words(folder)
        return cls(manifest, ids, models, shown, words, table_rows, own_rows)

    @property
    def identity(self) -> ReleaseName:
        """Name and fingerprint."""
        return self.manifest.identity

    def prepare(self) -> None:
        """Make once what every answer would make again: vectors of items, rows of ids."""
        self.models.recommender.prepare(len(self.table_rows))
        if isinstance(self.models.recommender, HeterRec):
            self.models.recommender.prepare_search(len(self.table_rows))
        _ = self.new
        if not pa.types.is_integer(self.ids.item_ids.type):
            _ = self._rows_by_text

    def rows(self, item_ids: Sequence[int | str]) -> np.ndarray:
        """Row in the table of each id, -1 for one that it lacks: ``(m,)`` int64.

        Ids come as clients write them: a number may come as text, and the reverse.
        """
        if pa.types.is_integer(self.ids.item_ids.type):
            numbers = [_whole(each) for each in item_ids]
            known = np.array([each is not None for each in numbers], bool)
            rows = self.ids.find(pa.array([each or 0 for each in numbers], pa.int64()))
            return np.where(known, rows, -1)
        by_text = self._rows_by_text
        return np.array([by_text.get(str(each), -1) for each in item_ids], np.int64)

    def item_ids(self, rows: np.ndarray) -> list[Any]:
        """Ids of rows of the table."""
        ids: list[Any] = self.ids.item_ids.take(pa.array(rows)).to_pylist()
        return ids

    @cached_property
    def _rows_by_text(self) -> dict[str, int]:
        """Row of each id that is a text: a search among sorted texts would be slow for many."""
        return {item: row for row, item in enumerate(self.ids.item_ids.to_pylist())}

    @cached_property
    def new(self) -> np.ndarray:
        """``(items,)`` bool: which items of the table the recommender did not see in training."""
        mask = np.zeros(len(self.ids), bool)
        mask[self.table_rows] = self.models.recommender.new_items.mask
        return mask


def _whole(item_id: int | str) -> int | None:
    """The number that an id is, None where it is none of int64."""
    if isinstance(item_id, str):
        digits = item_id.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            return None
    number = int(item_id)
    return number if number in _INT64 else None
