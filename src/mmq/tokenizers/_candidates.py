"""The best codewords of chosen items of a catalogue file, for moving collisions."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmq.data._catalogue import Catalogue
from mmq.data._parquet import BATCH, CatalogueFile
from mmq.semantic_ids._collisions import Candidates
from mmq.tokenizers._base import Tokenizer

TOP = 16
"""Codewords a position that an item may move to."""


_BLOCK = 512  # items whose similarities to all codewords are in memory at a time


class CandidateReader:
    """Gives the :class:`Candidates` of the items at some rows.

    It reads the file from the first of them to the last.
    """

    def __init__(self, file: CatalogueFile, tokenizer: Tokenizer[Any]) -> None:
        self.file, self.tokenizer = file, tokenizer

    def __call__(self, rows: np.ndarray) -> Candidates:
        """Candidates of ``rows`` ``(m,)``, in that order."""
        order = np.argsort(rows, kind="stable")
        top = min(TOP, self.tokenizer.settings.codebook_size)
        codes = np.empty((len(rows), self.tokenizer.length, top), np.int32)
        scores = np.empty(codes.shape, np.float32)
        wanted, taken = rows[order], 0
        start = self.file.boundary(int(wanted[0]), BATCH)
        for batch in self.file.batches(BATCH, start=start):
            inside = wanted[taken : np.searchsorted(wanted, start + len(batch))]
            for some in np.array_split(inside, -(-len(inside) // _BLOCK)) if len(inside) else ():
                place = order[taken : taken + len(some)]
                codes[place], scores[place] = self._best(batch.take(some - start), top)
                taken += len(some)
            start += len(batch)
            if taken == len(wanted):
                break
        return Candidates(codes, scores)

    def _best(self, items: Catalogue, top: int) -> tuple[np.ndarray, np.ndarray]:
        similarities = self.tokenizer.similarities(items)
        codes = np.argpartition(-similarities, top - 1, axis=2)[:, :, :top]
        scores = np.take_along_axis(similarities, codes, axis=2)
        best = np.argsort(-scores, axis=2, kind="stable")
        return np.take_along_axis(codes, best, axis=2), np.take_along_axis(scores, best, axis=2)
