"""Tiny data for tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmq.data import Catalogue

ITEMS = 200
WIDTHS = {"text": 12, "image": 8}


def tiny_catalogue(
    items: int = ITEMS,
    missing: float = 0.0,
    seed: int = 0,
    widths: Mapping[str, int] | None = None,
) -> Catalogue:
    """Items around a few themes that all modalities show, each with a few looks of its own.

    Args:
        items: how many.
        missing: share of them that lack the last modality.
        seed: of the items; the themes and looks are always the same.
        widths: modality -> width; text and image if not given.
    """
    world, generator = np.random.default_rng(99), np.random.default_rng(seed)
    theme = generator.integers(10, size=items)
    embeddings = {}
    for modality, width in (widths or WIDTHS).items():
        themes, looks = world.normal(size=(10, width)), 0.7 * world.normal(size=(6, width))
        noise = 0.3 * generator.normal(size=(items, width))
        embeddings[modality] = themes[theme] + looks[generator.integers(6, size=items)] + noise
    embeddings[modality][generator.random(items) < missing] = np.nan
    return Catalogue.build(np.arange(items), embeddings)
