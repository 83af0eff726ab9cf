"""A small shop whose customers walk through it in order, on disk for the verbs of retrieval."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmq import Catalogue, SemanticIDs, write_catalogue
from mmq.cli import main
from mmq.data._interactions import Interactions, write_interactions
from mmq.semantic_ids import build_manifest

ITEMS, SOLD, USERS = 45, 40, 60
SIZES = [4, 4, 4]
SMALL = ["--set", "hidden_dim=16", "--set", "heads=2", "--set", "epochs=2"]
GENRES = ["Action|Comedy", "Comedy", "Drama, Action"]


def codes(items: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 4, (60, 3))[:items]  # the first are the same however many there are


def table(items: int = ITEMS, tokenizer: str | None = "5f0c") -> SemanticIDs:
    reference = None if tokenizer is None else {"name": "mmq", "fingerprint": tokenizer}
    manifest = build_manifest(SIZES, tokenizer=reference)
    return SemanticIDs.build(range(items), codes(items), SIZES, manifest)


def columns() -> dict[str, np.ndarray]:
    """Eight purchases of every user, each one to three items further on, and one that failed."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(USERS), 9)
    steps = rng.integers(1, 4, (USERS, 9)).cumsum(1)
    items = (rng.integers(0, SOLD, (USERS, 1)) + steps) % SOLD
    ratings = np.where(np.arange(9) == 4, 2.0, 5.0)
    return {
        "user_id": users + 100,
        "item_id": items.ravel(),
        "timestamp": 1_700_000_000 + np.tile(np.arange(9), USERS) * USERS + users,
        "rating": np.tile(ratings, USERS),
    }


def write_shop(folder: Path) -> None:
    """Write log.parquet, ids.parquet, and catalogue.parquet with more items than have IDs."""
    write_interactions(folder / "log.parquet", Interactions.build(columns()))
    table().write(folder / "ids.parquet")
    items = ITEMS + 5
    titles = {"title": [f"Toy {i}" for i in range(items)], "price": list(range(items))}
    genres = [GENRES[i % 3] for i in range(items)]
    embeddings = {"text": np.random.default_rng(1).normal(size=(items, 4))}
    catalogue = Catalogue.build(range(items), embeddings, {**titles, "genres": genres})
    write_catalogue(folder / "catalogue.parquet", catalogue)


def train(folder: Path, out: str, *options: object) -> int:
    """Train on the log of a shop."""
    log = ["--interactions", folder / "log.parquet", "--out", folder / out]
    return main(["train", "retrieval", *map(str, log), *map(str, options)])


def run(capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err
