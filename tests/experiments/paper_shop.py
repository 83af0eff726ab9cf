"""A shop that is small enough for a table in seconds, and rows of a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.paper.prepare import Request, prepare
from experiments.paper.reproduce import reproduce
from experiments.paper.scales import scale_of
from mmq import Catalogue, write_catalogue
from mmq._formats import read_json
from mmq.data._interactions import Interactions, write_interactions

TINY: dict[str, Any] = {
    "trials": 1,
    "cold_share": 0.1,
    "min_interactions": 3,
    "tokenizers": {"codebook_size": 8, "epochs": 2, "latent_dim": 8, "batch_size": 64},
    "behaviour": {"dimension": 8},
    "heterrec": {"hidden_dim": 8, "heads": 2, "history": 8, "epochs": 1},
    "sasrec": {"hidden_dim": 8, "heads": 2, "history": 8, "epochs": 1},
    "ppnet": {"epochs": 1, "hidden": [8], "embedding_dim": 4},
    "retrieval_stage2": {"epochs": 2},
    "ranking_stage2": {"epochs": 2},
}

ITEMS, USERS, EACH = 60, 80, 10


def write_shop(folder: Path, ratings: bool = True) -> Path:
    """Customers who go through the items with steps of one to three, one after the other.

    What is near looks alike.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    places = 2 * np.pi * np.arange(ITEMS)[:, None] / ITEMS
    looks = np.concatenate([np.sin(places * [1, 2, 3]), np.cos(places * [1, 2, 3])], axis=1)
    embeddings = {
        name: looks @ rng.normal(size=(6, width)) + 0.1 * rng.normal(size=(ITEMS, width))
        for name, width in (("text", 8), ("image", 6))
    }
    items = np.arange(ITEMS)
    write_catalogue(folder / "catalogue.parquet", Catalogue.build(items, embeddings))
    steps = rng.integers(1, 4, (USERS, EACH)).cumsum(axis=1)
    columns = {
        "user_id": np.repeat(np.arange(USERS), EACH),
        "item_id": ((rng.integers(0, ITEMS, (USERS, 1)) + steps) % ITEMS).ravel(),
        "timestamp": np.arange(USERS * EACH),
    }
    if ratings:
        columns["rating"] = rng.choice([2.0, 4.0, 5.0], USERS * EACH)
    write_interactions(folder / "interactions.parquet", Interactions.build(columns))
    return folder


def request(data: Path, out: Path, **changes: Any) -> Request:
    """Table 1 of one seed, or what the changes make of it."""
    values = {
        "artefacts": ("table1",),
        "scale_name": "small",
        "seeds": 1,
        "device": "cpu",
        **changes,
    }
    scale = scale_of("small", {**TINY, **values.pop("settings", {})})
    return Request(data=data, out=out, scale=scale, **values)


def make(wanted: Request, jobs: int = 2) -> tuple[dict[str, Any], list[str]]:
    """The results of a reproduction, and the names of the cells that were made for them."""
    made: list[str] = []
    found = reproduce(prepare(wanted), jobs, lambda done: made.append(done.cell.name))
    return found, made


def figures(out: Path) -> dict[str, Any]:
    """What ``results.json`` says of the methods: all but time, memory and where it was made."""
    found = read_json(out / "results.json", "results")
    for passing in ("seconds", "peak_memory_mb", "commits"):
        found["cells"].pop(passing, None)
    del found["provenance"]
    return found
