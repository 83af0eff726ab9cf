"""Whether a tokenizer, a model, a log and a catalogue can take part in stage 2 together."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmq.data import Catalogue
from mmq.errors import DataError, SettingsError
from mmq.finetuning._adapters import adapter_of
from mmq.finetuning._moving import Data, Student
from mmq.finetuning._settings import FinetuneSettings
from mmq.semantic_ids import SemanticIDs
from mmq.semantic_ids._manifest import imported_from, is_imported
from mmq.tokenizers._inputs import Inputs
from mmq.tokenizers._soft import SoftTokenizer


def checked_inputs(
    tokenizer: SoftTokenizer[Any, Any],
    student: Student,
    data: Data,
    catalogue: Catalogue,
    settings: FinetuneSettings,
) -> Inputs:
    """Inputs of the items of the student's table, in its order.

    Raises:
        SettingsError: tokenizer or student cannot take part.
        DataError: an item without embedding, IDs that the tokenizer does not give, or data that
            the student was not fitted to.
    """
    _check_tokenizer(tokenizer)
    adapter = adapter_of(student)
    adapter.require_soft(data)
    if settings.mode == "alternating":
        adapter.require_reassignment()
    ids = student.semantic_ids
    _check_not_imported(ids)
    items = catalogue.take(catalogue.rows(ids.item_ids.to_pylist()))
    _check_sizes(tokenizer, ids)
    _check_codes(tokenizer.encode(items), ids)
    return tokenizer.inputs(items)


def _check_tokenizer(tokenizer: Any) -> None:
    if not isinstance(tokenizer, SoftTokenizer):
        raise SettingsError(
            f"{tokenizer.kind} does not learn by gradients, so its IDs cannot be fine-tuned; fit "
            "one of mmq and rqvae"
        )
    tokenizer.require_soft()


def _check_not_imported(ids: SemanticIDs) -> None:
    if is_imported(ids.manifest):
        raise DataError(
            f"the model's semantic IDs were imported from {imported_from(ids.manifest)}, and no "
            "tokenizer of mmq made them, so they cannot be fine-tuned; fit a tokenizer, encode the "
            "catalogue and train the model on these IDs"
        )


def _check_sizes(tokenizer: SoftTokenizer[Any, Any], ids: SemanticIDs) -> None:
    if tokenizer.codebook_sizes != ids.codebook_sizes:
        raise DataError(
            f"the model's IDs have codebooks of {_list(ids.codebook_sizes)} codes, the tokenizer "
            f"has {_list(tokenizer.codebook_sizes)}; give the one that the model's IDs were made of"
        )


def _check_codes(codes: np.ndarray, ids: SemanticIDs) -> None:
    """Raise :class:`DataError` unless these, ``(items, length)``, are those of the table."""
    differ = np.flatnonzero((codes != ids.codes).any(1))
    if len(differ):
        moved = ids.manifest["collisions"] == "move"
        remedy = (
            "encode the catalogue with --collisions rank and train the model on these IDs"
            if moved
            else "give the tokenizer and the catalogue that the model's IDs were made of"
        )
        raise DataError(
            f"{len(differ):,} of the {len(ids):,} items have another ID in the model than the "
            f"tokenizer gives them, {ids.item_ids[int(differ[0])].as_py()!r} among them; {remedy}"
        )


def _list(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
