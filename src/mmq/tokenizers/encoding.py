"""Encoding a catalogue file in a stream that a kill does not undo.

Codes are appended, batch by batch, to ``codes.bin`` in a folder beside the output. A resumed run
checks that catalogue and tokenizer are the same, cuts off a torn last batch and goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from mmq.artifacts import disk_errors, read_json, write_json
from mmq.data.parquet import BATCH, CatalogueFile
from mmq.errors import FormatError
from mmq.progress import bar
from mmq.tokenizers.base import Tokenizer


class PartialCodes:
    """Codes on disk while they are made.

    Args:
        out: the final output; the folder is named after it.
        source: what the codes are made from; a partial result of anything else is refused.
        length: codes an item.
        resume: keep what an earlier run wrote; else it is thrown away.

    Raises:
        FormatError: the partial result is of another catalogue or tokenizer.
    """

    def __init__(self, out: Path, source: dict[str, str], length: int, resume: bool) -> None:
        self.folder = out.with_name(f".{out.name}.partial")
        self.length = length
        if self.folder.exists() and not resume:
            shutil.rmtree(self.folder)
        with disk_errors(out):
            self.folder.mkdir(parents=True, exist_ok=True)
        note = self.folder / "source.json"
        if note.exists() and read_json(note, "note of a partial result") != source:
            raise FormatError(
                f"the partial result beside {out} is of another catalogue or tokenizer; "
                "run without --resume to start anew"
            )
        write_json(note, source)
        self._codes = self.folder / "codes.bin"
        self._codes.touch()

    def done(self, file: CatalogueFile) -> int:
        """Items of the whole batches that are there."""
        return file.boundary(self._codes.stat().st_size // (4 * self.length), BATCH)

    def append_from(self, file: CatalogueFile, tokenizer: Tokenizer) -> np.ndarray:
        """Encode what is left; codes ``(items, length)`` int32, mapped from disk."""
        done = self.done(file)
        with (
            disk_errors(self._codes),
            self._codes.open("r+b", buffering=0) as target,
            bar("encode", len(file), done=done) as advance,
        ):
            target.truncate(4 * self.length * done)
            target.seek(0, 2)
            for batch in file.batches(BATCH, start=done):
                target.write(np.ascontiguousarray(tokenizer.encode(batch), np.int32).data)
                advance(len(batch))
        return np.memmap(self._codes, np.int32, "r", shape=(len(file), self.length))

    def remove(self) -> None:
        """Throw the folder away, once the output is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
