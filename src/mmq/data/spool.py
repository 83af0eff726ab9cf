"""Arrays that may be larger than the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike


class Spool:
    """Makes arrays in memory, or in files of a folder, whose pages the system keeps or drops.

    Args:
        folder: an existing one, which the caller removes; None for the memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self._made = folder, 0

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """An array to be filled."""
        if self.folder is None or 0 in np.atleast_1d(shape):  # an empty file cannot be mapped
            return np.empty(shape, dtype)
        self._made += 1
        path = self.folder / f"{self._made}.npy"
        return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), np.atleast_1d(shape).tolist())
