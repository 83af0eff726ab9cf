"""Image files to upright RGB images, decoded by a few threads ahead of their use."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmq.errors import DataError

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused by their header: decoding them could exhaust the memory."""

MAX_SIDE = 1024
"""Larger images are shrunk to this side as they are decoded; encoders look at far less."""

# Formats that pictures come in. Pillow knows more, some of which start other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")


class BadImageError(DataError):
    """An image file that cannot be used; the message names the file and what is wrong with it."""


def read_picture(path: str | Path) -> Image.Image:
    """The image in a file, upright (EXIF), RGB, on white where transparent, 1024 px at most.

    Raises:
        BadImageError: no such file, not a regular one, not an image, truncated, or above 64
            megapixels.
    """
    if Path(path).exists() and not Path(path).is_file():  # to open a pipe would wait for ever
        raise BadImageError(f"the image {path} is not a regular file")
    try:
        with Image.open(path, formats=_formats()) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:
                image.draft(None, (MAX_SIDE, MAX_SIDE))  # JPEG: decode at 1/2, 1/4 or 1/8
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return _rgb(image)
    except FileNotFoundError:
        raise BadImageError(f"there is no image {path}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass  # Pillow's own limit, above ours
    except Exception as error:  # on damaged files its decoders raise errors of many kinds
        raise BadImageError(f"the image {path} cannot be read ({_reason(error)})") from error
    raise BadImageError(f"the image {path} has more than {MAX_PIXELS // 1_000_000} megapixels")


def read_pictures(
    paths: Sequence[str | None], ahead: int
) -> Generator[Image.Image | BadImageError | None, None, None]:
    """The image of each path in turn: None for None, the error for a file that is no good.

    Args:
        paths: files, None where an item has no image.
        ahead: images to decode ahead of the one that is asked for, at most.
    """
    threads = min(4, os.cpu_count() or 1)
    waiting: deque[Future[Image.Image | BadImageError | None]] = deque()
    _formats()  # Pillow loads its plugins now, not in several threads at once
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for path in paths:
                waiting.append(pool.submit(_outcome, path))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(path: str | None) -> Image.Image | BadImageError | None:
    if path is None:
        return None
    try:
        return read_picture(path)
    except BadImageError as error:
        return error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow would clip them at 255
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    transparent = image.has_transparency_data
    if image.mode not in ("L", "RGB", "RGBA", "CMYK"):
        image = image.convert("RGBA" if transparent else "RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BICUBIC)
    if transparent:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image, or of a format that is not supported"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0] if str(error) else type(error).__name__
