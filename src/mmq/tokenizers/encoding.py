"""Encoding a catalogue file in a stream that a kill does not undo.

Codes are appended, batch by batch, to ``codes.bin`` in a folder beside the output. A resumed run
checks that catalogue and tokenizer are the same, cuts off a torn last batch and goes on.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmq.artifacts import beside, disk_errors, write_folder
from mmq.data.parquet import BATCH, CatalogueFile
from mmq.errors import FormatError, UserError
from mmq.formats import read_json, write_json
from mmq.progress import bar
from mmq.tokenizers.base import Tokenizer

_MARKER = "source.json"


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
        self.out, self.folder, self.length = out, beside(out, "partial"), length
        self._codes = self.folder / "codes.bin"
        note = self.folder / _MARKER
        if not (resume and note.exists()):
            with disk_errors(out), write_folder(self.folder, _MARKER) as temporary:
                write_json(temporary / _MARKER, source)
                (temporary / self._codes.name).touch()
        elif read_json(note, "note of a partial result") != source:
            raise FormatError(
                f"the partial result beside {out} is of another catalogue or tokenizer; "
                "run without --resume to start anew"
            )

    def done(self, file: CatalogueFile) -> int:
        """Items of the whole batches that are there."""
        return file.boundary(self._codes.stat().st_size // (4 * self.length), BATCH)

    def append_from(self, file: CatalogueFile, tokenizer: Tokenizer) -> np.ndarray:
        """Encode what is left; codes ``(items, length)`` int32, mapped from disk.

        Raises:
            DataError: an embedding that cannot be encoded (what was done is thrown away, since the
                catalogue has to be mended), or the disk is full (what was done is kept).
        """
        done = self.done(file)
        with (
            disk_errors(self.out),
            self._removed_for_bad_input(),
            self._codes.open("r+b") as target,
            bar("encode", len(file), done=done) as advance,
        ):
            target.truncate(4 * self.length * done)
            target.seek(0, 2)
            for batch in file.batches(BATCH, start=done):
                target.write(np.ascontiguousarray(tokenizer.encode(batch), np.int32).data)
                target.flush()  # a kill loses no batch; all is written or it raises
                advance(len(batch))
        return np.memmap(self._codes, np.int32, "r", shape=(len(file), self.length))

    @contextlib.contextmanager
    def _removed_for_bad_input(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            self.remove()
            raise

    def remove(self) -> None:
        """Throw the folder away, once the output is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
