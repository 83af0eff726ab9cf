"""The models of a release, given its ID table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mmq.model
from mmq._model_folder import family_of
from mmq.decoding import codes_fingerprint, read_index
from mmq.errors import DataError, FormatError
from mmq.model import FAMILIES
from mmq.ranking import Ranker
from mmq.recommenders import HeterRec, Recommender
from mmq.semantic_ids import SemanticIDs
from mmq.tokenizers import Tokenizer

IDS, INDEX = "ids.parquet", "index.safetensors"


class Models(NamedTuple):
    """What answers.

    Attributes:
        recommender: of the table's items.
        tokenizer: that made the table; None where it was made elsewhere.
        ranker: None where there is none.
    """

    recommender: Recommender[Any]
    tokenizer: Tokenizer[Any] | None
    ranker: Ranker[Any] | None

    def by_family(self) -> dict[str, Any]:
        """Family -> model, for those that are there."""
        given = {
            "tokenizer": self.tokenizer,
            "recommender": self.recommender,
            "ranker": self.ranker,
        }
        return {family: model for family, model in given.items() if model is not None}


def load_models(folders: Mapping[str, Path], ids: SemanticIDs, device: str = "cpu") -> Models:
    """The models of some folders, to which a table is given.

    Args:
        folders: family -> folder; a recommender is among them.
        ids: the table.
        device: where they compute.

    Raises:
        DataError: there is no model, or it recommends items that the table lacks.
        FormatError: a model is damaged, of another family, or of another tokenizer or table.
    """
    loaded = {family: _load(family, folder, device) for family, folder in folders.items()}
    recommender, ranker = loaded["recommender"], loaded.get("ranker")
    if isinstance(recommender, HeterRec):
        _give(recommender, recommender.semantic_ids, ids)
    elif (ids.find(recommender.items.item_ids) < 0).any():
        raise DataError(
            f"the recommender in {folders['recommender']} knows items that the ID table lacks; "
            "give the table of all items (mmq encode)"
        )
    if ranker is not None and ranker.fitted_ids is not None:
        _give(ranker, ranker.fitted_ids, ids)
    return Models(recommender, loaded.get("tokenizer"), ranker)


def map_index(recommender: HeterRec, path: Path) -> None:
    """Let a recommender search in the index of a file, which is mapped and not read.

    Raises:
        DataError: no such file.
        FormatError: it is damaged, or the index of another table.
    """
    ids = recommender.semantic_ids
    index = read_index(path, codes_fingerprint(ids.codes, ids.codebook_sizes))
    recommender.use_index(index)


def _load(family: str, folder: Path, device: str) -> Any:
    found = family_of(folder, FAMILIES)
    if found not in (None, family):
        raise FormatError(f"{folder} holds a {found}, where a {family} was asked for")
    return mmq.model.load(folder, device)


def _give(model: HeterRec | Ranker[Any], fitted: SemanticIDs, ids: SemanticIDs) -> None:
    """Let a model speak of a table; that of its training it has already."""
    if fitted.fingerprint() != ids.fingerprint():
        model.with_ids(ids)
