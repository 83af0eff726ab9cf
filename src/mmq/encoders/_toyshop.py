"""The toyshop as a catalogue: its words and pictures, encoded and reduced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

from mmq.data._catalogue import Catalogue
from mmq.data._datasets.toyshop import Toyshop
from mmq.data._reduction import Reduction
from mmq.encoders import Encoder, ImageEncoder, TextEncoder
from mmq.encoders._light import LightImageEncoder, LightTextEncoder

_BATCH = 256

InputT = TypeVar("InputT")


def embed_toyshop(
    shop: Toyshop,
    text_encoder: TextEncoder | None = None,
    image_encoder: ImageEncoder | None = None,
    dimension: int = 64,
) -> Catalogue:
    """The shop's catalogue: modalities ``text`` and ``image``, attribute ``title``.

    Args:
        shop: the shop; its pictures are drawn in batches and not kept.
        text_encoder: of titles with descriptions; :class:`LightTextEncoder` by default.
        image_encoder: of pictures; :class:`LightImageEncoder` by default.
        dimension: of each modality, after PCA; capped at what the items can carry.
    """
    matrices = {
        "text": _encode(text_encoder or LightTextEncoder(), shop.texts),
        "image": _encode(image_encoder or LightImageEncoder(), shop.pictures()),
    }
    reduced = {}
    for name, matrix in matrices.items():
        width = min(dimension, matrix.shape[1], len(shop) - 1)
        reduced[name] = Reduction.fit(matrix, width).apply(matrix)
    return Catalogue.build(shop.items.column("item_id"), reduced, shop.items.select(["title"]))


def _encode(encoder: Encoder[InputT], values: Iterable[InputT]) -> np.ndarray:
    return np.concatenate([encoder.encode(batch) for batch in _batches(values)])


def _batches(values: Iterable[InputT]) -> Iterator[list[InputT]]:
    iterator = iter(values)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
