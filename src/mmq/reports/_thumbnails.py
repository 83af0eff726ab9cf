"""Pictures of items, small enough to be kept inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from PIL import Image

from mmq.encoders._pictures import read_pictures

SIZE = (144, 192)
"""Pixels that a thumbnail fits into."""

_QUALITY = 76
_AHEAD = 16


class Thumbnail(NamedTuple):
    """A small picture as a JPEG data URI, and its shape: width over height."""

    uri: str
    shape: float


def thumbnails(paths: Mapping[int, str]) -> dict[int, Thumbnail]:
    """Thumbnails of the pictures that can be read; the others are left out."""
    return {
        key: Thumbnail(_uri(_jpeg(picture)), picture.width / picture.height)
        for key, picture in _small(paths)
    }


def jpegs(paths: Mapping[int, str]) -> dict[int, bytes]:
    """The same as bytes of JPEG files."""
    return {key: _jpeg(picture) for key, picture in _small(paths)}


def _small(paths: Mapping[int, str]) -> Iterator[tuple[int, Image.Image]]:
    """The pictures that can be read, shrunk.

    A catalogue may name files that are gone, damaged, web addresses or far too large: what is made
    of it is made all the same, its reader sees that there is no picture.
    """
    pictures = read_pictures(list(paths.values()), ahead=_AHEAD)
    for key, picture in zip(paths, pictures, strict=True):
        if isinstance(picture, Image.Image):
            picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
            yield key, picture


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
