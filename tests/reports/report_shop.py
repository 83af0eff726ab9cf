"""A small shop on disk: catalogue with titles and pictures, its tokenizer, its ID table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmq._model_folder import fingerprint
from mmq.data import Catalogue, CatalogueFile, write_catalogue
from mmq.semantic_ids import CatalogueRef, SemanticIDs, TokenizerRef, build_manifest
from mmq.tokenizers import MMQTokenizer

ITEMS = 300


class Shop(NamedTuple):
    catalogue: Path
    tokenizer: Path
    ids: Path


def titles(items: int) -> list[str | None]:
    return [None if row == 3 else f"Item <b>{row}</b> & 'co'" for row in range(items)]


def make_catalogue(folder: Path, items: int = ITEMS) -> Catalogue:
    """Item 5 lacks its image; two items are equal; of the pictures some are good, some not."""
    rng = np.random.default_rng(0)
    text, image = rng.normal(size=(items, 12)), rng.normal(size=(items, 10))
    image[5] = np.nan
    text[8], image[8] = text[9], image[9]
    pictures: list[str | None] = []
    for row in range(items):
        if row % 2:
            Image.new("RGB", (60, 90), (row % 256, 40, 90)).save(folder / f"{row}.png")
        pictures.append((f"{row}.png", "gone.png", "https://example.org/a.png", None)[row % 4 - 1])
    (folder / "broken.png").write_bytes(b"no picture at all")
    pictures[1::40] = ["broken.png"] * len(pictures[1::40])
    return Catalogue.build(
        range(items),
        {"text": text, "image": image},
        {"title": titles(items), "image_path": pictures},
    )


def encode(catalogue: Path, tokenizer: Path, ids: Path) -> None:
    loaded, file = MMQTokenizer.load(tokenizer), CatalogueFile(catalogue)
    manifest = build_manifest(
        loaded.codebook_sizes,
        tokenizer=TokenizerRef(name="mmq", fingerprint=fingerprint(tokenizer)),
        catalogue=CatalogueRef(fingerprint=file.fingerprint(), items=len(file)),
    )
    codes = loaded.encode(file.read())
    SemanticIDs.build(file.item_ids(), codes, loaded.codebook_sizes, manifest).write(ids)


def make_shop(folder: Path) -> Shop:
    made = Shop(folder / "catalogue.parquet", folder / "tokenizer", folder / "ids.parquet")
    catalogue = make_catalogue(folder)
    write_catalogue(made.catalogue, catalogue)
    tokenizer = MMQTokenizer(codebook_size=8)
    tokenizer.fit(catalogue, hold_out=0.1)
    tokenizer.save(made.tokenizer)
    encode(made.catalogue, made.tokenizer, made.ids)
    return made
