"""How well codebooks are used, how distinct the IDs are, how much of the embeddings they keep.

Entropies are in nats. Functions of ``counts`` take what :func:`code_counts` gives and return one
figure a codebook, ``(length,)``; the figure of a table is their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmq.errors import DataError
from mmq.metrics.buckets import bucket_ids

Counts = Sequence[np.ndarray]


def code_counts(codes: np.ndarray, codebook_sizes: Sequence[int]) -> tuple[np.ndarray, ...]:
    """How many items use each code: one ``(codebook size,)`` int64 array a codebook.

    Args:
        codes: ``(items, length)`` int.
        codebook_sizes: size of each of the ``length`` codebooks.

    Raises:
        DataError: a code is outside its codebook, or another number of codebooks.
    """
    check_codes(codes, codebook_sizes)
    return tuple(
        np.bincount(codes[:, position], minlength=size)
        for position, size in enumerate(codebook_sizes)
    )


def check_codes(codes: np.ndarray, codebook_sizes: Sequence[int]) -> None:
    """Raise :class:`DataError` unless ``codes`` is ``(items, length)`` int within its codebooks."""
    if codes.ndim != 2 or codes.shape[1] != len(codebook_sizes) or len(codebook_sizes) == 0:
        raise DataError(
            f"codes have shape {codes.shape} for {len(codebook_sizes)} codebooks; they should be "
            "(items, length) with one codebook a position"
        )
    if not np.issubdtype(codes.dtype, np.integer):
        raise DataError(f"codes should be whole numbers, not {codes.dtype}")
    if len(codes) == 0:
        return
    smallest, largest = codes.min(axis=0), codes.max(axis=0)
    for position, size in enumerate(codebook_sizes):
        bad = smallest[position] if smallest[position] < 0 else largest[position]
        if not 0 <= bad < size:
            raise DataError(
                f"code {bad} at position {position} is outside its codebook of {size} codes "
                f"(0 to {size - 1}); the codes and the codebook sizes do not belong together"
            )


def entropy(counts: Counts) -> np.ndarray:
    """Token entropy in nats, ``(length,)``: ln K where all K codes are used equally, 0 for one."""
    return _each(counts, _entropy)


def perplexity(counts: Counts) -> np.ndarray:
    """``exp(entropy)``, ``(length,)``: how many equally used codes would be as informative."""
    effective: np.ndarray = np.exp(entropy(counts))
    return effective


def utilisation(counts: Counts) -> np.ndarray:
    """Share of the codes that at least one item uses, ``(length,)``."""
    return _each(counts, lambda count: np.count_nonzero(count) / len(count))


def gini(counts: Counts) -> np.ndarray:
    """Gini coefficient of code usage, ``(length,)``: 0 all used equally, (K - 1) / K only one."""
    return _each(counts, _gini)


def _each(counts: Counts, figure: Callable[[np.ndarray], float]) -> np.ndarray:
    return np.array([figure(count) for count in counts])


def _entropy(count: np.ndarray) -> float:
    used = count[count > 0]
    total = used.sum()
    # p ln (1 / p), not -p ln p: never below zero, and no -0.0 for a single code
    return float((used / total) @ np.log(total / used)) if total else 0.0


def _gini(count: np.ndarray) -> float:
    ordered, size, total = np.sort(count), len(count), count.sum()
    weights = 2 * np.arange(1, size + 1) - size - 1
    return float(weights @ ordered / (size * total)) if total else 0.0


@dataclass(frozen=True)
class Sharing:
    """How items share IDs.

    Attributes:
        distinct_share: distinct IDs / items.
        colliding_items: items that are not alone in their bucket.
        largest_bucket: items of the fullest bucket.
    """

    distinct_share: float
    colliding_items: int
    largest_bucket: int


def sharing(codes: np.ndarray) -> Sharing:
    """How the items of ``codes`` ``(items, length)`` share IDs; at least one item.

    >>> sharing(np.array([[0, 1], [0, 1], [2, 1], [3, 3]]))
    Sharing(distinct_share=0.75, colliding_items=2, largest_bucket=2)
    """
    sizes = np.bincount(bucket_ids(codes))
    return Sharing(len(sizes) / len(codes), int(sizes[sizes > 1].sum()), int(sizes.max()))


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Sums from which the reconstruction error of any number of batches follows; add them up.

    Attributes:
        items: items with this embedding.
        squared_error: sum over items and dimensions of (target - output) ** 2.
        squared_deviation: sum over items and dimensions of (target - mean) ** 2.
        mean: ``(dimension,)`` mean target.
    """

    items: int = 0
    squared_error: float = 0.0
    squared_deviation: float = 0.0
    mean: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @classmethod
    def of(
        cls, target: np.ndarray, output: np.ndarray, present: np.ndarray | None = None
    ) -> Reconstruction:
        """The sums of one batch.

        Args:
            target: ``(items, dimension)`` embeddings.
            output: ``(items, dimension)`` reconstructions.
            present: ``(items,)`` bool; items without the modality count for nothing.
        """
        if present is not None and not present.all():
            target, output = target[present], output[present]
        if len(target) == 0:
            return cls()
        mean = target.mean(axis=0, dtype=np.float64)
        return cls(len(target), _squares(target - output), _squares(target - mean), mean)

    def __add__(self, other: Reconstruction) -> Reconstruction:
        if not self.items or not other.items:
            return self if self.items else other
        items = self.items + other.items
        step = other.mean - self.mean  # Chan's update: exact without a second pass
        between = float(step @ step) * self.items * other.items / items
        return Reconstruction(
            items,
            self.squared_error + other.squared_error,
            self.squared_deviation + other.squared_deviation + between,
            self.mean + step * other.items / items,
        )

    @property
    def l_recon(self) -> float:
        """Squared error, summed over dimensions, mean over the items that have the embedding."""
        return _ratio(self.squared_error, self.items)

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained: 0 perfect, 1 no better than the mean."""
        return (
            self.squared_error / self.squared_deviation if self.squared_deviation else float("nan")
        )


def l_recon(
    parts: Mapping[str, Reconstruction], items: int, squares: Mapping[str, float] | None = None
) -> float:
    """L_recon of all modalities (Eq. 9), missing ones masked: summed over them, mean over items.

    Args:
        parts: modality -> its sums.
        items: all of them, those that lack a modality too.
        squares: modality -> what a squared length is multiplied by, where the sums are of
            embeddings that were scaled.
    """
    weights = squares or dict.fromkeys(parts, 1.0)
    return sum(part.squared_error * weights[name] for name, part in parts.items()) / items


def fvu(parts: Mapping[str, Reconstruction]) -> float:
    """Fraction of variance unexplained: of each modality, mean by the items that have it.

    So a modality counts as much as another, whatever the scale of its embedding.
    """
    seen = [part for part in parts.values() if part.squared_deviation > 0]
    return _ratio(sum(part.fvu * part.items for part in seen), sum(part.items for part in seen))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _squares(values: np.ndarray) -> float:
    return float(np.einsum("nd,nd->", values, values, dtype=np.float64))
