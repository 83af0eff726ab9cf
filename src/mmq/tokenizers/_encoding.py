"""Encoding a catalogue file in a stream.

One file of any size: codes, and which modalities each item lacks, are appended, batch by batch, to
``codes.bin`` in a folder beside the output (:class:`PartialCodes`), and a resumed run goes on after
the last whole batch. A part of a catalogue is encoded in one go (:func:`encode_part`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmq._artifacts import remove_folder
from mmq._progress import bar
from mmq.data import Catalogue
from mmq.data._catalogue import ContentHash
from mmq.data._item_ids import ItemIndex, end_to_end
from mmq.data._parquet import BATCH, CatalogueFile
from mmq.errors import UserError
from mmq.made_from import Checkpoint, begin
from mmq.tokenizers._base import Tokenizer
from mmq.tokenizers._threads import read_ahead


class Encoded(NamedTuple):
    """A catalogue in codes, mapped from disk.

    Attributes:
        codes: ``(items, length)`` int32.
        absent: modality -> ``(items,)`` bool, True where an item lacks it.
    """

    codes: np.ndarray
    absent: dict[str, np.ndarray]


class EncodedPart(NamedTuple):
    """A part of a catalogue in codes.

    Attributes:
        item_ids: of the items that were encoded.
        encoded: their codes, and what they lack.
        fingerprint: content hash of the part, of all its items.
    """

    item_ids: pa.Array
    encoded: Encoded
    fingerprint: str


def encode_part(
    part: CatalogueFile,
    tokenizer: Tokenizer[Any],
    known: ItemIndex | None = None,
    advance: Callable[..., None] = lambda items: None,
) -> EncodedPart:
    """Codes and content hash of a part, which is read once; its codes are kept in memory.

    Args:
        part: of a catalogue.
        tokenizer: that makes the codes.
        known: items to leave out.
        advance: called with the items done.

    Raises:
        DataError: an embedding that cannot be encoded.
    """
    digest, ids = ContentHash(), [part.item_ids().slice(0, 0)]
    rows = [np.empty((0, tokenizer.length + len(tokenizer.dimensions)), np.int32)]
    encode = tokenizer.encoder()
    for size, items in read_ahead(_new_items(part, known, digest)):
        if items is not None:
            ids.append(items.item_ids)
            rows.append(_rows(encode, items, tokenizer.dimensions))
        advance(size)
    return EncodedPart(end_to_end(ids), _split(np.concatenate(rows), tokenizer), digest.hexdigest())


def _new_items(
    part: CatalogueFile, known: ItemIndex | None, digest: ContentHash
) -> Iterator[tuple[int, Catalogue | None]]:
    """Batches: how many items each has, and those of them that are not known, None for none."""
    for batch in part.batches():
        digest.update(batch)
        new = batch if known is None else _unknown(batch, known)
        yield len(batch), new


def _unknown(items: Catalogue, known: ItemIndex) -> Catalogue | None:
    """The items that are not known."""
    rows = np.flatnonzero(known.find(items.item_ids) < 0)
    if len(rows) == len(items):
        return items
    return items.take(rows) if len(rows) else None


def _rows(
    encode: Callable[[Catalogue], np.ndarray], items: Catalogue, modalities: Iterable[str]
) -> np.ndarray:
    """``(items, length + modalities)`` int32: codes, then one where an item lacks a modality."""
    lacks = [~items.present[name] for name in modalities]
    return np.column_stack([encode(items), *lacks]).astype(np.int32, copy=False)


def _split(rows: np.ndarray, tokenizer: Tokenizer[Any]) -> Encoded:
    length = tokenizer.length
    absent = {name: rows[:, length + n] != 0 for n, name in enumerate(tokenizer.dimensions)}
    return Encoded(rows[:, :length], absent)


class PartialCodes:
    """Codes on disk while they are made.

    Args:
        checkpoint: the folder, and what the codes are made from.
        tokenizer: that makes them.

    Raises:
        FormatError: the partial result is of another catalogue or tokenizer.
    """

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer[Any]) -> None:
        self.folder, self.tokenizer = checkpoint.path, tokenizer
        self.modalities = list(tokenizer.dimensions)
        self._width = tokenizer.length + len(self.modalities)
        checkpoint = checkpoint.of(length=tokenizer.length, modalities=self.modalities)
        self._codes = self.folder / "codes.bin"
        begin(checkpoint)
        self._codes.touch()

    def done(self, file: CatalogueFile) -> int:
        """Items of the whole batches that are there."""
        return file.boundary(self._codes.stat().st_size // (4 * self._width), BATCH)

    def append_from(self, file: CatalogueFile) -> Encoded:
        """Encode what is left.

        Raises:
            DataError: an embedding that cannot be encoded (what was done is thrown away, since the
                catalogue has to be mended), or the disk is full (what was done is kept).
        """
        done = self.done(file)
        with (
            self._removed_for_bad_input(),
            self._codes.open("r+b") as target,
            bar("encode", len(file), done=done) as advance,
        ):
            target.truncate(4 * self._width * done)
            target.seek(0, 2)
            encode = self.tokenizer.encoder()
            for batch in read_ahead(file.batches(BATCH, start=done)):
                target.write(np.ascontiguousarray(_rows(encode, batch, self.modalities)).data)
                target.flush()  # a kill loses no batch; all is written or it raises
                advance(len(batch))
        rows = np.memmap(self._codes, np.int32, "r", shape=(len(file), self._width))
        return _split(rows, self.tokenizer)

    @contextlib.contextmanager
    def _removed_for_bad_input(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            self.remove()
            raise

    def remove(self) -> None:
        """Throw the folder away, once the output is written."""
        remove_folder(self.folder)
