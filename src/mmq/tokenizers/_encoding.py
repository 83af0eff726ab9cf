"""Encoding a catalogue file in a stream that a kill does not undo.

Codes, and which modalities each item lacks, are appended, batch by batch, to ``codes.bin`` in a
folder beside the output. A resumed run cuts off a torn last batch and goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mmq._artifacts import remove_folder
from mmq._progress import bar
from mmq.data._parquet import BATCH, CatalogueFile
from mmq.errors import UserError
from mmq.made_from import Checkpoint, begin
from mmq.tokenizers._base import Tokenizer


class Encoded(NamedTuple):
    """A catalogue in codes, mapped from disk.

    Attributes:
        codes: ``(items, length)`` int32.
        absent: modality -> ``(items,)`` bool, True where an item lacks it.
    """

    codes: np.ndarray
    absent: dict[str, np.ndarray]


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
            for batch in file.batches(BATCH, start=done):
                lacks = [~batch.present[name] for name in self.modalities]
                rows = np.column_stack([self.tokenizer.encode(batch), *lacks])
                target.write(np.ascontiguousarray(rows, np.int32).data)
                target.flush()  # a kill loses no batch; all is written or it raises
                advance(len(batch))
        rows = np.memmap(self._codes, np.int32, "r", shape=(len(file), self._width))
        length = self.tokenizer.length
        absent = {name: rows[:, length + n] != 0 for n, name in enumerate(self.modalities)}
        return Encoded(rows[:, :length], absent)

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
