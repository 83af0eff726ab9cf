"""Transitions between codes: the simplest recommender that knows items by their IDs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from scipy import sparse
from torch import Tensor

from mmq.data._sequences import Sequences
from mmq.errors import FormatError
from mmq.recommenders._closed_form import ClosedForm, faded, followed
from mmq.recommenders._data import RetrievalData
from mmq.recommenders._results import Items
from mmq.settings import Settings


class CodeTransitionsSettings(Settings):
    """Settings of :class:`CodeTransitions`."""

    smoothing: PositiveFloat = 20.0
    """Interactions that each row of transitions is given in the proportions of all items."""
    decay: float = Field(default=0.6, gt=0, le=1)
    """What an item of a history counts less for every item that came after it."""


class CodeTransitions(ClosedForm[CodeTransitionsSettings]):
    """Scores an item by how often its codes follow the codes of the history, the latest first.

    Position by position, ``log P(code of the next item | codes of the history)``, summed over
    positions; the probability is the mean over the items of the history of ``(n_ab + s q_b) / (n_a
    + s)``, with ``n_ab`` how often code b came right after code a, and ``q_b`` the share of b. It
    knows no item, only IDs: what it finds is what IDs tell of behaviour without any learning, and a
    learned model of the same IDs should find more.

    Args:
        settings: or their values by name, ``CodeTransitions(decay=0.8)``.
    """

    kind, label = "code-transitions", "Code transitions"
    needs_ids: ClassVar[bool] = True
    settings_class = CodeTransitionsSettings
    _transitions: list[np.ndarray]

    def _learn(self, data: RetrievalData) -> None:
        before, after = followed(data.train)
        self._transitions = [
            _probabilities(codes[before], codes[after], size, self.settings.smoothing)
            for codes, size in self._positions(self.items)
        ]

    @staticmethod
    def _positions(items: Items) -> Iterator[tuple[np.ndarray, int]]:
        """The codes of all items at each position, and the size of its codebook."""
        assert items.ids is not None, "fit asks for IDs"
        return zip(items.ids.codes.T.astype(np.int64), items.ids.codebook_sizes, strict=True)

    def score_block(self, histories: Sequences) -> Tensor:
        """``(b, items)`` summed log-probabilities of the items' codes."""
        scores = torch.zeros(len(histories), len(self.items.item_ids))
        for (codes, size), after in zip(
            self._positions(self.items), self._transitions, strict=True
        ):
            read = Sequences(codes[histories.rows], histories.first, histories.end)
            weights = faded(read, size, self.settings.decay)
            likely = weights @ after / weights.sum(1)[:, None]
            scores += torch.from_numpy(np.log(likely)).index_select(1, torch.from_numpy(codes))
        return scores.to(self.device)

    def tensors(self) -> dict[str, np.ndarray]:
        """``transitions_0``, ...: ``(codes, codes)`` float32, a row sums to 1."""
        return {f"transitions_{n}": each for n, each in enumerate(self._transitions)}

    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Probabilities of :meth:`tensors`.

        Raises:
            FormatError: they are not those of the IDs' codebooks.
        """
        sizes = [size for _, size in self._positions(self.items)]
        names = tuple(f"transitions_{n}" for n in range(len(sizes)))
        self._transitions = self._checked(tensors, names, folder)
        if [each.shape for each in self._transitions] != [(size, size) for size in sizes]:
            raise FormatError(
                f"the transitions in {folder} are not those of its codebooks; copy the whole "
                "folder or train it again"
            )


def _probabilities(
    before: np.ndarray, after: np.ndarray, size: int, smoothing: float
) -> np.ndarray:
    """``(size, size)`` float32: of each code after each code; see :class:`CodeTransitions`."""
    ones = np.ones(len(before))
    counts = sparse.coo_array((ones, (before, after)), shape=(size, size)).toarray()
    share = (counts.sum(0) + 1 / size) / (counts.sum() + 1)  # a code that never came is possible
    found = (counts + smoothing * share) / (counts.sum(1, keepdims=True) + smoothing)
    transitions: np.ndarray = found.astype(np.float32)
    return transitions
