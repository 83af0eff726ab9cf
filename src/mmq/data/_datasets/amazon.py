"""Amazon reviews in the public layouts of 2014, 2018 and 2023; the fields of a line tell which."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mmq._progress import bar
from mmq.data._importers import Imported
from mmq.data._interactions import Interactions
from mmq.data._jsonl import Block, blocks, objects, parse_block
from mmq.errors import DataError, FormatError
from mmq.made_from import file_input

_SUFFIXES = (".jsonl.gz", ".json.gz", ".jsonl", ".json")
_REVIEW = pa.schema(
    {
        "reviewerID": pa.string(),  # 2014, 2018
        "user_id": pa.string(),  # 2023
        "asin": pa.string(),
        "parent_asin": pa.string(),  # 2023: the product whose variants the asins are
        "overall": pa.float64(),  # 2014, 2018
        "rating": pa.float64(),  # 2023
        "unixReviewTime": pa.int64(),  # 2014, 2018: seconds
        "timestamp": pa.int64(),  # 2023: milliseconds
    }
)
_ITEM = pa.schema(
    {
        "item_id": pa.string(),
        "title": pa.string(),
        "brand": pa.string(),
        "categories": pa.list_(pa.string()),
        "description": pa.string(),
        "image_url": pa.string(),
    }
)


class AmazonFiles(NamedTuple):
    """The two files of one category."""

    reviews: Path
    metadata: Path

    def inputs(self) -> dict[str, Any]:
        """What they hold; see :mod:`mmq.made_from`."""
        return {name: file_input(path) for name, path in self._asdict().items()}


def find_files(path: str | Path) -> AmazonFiles:
    """The review and the metadata file of a folder, or those that belong to a review file.

    Raises:
        DataError: there are none, or more than one review file.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; check the path")
    if path.is_file() and not path.name.endswith(_SUFFIXES):
        raise DataError(f"{path} is no file of reviews; give one that ends in .json or .jsonl(.gz)")
    folder = path if path.is_dir() else path.parent
    found = sorted(f for f in folder.glob("*.json*") if f.name.endswith(_SUFFIXES))
    metadata = [file for file in found if file.name.startswith("meta_")]
    reviews = [path] if path.is_file() else [file for file in found if file not in metadata]
    if not reviews or not metadata:
        raise DataError(
            f"{path} has no {'review file' if not reviews else 'meta_*.json or .jsonl file'}; give "
            "the folder that holds both, such as reviews_Beauty_5.json.gz and meta_Beauty.json.gz"
        )
    if len(reviews) > 1:
        names = ", ".join(file.name for file in reviews)
        raise DataError(f"{path} has several review files ({names}); give the path of one of them")
    category = _stem(reviews[0]).removeprefix("reviews_").removesuffix("_5")
    own = [file for file in metadata if _stem(file) == f"meta_{category}"]
    if not own and len(metadata) > 1:
        raise DataError(f"{path} has no meta_{category} for {reviews[0].name}; add it")
    return AmazonFiles(reviews[0], (own or metadata)[0])


def read_amazon(path: str | Path) -> Imported:
    """The reviews of one category, and what is known about the items they are on.

    Items have ``item_id`` (the asin; in the 2023 layout the parent asin), ``title``, ``brand``,
    ``categories`` (a list), ``description`` and ``image_url``, each null where it is not given.
    Reviews are kept as they are, repeated ones too; they have a rating and a timestamp.

    Source: https://amazon-reviews-2023.github.io/ and https://nijianmo.github.io/amazon/

    Raises:
        DataError: the folder is of no layout that is known.
        FormatError: a line is neither JSON nor a Python literal, or a gzip file is truncated.
    """
    files = find_files(path)
    reviews = _read_reviews(files.reviews)
    users = pc.coalesce(reviews.column("reviewerID"), reviews.column("user_id"))
    items = pc.coalesce(reviews.column("parent_asin"), reviews.column("asin"))
    if users.null_count or items.null_count:
        raise DataError(
            f"{files.reviews} has {max(users.null_count, items.null_count)} lines without a user "
            "(reviewerID or user_id) or an item (asin); is it a file of Amazon reviews?"
        )
    seconds = pc.multiply(reviews.column("unixReviewTime"), 1000)
    log = Interactions.build(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": pc.coalesce(seconds, reviews.column("timestamp")).cast(pa.timestamp("ms")),
            "rating": pc.coalesce(reviews.column("overall"), reviews.column("rating")),
        }
    )
    is_2023 = reviews.column("reviewerID").null_count == len(reviews)
    layout = "amazon-2023" if is_2023 else "amazon-2014/2018"
    return Imported(layout, _read_metadata(files.metadata, log), log)


