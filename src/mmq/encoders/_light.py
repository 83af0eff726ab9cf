"""Light encoders: texts and images to vectors with numpy and Pillow alone.

Nothing is learned, fitted or downloaded: a text or an image always gets the same vector, whatever
comes with it, so new items are embedded like old ones. They know words and colours and edges, not
meanings; a pretrained encoder does better wherever one can be had.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from PIL import Image

_TOKEN = re.compile(r"\w+")
_MIX = np.uint32(0x9E3779B1)
_SLOTS = 4  # signed slots a feature is spread over
_NGRAMS = (3, 4, 5)
_FUNCTION_WORDS = frozenset(  # of English
    re.findall(
        r"\w+",
        "a an and are as at be by can for from has have in into is it its no not of on or our so "
        "that the their them then they this to until was we when which will with you your",
    )
)


class LightTextEncoder:
    """Hashed words, word pairs and character n-grams, as unit vectors.

    Each feature is spread over a few signed slots picked by a stable hash (a sparse random
    projection; Weinberger et al. 2009); counts are damped by ``1 + log``, function words of English
    weigh a fifth. Words that share letters get vectors that are alike.

    Attributes:
        dimension: length of the vectors.

    >>> vectors = LightTextEncoder().encode(["a red kite", "red kites", "steam train"])
    >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    True
    """

    dimension = 512

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """``(texts, dimension)`` float32 of norm 1; texts without words all have the same one."""
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            slots, weights = _features(text, self.dimension)
            rows[row] = np.bincount(slots, weights, minlength=self.dimension)
        return _unit(rows)


class _Word(NamedTuple):
    slots: np.ndarray  # (4 or more,) int64
    weights: np.ndarray  # the same, float32
    key: np.ndarray  # (4,) uint32, to hash pairs with


def _features(text: str, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Slots and weights of all features of a text; weights that share a slot add up."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()) or [""]
    words = [_word(token, dimension) for token in tokens]
    unique = [_word(token, dimension) for token in dict.fromkeys(tokens)]
    counts = Counter(tokens).values()
    slots = [word.slots for word in unique]
    weights = [
        word.weights if count == 1 else word.weights * (1 + math.log(count))
        for word, count in zip(unique, counts, strict=True)
    ]
    keys = np.array([word.key for word in words])
    pair_slots, pair_signs = _hashed((keys[:-1] * _MIX) ^ keys[1:], dimension)
    return np.concatenate([*slots, pair_slots]), np.concatenate([*weights, 0.5 * pair_signs])


@lru_cache(maxsize=32_768)
def _word(token: str, dimension: int) -> _Word:
    """A word: half of its energy in the whole of it, half in its n-grams."""
    padded = f"<{token}>"
    grams = [padded[i : i + n] for n in _NGRAMS for i in range(len(padded) - n + 1)] or [padded]
    digests = [
        blake2b(text.encode(), digest_size=4 * _SLOTS).digest() for text in ("=" + token, *grams)
    ]
    keys = np.frombuffer(b"".join(digests), dtype="<u4").astype(np.uint32).reshape(-1, _SLOTS)
    slots, weights = _hashed(keys, dimension)
    weights[_SLOTS:] *= np.float32(len(grams) ** -0.5)
    return _Word(slots, weights * np.float32(0.2 if token in _FUNCTION_WORDS else 1), keys[0])


def _hashed(keys: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Slots and signs of 32-bit keys, which are mixed once more (the end of MurmurHash3)."""
    bits = keys.ravel()
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    bits ^= bits >> np.uint32(16)
    signs = (bits & np.uint32(1)).astype(np.float32) * 2 - 1
    return ((bits >> np.uint32(1)) % np.uint32(dimension)).astype(np.int64), signs


_SIDE = 64  # pixels an image is resampled to
_CELLS = 8  # cells a side
_ORIENTATIONS = 8
_COLOUR_LEVELS = 4


class LightImageEncoder:
    """A colour grid, a colour histogram and gradient orientations, as unit vectors.

    The grid holds lightness and two opponent colours of 8 x 8 cells, the histogram 64 colours, the
    gradients 8 orientations in 8 x 8 cells (Dalal and Triggs 2005); each part has the same norm.

    Attributes:
        dimension: length of the vectors.
    """

    dimension = 3 * _CELLS**2 + _COLOUR_LEVELS**3 + _ORIENTATIONS * _CELLS**2

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        """``(images, dimension)`` float32 of norm 1; any mode and size, transparency on white."""
        if not images:
            return np.empty((0, self.dimension), dtype=np.float32)
        pixels = np.stack([_pixels(image) for image in images])
        parts = (_colour_grid(pixels), _colour_histogram(pixels), _gradients(pixels))
        return _unit(np.concatenate([_unit(part) for part in parts], axis=1))


def _pixels(image: Image.Image) -> np.ndarray:
    """``(side, side, 3)`` uint8."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def _cells(values: np.ndarray) -> np.ndarray:
    """Mean over each cell: ``(b, side, side, c)`` -> ``(b, cells, cells, c)``."""
    b, step = len(values), _SIDE // _CELLS
    blocks = values.reshape(b, _CELLS, step, _CELLS, step, -1)
    means: np.ndarray = blocks.mean(axis=(2, 4), dtype=np.float32)
    return means


def _colour_grid(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(_cells(pixels) / np.float32(255), -1, 0)
    lightness = (red + green + blue - 1.5) / np.float32(3**0.5)
    opponents = np.stack([lightness, red - green, (red + green) / 2 - blue], axis=-1)
    return opponents.reshape(len(pixels), -1)


def _colour_histogram(pixels: np.ndarray) -> np.ndarray:
    """Square roots of the shares of 4 x 4 x 4 colours (Euclidean distance is then Hellinger's)."""
    levels = (pixels >> 6).astype(np.int64)
    bins = (levels[..., 0] * _COLOUR_LEVELS + levels[..., 1]) * _COLOUR_LEVELS + levels[..., 2]
    size = _COLOUR_LEVELS**3
    bins += np.arange(len(pixels))[:, None, None] * size
    counts = np.bincount(bins.ravel(), minlength=len(pixels) * size).reshape(-1, size)
    return np.sqrt(counts / np.float32(_SIDE**2)).astype(np.float32)


def _gradients(pixels: np.ndarray) -> np.ndarray:
    grey = pixels.mean(axis=3, dtype=np.float32) / 255
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    strength = np.hypot(across, down)
    turn = np.arctan2(down, across) / np.float32(np.pi) % 1  # edges have no direction
    bins = np.minimum((turn * _ORIENTATIONS).astype(np.int64), _ORIENTATIONS - 1)
    cell = np.arange(_SIDE) // (_SIDE // _CELLS)
    place = (np.arange(len(grey))[:, None, None] * _CELLS + cell[:, None]) * _CELLS + cell
    totals = np.bincount(
        (place * _ORIENTATIONS + bins).ravel(),
        strength.ravel(),
        minlength=len(grey) * _CELLS**2 * _ORIENTATIONS,
    )
    return np.sqrt(totals).reshape(len(grey), -1).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = rows / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
