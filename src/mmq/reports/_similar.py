"""The items most like one by what their IDs decode to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmq.reports._similarity import unit_rows
from mmq.semantic_ids import SemanticIDs

if TYPE_CHECKING:
    from mmq.tokenizers import Tokenizer

_BLOCK = 65_536


class Similar(NamedTuple):
    """An item like the one asked for.

    Attributes:
        row: its row in the table.
        cosine: of the decoded embeddings, the mean over modalities.
    """

    row: int
    cosine: float


def similar(
    ids: SemanticIDs, tokenizer: Tokenizer[Any], row: int, count: int = 10
) -> list[Similar]:
    """The items whose decoded embeddings point most alike, itself left out, nearest first.

    Items of the same ID have a cosine of 1 and come by rank. The whole table is compared, a block
    at a time. Unlike shared codes, which are alike or not, decoded vectors know which codes are
    near each other.

    Args:
        ids: the table.
        tokenizer: that made it.
        row: of the item.
        count: items wanted.
    """
    own = _directions(tokenizer.decode(ids.codes[row : row + 1]))
    cosines = np.empty(len(ids), np.float32)
    for start in range(0, len(ids), _BLOCK):
        block = _directions(tokenizer.decode(ids.codes[start : start + _BLOCK]))
        cosines[start : start + len(block)] = block @ own[0]
    cosines[row] = -np.inf
    best = np.lexsort((ids.rank, -cosines.round(6)))[: min(count, len(ids) - 1)]
    return [Similar(int(at), float(cosines[at])) for at in best]


def _directions(decoded: dict[str, np.ndarray]) -> np.ndarray:
    """``(items, d)``: modalities of unit length side by side; a product is their mean cosine."""
    parts = [unit_rows(matrix) / np.sqrt(len(decoded)) for matrix in decoded.values()]
    joined: np.ndarray = np.concatenate(parts, axis=1)
    return joined
