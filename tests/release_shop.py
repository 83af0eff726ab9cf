"""A small shop whose parts make releases, and a release of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mmq import Catalogue, RQKMeansTokenizer, write_catalogue
from mmq.data._interactions import Interactions, write_interactions
from mmq.ranking import PPNet, RankingData
from mmq.recommenders import HeterRec, Popularity, RetrievalData
from mmq.release import Parts, write_release
from mmq.semantic_ids import SemanticIDs
from mmq.workflows import encode

ITEMS, SOLD, USERS = 40, 36, 50
TYPES = ["boat|toy", "train", "robot"]


def write_shop(folder: Path) -> Parts:
    """Write the parts of a release; the last four items of the catalogue have no ID yet."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    embeddings = {"text": rng.normal(size=(ITEMS, 8)), "image": rng.normal(size=(ITEMS, 6))}
    whole = Catalogue.build(range(1, ITEMS + 1), embeddings, _attributes(folder))
    write_catalogue(folder / "all.parquet", whole)
    write_catalogue(folder / "catalogue.parquet", whole.take(np.arange(SOLD)))
    tokenizer = RQKMeansTokenizer(codebook_size=6)
    tokenizer.fit(whole.take(np.arange(SOLD)))
    tokenizer.save(folder / "tokenizer")
    encode(folder / "catalogue.parquet", folder / "tokenizer", folder / "ids.parquet")
    log = _log()
    write_interactions(folder / "log.parquet", log)
    ids = SemanticIDs.read(folder / "ids.parquet")
    data = RetrievalData.of(log, ids)
    for model in (HeterRec(hidden_dim=16, heads=2, epochs=2), Popularity()):
        model.fit(data)
        model.save(folder / model.kind)
    ranker = PPNet(embedding_dim=4, hidden=(8,), epochs=1)
    ranker.fit(RankingData.of(log), ids)
    ranker.save(folder / "ppnet")
    return parts(folder)


def parts(folder: Path, ids: str = "ids.parquet", model: str = "heterrec") -> Parts:
    """The shop's parts, with one or the other table or recommender."""
    catalogue = "all.parquet" if ids == "more.parquet" else "catalogue.parquet"
    return Parts(
        folder / ids, folder / model, folder / "tokenizer", folder / "ppnet", folder / catalogue
    )


def append(folder: Path) -> Parts:
    """Give the new items IDs in ``more.parquet``; the parts of a release with them."""
    encode(
        folder / "all.parquet",
        folder / "tokenizer",
        folder / "more.parquet",
        append=folder / "ids.parquet",
    )
    return parts(folder, "more.parquet")


def write_releases(folder: Path) -> Path:
    """Releases: "first", "second" with the new items, and "popular" of what is bought most."""
    shop, releases = folder / "shop", folder / "releases"
    write_release(write_shop(shop), releases / "first")
    write_release(append(shop), releases / "second")
    write_release(replace(parts(shop, model="popularity"), ranker=None), releases / "popular")
    return releases


def _attributes(folder: Path) -> dict[str, list[str]]:
    path = folder / "picture.png"
    Image.new("RGB", (300, 200), "teal").save(path)
    titles = [f"Toy {number} <script>alert({number})</script>" for number in range(1, ITEMS + 1)]
    types = [TYPES[number % 3] for number in range(ITEMS)]
    images = [str(path)] * SOLD + ["gone.png"] * (ITEMS - SOLD)
    return {"title": titles, "type": types, "image_path": images}


def _log() -> Interactions:
    """Eight purchases of every user, each one to three items further on."""
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 4, (USERS, 8)).cumsum(1)
    items = (rng.integers(0, SOLD, (USERS, 1)) + steps) % SOLD + 1
    columns = {
        "user_id": np.repeat(np.arange(USERS), 8),
        "item_id": items.ravel(),
        "timestamp": 1_700_000_000 + np.arange(USERS * 8),
        "rating": np.where(rng.random(USERS * 8) < 0.2, 1.0, 5.0),
    }
    return Interactions.build(columns)