def _stem(file: Path) -> str:
    return next(file.name.removesuffix(s) for s in _SUFFIXES if file.name.endswith(s))


def _blocks(path: Path) -> Iterator[Block]:
    """Blocks of a file under a progress bar."""
    size = path.stat().st_size
    with bar(f"reading {path.name}", size, unit="bytes") as advance:
        seen = 0

        def forward(position: int) -> None:
            nonlocal seen
            advance(position - seen)
            seen = position

        yield from blocks(path, advance=forward)


def _read_reviews(path: Path) -> pa.Table:
    tables = []
    for block in _blocks(path):
        try:
            tables.append(parse_block(block, path, _REVIEW))
        except (DataError, FormatError):  # Python literals, or a number where text should be
            tables.append(_slow_reviews(block, path))
    return pa.concat_tables(tables) if tables else _REVIEW.empty_table()


def _slow_reviews(block: Block, path: Path) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in _REVIEW.names}
    for review in objects(block, path, python_literals=True):
        for name, values in columns.items():
            values.append(review.get(name))
    try:
        return pa.table(columns, _REVIEW)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(
            f"{path}, within {len(columns['asin'])} lines from line {block.line} on, has a value "
            f"of another type than Amazon's reviews have: {str(error).splitlines()[0]}"
        ) from error


def _read_metadata(path: Path, log: Interactions) -> pa.Table:
    """A row for each item of the log that the metadata knows; of repeated ones the first."""
    wanted = set(log.items.ids.to_pylist())
    rows = []
    for block in _blocks(path):
        for record in objects(block, path, python_literals=True):
            item = record.get("parent_asin") or record.get("asin")
            if isinstance(item, str) and item in wanted:
                wanted.remove(item)
                rows.append(_item(item, record))
    if not rows:
        raise DataError(
            f"{path} knows none of the items of the reviews; give the metadata of the same category"
        )
    return pa.Table.from_pylist(rows, schema=_ITEM)


def _item(item: Any, record: dict[str, Any]) -> dict[str, str | list[str] | None]:
    return {
        "item_id": item,
        "title": _text([record.get("title")], " "),
        "brand": _text([record.get("brand") or record.get("store")], " "),
        "categories": _distinct(record.get("categories") or record.get("category")) or None,
        "description": _text(record.get("description"), " "),
        "image_url": _picture(record),
    }


def _text(value: Any, separator: str) -> str | None:
    """The texts of a text or of nested lists of them, each once; None where there are none."""
    return separator.join(_distinct(value)) or None


def _distinct(value: Any) -> list[str]:
    """The texts of a text or of nested lists of them, each once."""
    return list(dict.fromkeys(word for word in _words(value) if word))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):  # half an emoji, where a text was cut, becomes a question mark
        yield html.unescape(value).strip().encode("utf-8", "replace").decode()
    elif isinstance(value, Sequence):
        for part in value:
            yield from _words(part)


def _picture(record: dict[str, Any]) -> str | None:
    """Address of the first picture, the largest there is of it."""
    images = record.get("images")
    first = images[0] if isinstance(images, list) and images else images
    if isinstance(first, dict):  # sizes, of a picture or of lists of pictures
        first = [first.get(size) for size in ("hi_res", "large", "thumb")]
    older = [record.get(name) for name in ("imageURLHighRes", "imageURL", "imUrl")]
    return next((address for address in _words([first, *older]) if address), None)
