"""PCA of one modality, kept with the catalogue so that new items are reduced alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from mmq.errors import DataError


@dataclass(frozen=True, eq=False)
class Reduction:
    """A centred projection onto the leading principal components.

    Attributes:
        mean: ``(in,)`` float32.
        components: ``(in, out)`` float32, orthonormal columns, largest variance first.
        explained: ``(1,)`` share of the variance that is kept.
    """

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray

    @classmethod
    def fit(cls, matrix: np.ndarray, dimension: int) -> Reduction:
        """PCA of the rows of ``matrix`` ``(items, in)`` to ``dimension`` components.

        The sign of each component is fixed (its largest entry is positive), so that two machines
        agree.

        Raises:
            DataError: ``dimension`` is not between 1 and what the data can carry.
        """
        items, width = matrix.shape
        if not 1 <= dimension <= min(width, items - 1):
            raise DataError(
                f"cannot reduce {items} rows of {width} dimensions to {dimension}; "
                f"choose --reduce between 1 and {min(width, items - 1)}"
            )
        rows = matrix.astype(np.float64)
        mean = rows.mean(axis=0)
        if rows.var(axis=0).sum() <= 1e-12 * np.square(mean).sum():
            raise DataError(
                "the rows that a PCA should learn from are all alike; leave that modality out"
            )
        values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(width, width))
        components = vectors[:, ::-1][:, :dimension]
        largest = components[np.abs(components).argmax(axis=0), np.arange(dimension)]
        components = components * np.where(largest < 0, -1.0, 1.0)
        kept = values[::-1][:dimension].sum() / max(values.sum(), np.finfo(float).tiny)
        return cls(
            mean.astype(np.float32),
            components.astype(np.float32),
            np.array([kept], dtype=np.float32),
        )

    def apply(self, matrix: np.ndarray) -> np.ndarray:
        """``(items, in)`` -> ``(items, out)`` float32.

        Raises:
            DataError: another number of dimensions than the reduction was fitted on.
        """
        if matrix.shape[1] != len(self.mean):
            raise DataError(
                f"the embedding has {matrix.shape[1]} dimensions, the reduction was fitted on "
                f"{len(self.mean)}; embed with the same encoder"
            )
        reduced: np.ndarray = (matrix.astype(np.float32) - self.mean) @ self.components
        return reduced

    def fingerprint(self) -> str:
        """Short content hash, to tell two reductions apart."""
        parts = self.tensors().values()
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]

    def tensors(self) -> dict[str, np.ndarray]:
        """Arrays to store; ``Reduction(**tensors)`` reads them back."""
        return {
            "mean": np.ascontiguousarray(self.mean),
            "components": np.ascontiguousarray(self.components),
            "explained": np.ascontiguousarray(self.explained),
        }
