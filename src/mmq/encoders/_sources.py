"""What is to be encoded: the texts and images of an items file, checked early, read in batches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from PIL import Image

from mmq.data._items import ItemColumns, read_display, read_items
from mmq.data._tables import ColumnOption, missing_column
from mmq.encoders._pictures import BadImageError, read_pictures
from mmq.encoders._template import TextTemplate, column_texts
from mmq.errors import DataError


class Sources(NamedTuple):
    """What an items file gives to encode.

    Attributes:
        ids: item ids.
        template: how to make a text, None where texts are left out.
        texts: the columns of the template.
        images: absolute paths, null where an item has none; None where images are left out.
    """

    ids: pa.Array
    template: TextTemplate | None
    texts: pa.Table
    images: pa.ChunkedArray | None


def read_sources(
    items: Path, columns: ItemColumns, template: TextTemplate | None, skip_bad_images: bool
) -> Sources:
    """The sources of an items file, with all checked that can be before hours of encoding.

    Raises:
        DataError: a column is missing or nested, an image file is missing (unless bad ones are
            skipped) or a web address.
        FormatError: the items file is truncated or damaged.
    """
    ids, shown = read_display(items, columns)
    names = template.columns if template else ()
    texts = read_items(items, columns.item_id, names)
    for name in names:
        if name not in texts.column_names:
            option = "--text-columns" if template and template.plain else "--text-template"
            raise missing_column(items, ColumnOption(name, option))
        column_texts(texts.column(name).slice(0, 0), name)
    images = shown.column("image_path") if columns.image is not None else None
    if images is not None:
        _check_images(ids, images.to_pylist(), skip_bad_images)
    return Sources(ids, template, texts.select(list(names)), images)


def text_batches(
    sources: Sources, start: int, size: int
) -> Generator[list[str | None], None, None]:
    """Texts from item ``start`` on; None where an item has none."""
    for row in range(start, len(sources.ids), size):
        assert sources.template is not None
        yield sources.template.fill(sources.texts.slice(row, size))


def image_batches(
    sources: Sources, start: int, size: int, skip_bad: bool
) -> Generator[list[Image.Image | None], None, None]:
    """Images from item ``start`` on; None where an item has none.

    Raises:
        DataError: an image cannot be read; with ``skip_bad`` it is None instead.
    """
    assert sources.images is not None
    paths = sources.images.slice(start).to_pylist()
    with contextlib.closing(read_pictures(paths, ahead=size)) as outcomes:
        row = start
        while batch := list(itertools.islice(outcomes, size)):
            images: list[Image.Image | None] = []
            for offset, outcome in enumerate(batch):
                if isinstance(outcome, BadImageError):
                    if not skip_bad:
                        raise _bad_image(sources.ids[row + offset].as_py(), outcome)
                    outcome = None
                images.append(outcome)
            yield images
            row += len(batch)


def _bad_image(item: Any, error: BadImageError | str) -> DataError:
    return DataError(
        f"item {item!r}: {error}; replace the file and go on with --resume, or leave such images "
        "out with --skip-bad-images"
    )


def _check_images(ids: pa.Array, paths: Sequence[str | None], skip_bad: bool) -> None:
    for row, path in enumerate(paths):
        if path is None:
            continue
        if "://" in path:
            raise DataError(
                f"the image of item {ids[row].as_py()!r} is a web address ({path}); download the "
                "images first and give their paths"
            )
        if not skip_bad and not Path(path).is_file():
            raise _bad_image(ids[row].as_py(), f"there is no image {path}")
