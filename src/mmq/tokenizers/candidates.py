"""The best codewords of chosen items of a catalogue file, for moving collisions."""

from __future__ import annotations

import numpy as np

from mmq.data.catalogue import Catalogue
from mmq.data.parquet import BATCH, CatalogueFile
from mmq.semantic_ids.collisions import Candidates
from mmq.tokenizers.mmq.tokenizer import MMQTokenizer

TOP = 16
"""Codewords a position that an item may move to."""


class CandidateReader:
    """Gives the :class:`Candidates` of the items at some rows, reading only their batches."""

    def __init__(self, file: CatalogueFile, tokenizer: MMQTokenizer) -> None:
        self.file, self.tokenizer = file, tokenizer

    def __call__(self, rows: np.ndarray) -> Candidates:
        """Candidates of ``rows`` ``(m,)``, in that order."""
        order = np.argsort(rows, kind="stable")
        top = min(TOP, self.tokenizer.settings.codebook_size)
        codes = np.empty((len(rows), self.tokenizer.length, top), np.int32)
        scores = np.empty(codes.shape, np.float32)
        wanted, start, taken = rows[order], 0, 0
        for batch in self.file.batches(BATCH):
            inside = wanted[taken : np.searchsorted(wanted, start + len(batch))]
            if len(inside):
                place = order[taken : taken + len(inside)]
                codes[place], scores[place] = self._best(batch.take(inside - start), top)
            taken, start = taken + len(inside), start + len(batch)
        return Candidates(codes, scores)

    def _best(self, items: Catalogue, top: int) -> tuple[np.ndarray, np.ndarray]:
        similarities = self.tokenizer.similarities(items)
        codes = np.argsort(-similarities, axis=2, kind="stable")[:, :, :top]
        return codes, np.take_along_axis(similarities, codes, axis=2)
