"""The items of a part: what each modality shows of their latents."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from benchmarks.world.settings import World
from benchmarks.world.tree import DIMENSIONS, OWN, Tree, whitened
from mmq.data import Catalogue

_STYLES = 64
_STYLE_VARIANCE = 0.8
_CONE = math.sqrt(1 / 3)
"""Norm of the mean beside a spread of 1, so that the unit vectors' mean has norm .5."""


class View(NamedTuple):
    """How one modality shows an item.

    Attributes:
        styles: ``(styles, DIMENSIONS)`` what the modality says alone, but for the item's own part.
        weights: ``(DIMENSIONS, width)`` from the latent space to the embedding.
        mean: ``(width,)`` of the embeddings, as encoders have it: they lie in a cone.
    """

    styles: np.ndarray
    weights: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, rng: np.random.Generator, width: int, noise: float) -> View:
        """A random view whose directions are of falling variance, ``1 - noise`` together."""
        axes = np.linalg.qr(rng.standard_normal((width, width)))[0]
        variance = 1 / (np.arange(DIMENSIONS) + 4)
        scale = np.sqrt(variance * (1 - noise) / variance.sum())
        mean = rng.standard_normal(width)
        return cls(
            whitened(rng.standard_normal((_STYLES, DIMENSIONS)), _STYLE_VARIANCE),
            (axes[:, :DIMENSIONS] * scale).T.astype(np.float32),
            (mean * _CONE / np.linalg.norm(mean)).astype(np.float32),
        )


def views(world: World) -> dict[str, View]:
    """Modality -> its view, from the seed."""
    rng = world.generator("maps")
    return {name: View.of(rng, world.width, world.noise) for name in world.modalities}


def catalogue_part(world: World, tree: Tree, part: int) -> Catalogue:
    """The items of a part, in the order of their ids; ``category`` is the top of their taste."""
    rng = world.generator("catalogue", part)
    span = world.span(world.items, part)
    ids = np.arange(span.start, span.stop)
    leaf = tree.leaf_of(ids)
    common = tree.latents[leaf] + _own(rng, len(ids), OWN)
    embeddings = {name: _shown(world, view, rng, common) for name, view in views(world).items()}
    category = np.char.mod("category %02d", tree.top_of(leaf))
    return Catalogue.build(ids, embeddings, {"category": category})


def _shown(world: World, view: View, rng: np.random.Generator, common: np.ndarray) -> np.ndarray:
    """``(items, width)`` unit vectors of one modality."""
    style = view.styles[rng.integers(_STYLES, size=len(common))]
    style = style + _own(rng, len(common), 1 - _STYLE_VARIANCE)
    latent = math.sqrt(world.shared) * common + math.sqrt(1 - world.shared) * style
    shown = rng.standard_normal((len(common), world.width), np.float32)
    shown *= np.float32(math.sqrt(world.noise / world.width))
    shown += latent.astype(np.float32) @ view.weights
    shown += view.mean
    shown /= np.linalg.norm(shown, axis=1, keepdims=True)
    return shown


def _own(rng: np.random.Generator, count: int, variance: float) -> np.ndarray:
    """What no other item shares, in the latent space."""
    own = rng.standard_normal((count, DIMENSIONS), np.float32)
    own *= np.float32(math.sqrt(variance))
    return own
