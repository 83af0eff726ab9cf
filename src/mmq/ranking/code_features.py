"""Which embeddings an item's semantic ID has: one a code, or one a prefix."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from mmq.metrics.buckets import BucketIndex
from mmq.semantic_ids import SemanticIDs


class CodeFeatures(ABC):
    """Numbers the embeddings of semantic IDs.

    Args:
        ids: the table that is learned from.
    """

    size: int
    """Embeddings in all."""

    @abstractmethod
    def __init__(self, ids: SemanticIDs) -> None: ...

    @abstractmethod
    def rows(self, codes: np.ndarray) -> np.ndarray:
        """``(items, length)`` codes -> ``(items, length)`` int64 numbers below :attr:`size`."""


class SingleCodes(CodeFeatures):
    """One embedding for each code of each position."""

    def __init__(self, ids: SemanticIDs) -> None:
        sizes = np.array(ids.codebook_sizes)
        self._offsets = np.cumsum(sizes) - sizes
        self.size = int(sizes.sum())

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """As :meth:`CodeFeatures.rows`."""
        numbers: np.ndarray = codes.astype(np.int64) + self._offsets
        return numbers


class Prefixes(CodeFeatures):
    """One embedding for each prefix that occurs (prefix n-grams, Singh et al. 2024).

    A prefix of a new item that no item had has the embedding that all new ones of its length share.
    """

    def __init__(self, ids: SemanticIDs) -> None:
        self._known = [BucketIndex.build(ids.codes[:, : end + 1])[0] for end in range(ids.length)]
        sizes = np.array([len(each) + 1 for each in self._known])
        self._offsets = np.cumsum(sizes) - sizes
        self.size = int(sizes.sum())

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """As :meth:`CodeFeatures.rows`."""
        found = [index.find(codes[:, : end + 1]) for end, index in enumerate(self._known)]
        numbers: np.ndarray = np.stack(found, 1) + 1 + self._offsets
        return numbers


CODE_FEATURES: dict[str, type[CodeFeatures]] = {"codes": SingleCodes, "prefixes": Prefixes}
