"""Candidates -> probabilities, and embeddings -> semantic IDs; beside the recommender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmq.data import Catalogue
from mmq.errors import DataError
from mmq.release import Release
from mmq.serve._problems import ServiceError

Id = int | str


def rank(
    release: Release,
    user_id: Id,
    history: Sequence[Id],
    candidates: Sequence[Id],
    context: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Candidates and their probabilities, most probable first; equal ones as they were given.

    Args:
        release: with a ranker.
        user_id: of the user.
        history: the user's positives, oldest first; what the release does not know is left out.
        candidates: items to judge.
        context: further columns of the ranker.

    Raises:
        ServiceError: the release has no ranker (409).
        DataError: a candidate is unknown, or a column is missing.
    """
    ranker = release.models.ranker
    if ranker is None:
        raise ServiceError(409, "the release has no ranker; make one with mmq release --ranker")
    rows, past = release.rows(candidates), release.rows(history)
    for place in np.flatnonzero(rows < 0)[:1].tolist():
        raise DataError(f"the candidate {candidates[place]!r} is none of the release's items")
    items = release.item_ids(rows)
    scores = ranker.score(user_id, release.item_ids(past[past >= 0]), items, context)
    order = np.argsort(-scores, kind="stable")
    return [{"item_id": items[at], "probability": float(scores[at])} for at in order.tolist()]


def encode(
    release: Release, embeddings: Mapping[str, Sequence[Sequence[float] | None]]
) -> dict[str, Any]:
    """A semantic ID for each item, and which items have it already.

    Args:
        release: with a tokenizer.
        embeddings: modality -> a list of numbers for each item, None where it lacks the modality.

    Raises:
        ServiceError: the release has no tokenizer (409).
        DataError: other modalities or lengths than the tokenizer was fitted on.
    """
    tokenizer = release.models.tokenizer
    if tokenizer is None:
        raise ServiceError(409, "the release has no tokenizer; make one with --tokenizer")
    items = len(next(iter(embeddings.values())))
    widths = tokenizer.dimensions
    matrices = {name: _matrix(name, rows, widths) for name, rows in embeddings.items()}
    codes = tokenizer.encode(Catalogue.build(range(items), matrices))
    found = release.ids.rows_of(codes)
    owners = [
        release.item_ids(found.rows[start:end])
        for start, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]
    return {"semantic_ids": codes.tolist(), "items": owners}


def _matrix(
    name: str, rows: Sequence[Sequence[float] | None], dimensions: Mapping[str, int]
) -> np.ndarray:
    """``(items, dimension)`` float32, NaN throughout where the item lacks the modality."""
    width = dimensions.get(name, 0)
    for row in rows:
        if row is not None and len(row) != width:
            raise DataError(
                f"an embedding '{name[:60]}' has {len(row)} numbers, the tokenizer reads "
                + ", ".join(f"{width} of '{known}'" for known, width in dimensions.items())
            )
    empty = [float("nan")] * width
    return np.array([empty if row is None else row for row in rows], np.float32)
