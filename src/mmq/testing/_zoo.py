"""Embeddings of many kinds: what a tokenizer meets that was not made for one catalogue.

Each member is made from a seed and says one thing that embeddings of the world are like. A default
that was found on one of them is tried on the others before it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Embeddings = dict[str, np.ndarray]


class Member(NamedTuple):
    """A kind of embeddings.

    Attributes:
        make: embeddings of a seed: modality -> ``(items, dimension)`` float32, NaN rows missing.
        codebook_size: K that suits so many items.
        about: what it is like, in a few words.
    """

    make: Callable[[int], Embeddings]
    codebook_size: int
    about: str


def _latent(generator: np.random.Generator, items: int, width: int, decay: float) -> np.ndarray:
    """Gaussian rows whose deviations fall as a power of their place, turned at random."""
    rows = generator.normal(size=(items, width)) * np.arange(1, width + 1) ** -decay
    return _turned(generator, rows)


def _turned(generator: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    width = rows.shape[1]
    turned: np.ndarray = rows @ np.linalg.qr(generator.normal(size=(width, width)))[0]
    return turned


def _pair(
    generator: np.random.Generator, items: int, widths: tuple[int, int], decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two modalities that have a fifth of their variance in common."""
    common = generator.normal(size=(items, 16))
    parts = []
    for width in widths:
        own = _latent(generator, items, width, decay)
        shared = common @ generator.normal(size=(16, width))
        own, shared = own / own.std(), shared / shared.std()
        parts.append(np.sqrt(0.8) * own + np.sqrt(0.2) * shared)
    return parts[0], parts[1]


def _in_cone(generator: np.random.Generator, rows: np.ndarray, norm: float) -> np.ndarray:
    """Rows moved along one direction, until their unit vectors' mean has about that norm."""
    direction = generator.normal(size=rows.shape[1])
    length = float(np.sqrt(np.square(rows).sum(1).mean()) / np.linalg.norm(direction))
    moved: np.ndarray = rows + direction * (length * norm / (1 - norm**2) ** 0.5)
    return moved


def _single(**parts: np.ndarray) -> Embeddings:
    return {name: part.astype(np.float32) for name, part in parts.items()}


def cone(seed: int, items: int = 3000) -> Embeddings:
    """As encoders give them: pictures in a cone of .93, sounds in one of .35."""
    generator = np.random.default_rng(seed)
    picture, sound = _pair(generator, items, (128, 128), 0.7)
    return _single(
        picture=_in_cone(generator, picture, 0.93), sound=_in_cone(generator, sound, 0.35)
    )


def clips(seed: int, items: int = 6710) -> Embeddings:
    """Clips with picture and sound, centred: a Gaussian bound of about .27 at 6 codes of 100."""
    generator = np.random.default_rng(seed)
    picture, sound = _pair(generator, items, (128, 128), 1.1)
    return _single(picture=picture, sound=sound)


def few_directions(seed: int, items: int = 3000) -> Embeddings:
    """Four directions have nearly all the variance."""
    generator = np.random.default_rng(seed)
    scale = np.where(np.arange(96) < 4, 10.0, 0.3)
    one, other = (_turned(generator, generator.normal(size=(items, 96)) * scale) for _ in range(2))
    return _single(text=one, image=other)


def clusters(seed: int, items: int = 4000) -> Embeddings:
    """Three hundred tight clusters of unequal size."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.full(300, 0.5))
    member = generator.choice(300, items, p=shares)
    parts = [
        generator.normal(size=(300, 128))[member] + 0.25 * generator.normal(size=(items, 128))
        for _ in range(2)
    ]
    return _single(text=parts[0], image=parts[1])


def heavy_tails(seed: int, items: int = 3000) -> Embeddings:
    """Student's t with two and a half degrees of freedom in every direction."""
    generator = np.random.default_rng(seed)
    parts = [
        _turned(generator, generator.standard_t(2.5, (items, 64)) * np.arange(1, 65) ** -0.5)
        for _ in range(2)
    ]
    return _single(text=parts[0], image=parts[1])


def sparse(seed: int, items: int = 3000) -> Embeddings:
    """Word counts of some thirty topics, weighted: not negative, nearly all zero."""
    generator = np.random.default_rng(seed)
    topics = generator.dirichlet(np.full(1200, 0.02), 30)
    mixture = generator.dirichlet(np.full(30, 0.1), items)
    counts = generator.poisson(40 * mixture @ topics)
    counts[np.arange(items), generator.integers(1200, size=items)] += 1  # none is empty
    weight = np.log((1 + items) / (1 + (counts > 0).sum(0)))
    return _single(text=np.log1p(counts) * weight)


