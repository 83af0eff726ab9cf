"""A small log of impressions that keeps to a rule: users like items whose first code is theirs."""

from __future__ import annotations

import functools

import numpy as np

from mmq import SemanticIDs
from mmq.data._interactions import Interactions
from mmq.ranking import PPNet, RankingData
from mmq.semantic_ids import build_manifest

ITEMS, OLD, USERS, ROWS = 60, 40, 40, 2000
"""Items from OLD on are met in the last fifth of the log alone, thus not in training."""

SIZES = (4, 3)
SMALL = {
    "embedding_dim": 4,
    "hidden": (8,),
    "gate_dim": 4,
    "history": 5,
    "batch_size": 100,
    "learning_rate": 0.02,
    "epochs": 3,
}
LEARNED = {"epochs": 8, "learning_rate": 0.03}
"""Enough to learn the rule."""


def codes(items: int = ITEMS) -> np.ndarray:
    """The same for the first items however many there are; every second first code is even."""
    found = np.random.default_rng(3).integers(0, SIZES, (200, 2))
    found[:, 0] += (np.arange(200) - found[:, 0]) % 2 * np.where(found[:, 0] < 3, 1, -1)
    return found[:items]


def table(items: int = ITEMS, tokenizer: str | None = "5f0c") -> SemanticIDs:
    reference = None if tokenizer is None else {"name": "mmq", "fingerprint": tokenizer}
    manifest = build_manifest(SIZES, tokenizer=reference)
    return SemanticIDs.build(names(items), codes(items), SIZES, manifest)


def names(items: int = ITEMS) -> list[str]:
    return [f"item-{row}" for row in range(items)]


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Nine of ten labels tell whether the item's first code is even like the user's number."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, USERS, rows)
    sold = np.where(np.arange(rows) < 0.8 * rows, OLD, ITEMS)
    items = (rng.random(rows) * sold).astype(np.int64)
    kind = (users + codes()[items, 0]) % 2 == 0
    return {
        "user_id": users + 100,
        "item_id": np.array(names())[items],
        "timestamp": 1_700_000_000 + np.arange(rows),
        "label": (kind ^ (rng.random(rows) < 0.1)).astype(np.int8),
    }


@functools.cache
def data() -> RankingData:
    return RankingData.of(Interactions.build(columns()))


@functools.cache
def fitted(with_ids: bool = True, **changes: object) -> PPNet:
    """A small ranker, fitted once; not to be changed."""
    made = PPNet(**{**SMALL, **changes})
    made.fit(data(), table() if with_ids else None)
    return made
