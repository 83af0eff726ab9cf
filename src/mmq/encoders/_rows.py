"""A ``.npy`` file that grows by whole batches, so that a killed run can go on where it was."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy

from mmq.errors import FormatError

_HEADER = 128  # bytes that numpy pads a header of two dimensions to


class GrowingRows:
    """Rows of float32, appended in batches; ``numpy.load`` reads the file once it is full.

    The header states the final shape from the start, so the length of the file tells how far it
    has come. What a killed run wrote of an unfinished batch is dropped.

    Attributes:
        shape: rows and columns when full.
        rows: rows that are there.

    Raises:
        FormatError: the file exists and is of another shape.
    """

    def __init__(self, path: Path, shape: tuple[int, int], batch: int) -> None:
        self.shape = shape
        self._file = path.open("r+b" if path.exists() else "w+b")
        if self._file.seek(0, os.SEEK_END) < _HEADER:
            self._file.truncate(0)
            self._file.seek(0)
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(self._file, header)
        start = self._header_end(path)
        whole = (self._file.seek(0, os.SEEK_END) - start) // (4 * shape[1])
        self.rows = whole if whole >= shape[0] else whole // batch * batch
        self._file.truncate(start + self.rows * 4 * shape[1])
        self._file.seek(0, os.SEEK_END)

    def append(self, rows: np.ndarray) -> None:
        """Add ``(b, columns)`` float32 rows; they are on the disk when this returns."""
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _header_end(self, path: Path) -> int:
        self._file.seek(0)
        try:
            npy.read_magic(self._file)
            shape, _, _ = npy.read_array_header_1_0(self._file)
        except ValueError:
            shape = None
        if shape != self.shape:
            self._file.close()
            raise FormatError(f"{path} is not of this run; start again without --resume")
        return self._file.tell()
