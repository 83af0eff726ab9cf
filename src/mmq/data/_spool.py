"""Arrays that may be larger than the memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from mmq._artifacts import disk_errors


class Spool:
    """Makes arrays in memory, or in files of a folder, whose pages the system keeps or drops.

    Args:
        folder: an existing one, which the caller removes; None for the memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self._made = folder, 0

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """An array to be filled.

        Raises:
            DataError: the disk is full.
        """
        if self.folder is None or 0 in np.atleast_1d(shape):  # an empty file cannot be mapped
            return np.empty(shape, dtype)
        self._made += 1
        path = self.folder / f"{self._made}.npy"
        with disk_errors(self.folder):
            place = tuple(np.atleast_1d(shape).tolist())
            array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), place)
            _reserve(path)
        return array


def _reserve(path: Path) -> None:
    """Take all of the file's place on the disk; a page that found none later would be fatal."""
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
