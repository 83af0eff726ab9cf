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


class Pairs(NamedTuple):
    """How often items occur together, both ways round.

    Attributes:
        first: ``(pairs,)`` int64.
        second: ``(pairs,)`` int64.
        counts: ``(pairs,)`` int64.
    """

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray


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
    pairs = count_pairs(histories, items, settings.window)
    information = _information(pairs, items, settings)
    kept = information > 0
    present, met = np.zeros((2, items), bool)
    present[pairs.first[kept]] = True  # smoothing may tell first from second
    met[pairs.second[kept]] = True
    if present.sum() < settings.dimension:
        raise DataError(
            f"{present.sum():,} items occur together with others in the histories more than by "
            f"chance (shift {settings.shift:g}), which is too few for an embedding of "
            f"{settings.dimension} dimensions; choose fewer, a lower shift or a longer log"
        )
    known = int((present | met).sum())
    place = np.cumsum(present | met) - 1
    rows = np.stack([place[pairs.first[kept]], place[pairs.second[kept]]])
    sparse = torch.sparse_coo_tensor(
        torch.from_numpy(rows),
        torch.from_numpy(information[kept]),
        (known, known),
        check_invariants=True,
    )
    width = min(settings.dimension + _OVERSAMPLED, known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        left, values, _ = torch.svd_lowrank(sparse.coalesce(), q=width, niter=_POWERS)
    scaled = left[:, : settings.dimension] * values[: settings.dimension].sqrt()
    matrix = np.zeros((items, settings.dimension), np.float32)
    matrix[present] = scaled.numpy()[place[present]]
    return BehaviourEmbeddings(matrix, present)


def count_pairs(histories: Sequences, items: int, window: int) -> Pairs:
    """How often two different items are at most ``window`` apart in a history."""
    rows, lengths = histories.pack()
    users = np.repeat(np.arange(len(lengths)), lengths)
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    waiting: list[np.ndarray] = []
    for distance in range(1, min(window, int(lengths.max(initial=1)) - 1) + 1):
        together = users[distance:] == users[:-distance]
        first, second = rows[:-distance][together], rows[distance:][together]
        both = first != second
        low = np.minimum(first, second)[both]
        waiting.append(low * items + np.maximum(first, second)[both])
        if sum(map(len, waiting)) > _PAIRS:
            keys, counts = _counted(keys, counts, waiting)
            waiting = []
    keys, counts = _counted(keys, counts, waiting)
    low, high = keys // items, keys % items
    return Pairs(
        np.concatenate([low, high]), np.concatenate([high, low]), np.concatenate([counts, counts])
    )


def _counted(
    keys: np.ndarray, counts: np.ndarray, more: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys and their counts, once more keys are taken up."""
    new, times = np.unique(np.concatenate([np.empty(0, np.int64), *more]), return_counts=True)
    merged, place = np.unique(np.concatenate([keys, new]), return_inverse=True)
    total = np.zeros(len(merged), np.int64)
    np.add.at(total, place, np.concatenate([counts, times]))
    return merged, total


def _information(pairs: Pairs, items: int, settings: BehaviourSettings) -> np.ndarray:
    """``(pairs,)`` float32 shifted mutual information; what is not positive is to be left out."""
    counts = pairs.counts.astype(np.float64)
    each = np.bincount(pairs.first, weights=counts, minlength=items)
    company = each**settings.smoothing
    share = company[pairs.second] / company.sum()
    information = np.log(counts / (each[pairs.first] * share)) - np.log(settings.shift)
    result: np.ndarray = information.astype(np.float32)
    return result
