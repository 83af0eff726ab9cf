"""Which embeddings an item's semantic ID has: one a code, or one a prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmq.metrics.buckets import BucketIndex
from mmq.semantic_ids import SemanticIDs


class CodeFeatures(NamedTuple):
    """Numbers the embeddings of semantic IDs.

    Attributes:
        size: embeddings in all.
        rows: ``(items, length)`` codes -> ``(items, length)`` int64 numbers below ``size``.
    """

    size: int
    rows: Callable[[np.ndarray], np.ndarray]


def single_codes(ids: SemanticIDs) -> CodeFeatures:
    """One embedding for each code of each position."""
    size, offsets = _side_by_side(ids.codebook_sizes)
    return CodeFeatures(size, lambda codes: codes.astype(np.int64) + offsets)


def prefixes(ids: SemanticIDs) -> CodeFeatures:
    """One embedding for each prefix that occurs (prefix n-grams, Singh et al. 2024).

    A prefix of a new item that no item had has the embedding that all new ones of its length share.
    """
    known = [BucketIndex.build(ids.codes[:, : end + 1])[0] for end in range(ids.length)]
    size, offsets = _side_by_side([len(each) + 1 for each in known])

    def rows(codes: np.ndarray) -> np.ndarray:
        found = [index.find(codes[:, : end + 1]) for end, index in enumerate(known)]
        numbers: np.ndarray = np.stack(found, 1) + 1 + offsets
        return numbers

    return CodeFeatures(size, rows)


def _side_by_side(sizes: Sequence[int]) -> tuple[int, np.ndarray]:
    """The sum of some sizes, and where each begins."""
    ends = np.cumsum(sizes)
    return int(ends[-1]), ends - sizes


CODE_FEATURES = {"codes": single_codes, "prefixes": prefixes}
"""Values of the setting ``code_features``."""