def binary(seed: int, items: int = 3000) -> Embeddings:
    """Tags that an item has or has not, 96 of them."""
    generator = np.random.default_rng(seed)
    taste = generator.normal(size=(items, 6)) @ generator.normal(size=(6, 96)) - 2
    tags = generator.random((items, 96)) < 1 / (1 + np.exp(-taste))
    tags[np.arange(items), generator.integers(96, size=items)] = True
    return _single(tags=tags)


def near_duplicates(seed: int, items: int = 3000) -> Embeddings:
    """Families of ten items that are all but the same."""
    generator = np.random.default_rng(seed)
    family = np.arange(items) // 10
    one, other = (
        part[family] + 0.05 * generator.normal(size=(items, 96))
        for part in _pair(generator, items // 10, (96, 96), 0.6)
    )
    return _single(text=one, image=other)


def duplicates(seed: int, items: int = 3000) -> Embeddings:
    """One item in ten has exactly the embeddings of another."""
    generator = np.random.default_rng(seed)
    one, other = _pair(generator, items, (96, 96), 0.8)
    copies = generator.choice(items, items // 10, replace=False)
    source = generator.integers(items, size=len(copies))
    one[copies], other[copies] = one[source], other[source]
    return _single(text=one, image=other)


def narrow(seed: int, items: int = 3000) -> Embeddings:
    """Eight dimensions: every code has a bit and more for each."""
    generator = np.random.default_rng(seed)
    return _single(text=_latent(generator, items, 8, 0.3))


def wide(seed: int, items: int = 2000) -> Embeddings:
    """4,096 dimensions."""
    generator = np.random.default_rng(seed)
    inner = generator.normal(size=(items, 300)) * np.arange(1, 301) ** -0.8
    rows = inner @ generator.normal(size=(300, 4096)) + 0.5 * generator.normal(size=(items, 4096))
    return _single(text=_in_cone(generator, rows, 0.6))


def unequal(seed: int, items: int = 3000) -> Embeddings:
    """Unit vectors of one modality vary a hundred times as much as those of the other."""
    generator = np.random.default_rng(seed)
    one, other = _pair(generator, items, (96, 96), 0.8)
    return _single(text=one, image=_in_cone(generator, other, 0.995))


def half_missing(seed: int, items: int = 3000) -> Embeddings:
    """Half of the items have no image, some of the others no text."""
    generator = np.random.default_rng(seed)
    one, other = _pair(generator, items, (96, 96), 0.8)
    draw = generator.random(items)
    other[draw < 0.5] = np.nan
    one[draw > 0.9] = np.nan
    return _single(text=one, image=other)


def three_modalities(seed: int, items: int = 3000) -> Embeddings:
    """Text, image and sound, of three widths."""
    generator = np.random.default_rng(seed)
    one, other = _pair(generator, items, (128, 64), 0.8)
    return _single(text=one, image=other, sound=_latent(generator, items, 32, 0.5))


def small(seed: int) -> Embeddings:
    """Two hundred items."""
    generator = np.random.default_rng(seed)
    one, other = _pair(generator, 200, (96, 96), 0.8)
    return _single(text=one, image=other)


def large(seed: int) -> Embeddings:
    """Two hundred thousand items."""
    generator = np.random.default_rng(seed)
    one, other = _pair(generator, 200_000, (48, 32), 0.8)
    return _single(text=one, image=other)


def isotropic(seed: int, items: int = 3000) -> Embeddings:
    """Pure noise: nothing to learn, and nothing that should look as if."""
    return _single(text=np.random.default_rng(seed).normal(size=(items, 64)))


ZOO: Mapping[str, Member] = {
    "cone": Member(cone, 100, "narrow cones, as encoders give them"),
    "clips": Member(clips, 100, "centred, a falling spectrum"),
    "few directions": Member(few_directions, 100, "four directions dominate"),
    "clusters": Member(clusters, 100, "300 tight clusters"),
    "heavy tails": Member(heavy_tails, 100, "outliers"),
    "sparse": Member(sparse, 100, "word counts, 1,200 wide"),
    "binary": Member(binary, 100, "96 tags"),
    "near-duplicates": Member(near_duplicates, 64, "families of ten"),
    "duplicates": Member(duplicates, 100, "one in ten a copy"),
    "narrow": Member(narrow, 100, "8 dimensions"),
    "wide": Member(wide, 64, "4,096 dimensions"),
    "unequal": Member(unequal, 100, "one modality 100 times as varied"),
    "half missing": Member(half_missing, 64, "half without image"),
    "three modalities": Member(three_modalities, 100, "three widths"),
    "small": Member(small, 16, "200 items"),
    "large": Member(large, 256, "200,000 items"),
    "noise": Member(isotropic, 100, "nothing to learn"),
}
