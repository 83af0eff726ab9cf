"""What users do as one more embedding of an item: which items occur together in their histories.

The embedding is a truncated SVD of the shifted positive pointwise mutual information of
co-occurrence (Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization"),
items in the place of words. Items without company have none.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.errors import DataError
from mmq.settings import Settings

_OVERSAMPLED = 16
_POWERS = 4
_PAIRS = 1 << 24
"""Pairs that are counted at a time."""


class BehaviourSettings(Settings):
    """How an embedding is made of histories."""

    dimension: PositiveInt = 256
    """Width of the embedding."""
    window: PositiveInt = 50
    """Items of a history that count as company: so many before and after."""
    shift: PositiveFloat = 1.0
    """k: log k is taken off the mutual information, so that more pairs count as unrelated."""
    smoothing: float = Field(default=0.75, gt=0, le=1)
    """Power of the counts of the company (Levy, Goldberg & Dagan 2015): below 1, rare company says
    less."""
    missing: Literal["predicted", "left"] = "predicted"
    """What items without history get: the embedding of the item with one that comes nearest to
    what their content lets expect, or none."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the decomposition, which is randomised."""


class BehaviourEmbeddings(NamedTuple):
    """What histories say of items.

    Attributes:
        matrix: ``(items, dimension)`` float32, 0 where missing.
        present: ``(items,)`` bool: whether an item has company in any history, more than by chance.
    """

    matrix: np.ndarray
    present: np.ndarray


def embed_behaviour(
    histories: Sequences, items: int, settings: BehaviourSettings | None = None
) -> BehaviourEmbeddings:
    """An embedding of each item from the histories of the *training* part.

    Args:
        histories: one for each user, by time.
        items: how many there are; rows of the histories are below.
        settings: how.

    Raises:
        DataError: no two items occur together, or fewer than ``dimension`` do.
    """
    settings = settings or BehaviourSettings()
    information = _information(count_pairs(histories, items, settings.window), settings)
    present = information.indptr[1:] > information.indptr[:-1]
    met = np.bincount(information.indices, minlength=items) > 0  # smoothing may tell them apart
    if present.sum() < settings.dimension:
        raise DataError(
            f"{present.sum():,} items occur together with others in the histories more than by "
            f"chance (shift {settings.shift:g}), which is too few for an embedding of "
            f"{settings.dimension} dimensions; choose fewer, a lower shift or a longer log"
        )
    known = int((present | met).sum())
    place = np.cumsum(present | met) - 1
    sparse = _tensor(information, place, known)
    del information
    width = min(settings.dimension + _OVERSAMPLED, known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        left, values, _ = torch.svd_lowrank(sparse, q=width, niter=_POWERS)
    scaled = left[:, : settings.dimension] * values[: settings.dimension].sqrt()
    matrix = np.zeros((items, settings.dimension), np.float32)
    matrix[present] = scaled.numpy()[place[present]]
    return BehaviourEmbeddings(matrix, present)


def count_pairs(histories: Sequences, items: int, window: int) -> csr_array:
    """``(items, items)`` int32, symmetric: how often two items are at most ``window`` apart.

    Pairs are counted some millions at a time; besides these, memory holds 8 bytes for each two
    items that occur together.
    """
    rows, lengths = histories.pack()
    users = np.repeat(np.arange(len(lengths)), lengths)
    counts = csr_array((items, items), dtype=np.int32)
    waiting: list[np.ndarray] = []
    for distance in range(1, min(window, int(lengths.max(initial=1)) - 1) + 1):
        for start in range(0, len(rows) - distance, _PAIRS):
            first = np.arange(start, min(start + _PAIRS, len(rows) - distance))
            together = first[users[first] == users[first + distance]]
            pairs = np.stack([rows[together], rows[together + distance]])
            waiting.append(pairs[:, pairs[0] != pairs[1]])
            if sum(each.shape[1] for each in waiting) > _PAIRS:
                counts = counts + _counted(waiting, items)
                waiting = []
    if waiting:
        counts = counts + _counted(waiting, items)
    counts = (counts + counts.T).tocsr()
    counts.sort_indices()
    return counts


def _counted(pairs: list[np.ndarray], items: int) -> csr_array:
    """Pairs ``(2, n)`` as a matrix, the lower row first."""
    both = np.concatenate(pairs, axis=1).astype(np.int32)
    both.sort(axis=0)
    ones = np.ones(both.shape[1], np.int32)
    return coo_array((ones, tuple(both)), shape=(items, items)).tocsr()


def _information(counts: csr_array, settings: BehaviourSettings) -> csr_array:
    """``(items, items)`` float32 shifted mutual information; what is not positive is left out."""
    each = np.asarray(counts.sum(axis=1, dtype=np.float64))
    company = each**settings.smoothing
    share = company / max(company.sum(), 1.0)
    information = np.empty(counts.nnz, np.float32)
    for start in range(0, counts.nnz, _PAIRS):
        some = slice(start, min(start + _PAIRS, counts.nnz))
        first = np.searchsorted(counts.indptr, np.arange(some.start, some.stop), side="right") - 1
        expected = each[first] * share[counts.indices[some]]
        information[some] = np.log(counts.data[some] / expected) - np.log(settings.shift)
    information[information <= 0] = 0
    result = csr_array((information, counts.indices, counts.indptr), shape=counts.shape)
    result.eliminate_zeros()
    return result


def _tensor(matrix: csr_array, place: np.ndarray, known: int) -> Tensor:
    """The rows and columns of a matrix that have a place, ``(known, known)``."""
    rows = np.repeat(place, np.diff(matrix.indptr))
    where = torch.from_numpy(np.stack([rows, place[matrix.indices]]))
    values, shape = torch.from_numpy(matrix.data), (known, known)
    return torch.sparse_coo_tensor(where, values, shape, check_invariants=True, is_coalesced=True)
