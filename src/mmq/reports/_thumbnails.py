"""Pictures of items, small enough to be kept inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
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
    """Thumbnails of the pictures that can be read; the others are left out.

    A catalogue may name files that are gone, damaged, web addresses or far too large: a report is
    made all the same, its reader sees that there is no picture.
    """
    pictures = read_pictures(list(paths.values()), ahead=_AHEAD)
    return {
        key: _thumbnail(picture)
        for key, picture in zip(paths, pictures, strict=True)
        if isinstance(picture, Image.Image)
    }


def _thumbnail(picture: Image.Image) -> Thumbnail:
    picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(uri, picture.width / picture.height)
