"""What every tokenizer's network can do, in torch: the inside of the Tokenizer contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn


class SoftInputs(NamedTuple):
    """What stage 2 gives a tokenizer for some items.

    Attributes:
        x: ``(b, sum of dimensions)`` unit-normed embeddings, zero where missing; may be disturbed.
        present: ``(b, m)`` one where the item has the modality, else zero.
        target: ``x`` undisturbed.
        temperature: tau of Eq. 16.
        noise: scale of Gumbel noise, see :func:`mmq.nn.codebook.hard_index`.
        codes: ``(b, n)`` int64 codes that the items have; None takes those of ``x``.
    """

    x: Tensor
    present: Tensor
    target: Tensor
    temperature: float
    noise: float = 0.0
    codes: Tensor | None = None


class Softened(NamedTuple):
    """What stage 2 takes of some items: codes with a gradient, and what anchors them.

    Attributes:
        codes: ``ind`` of Eq. 18, ``(b, n, k)``: exactly one-hot forward, a softmax backward.
        logits: ``(b, n, k)`` similarities that they are the best of, or would be without noise.
        losses: name ("reconstruction", "auxiliary", "commitment") -> makes that loss, unweighted;
            those that the kind has.
    """

    codes: Tensor
    logits: Tensor
    losses: Mapping[str, Callable[[], Tensor]]


class CodingNetwork(nn.Module, ABC):
    """Embeddings to codes and back.

    Inputs are ``x``, ``(b, sum of dimensions)`` embeddings side by side, in the coordinates of the
    tokenizer's frame, zero where missing, and ``present``, ``(b, m)``, one where the item has the
    modality, else zero.

    Attributes:
        dimensions: modality -> width, in the order of the columns of ``x``.
        positions: group name ("shared" or a modality) -> its positions in the ID.
        codebook_sizes: codewords a position.
    """

    dimensions: dict[str, int]
    positions: dict[str, slice]
    codebook_sizes: tuple[int, ...]

    @property
    def length(self) -> int:
        """Positions of a semantic ID."""
        return len(self.codebook_sizes)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(chain(self.parameters(), self.buffers())).device

    @abstractmethod
    def code_mask(self, present: Tensor) -> Tensor:
        """``(b, n)`` bool: whether an item has a modality that the position codes."""

    @abstractmethod
    def logits(self, x: Tensor, present: Tensor) -> Tensor:
        """Similarity ``(b, n, k)`` to every codeword; larger is nearer, the best is the code."""

    @abstractmethod
    def search(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The fastest function from inputs to codes ``(b, n)``, of the weights as they are now."""

    @abstractmethod
    def reconstruct(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction ``(b, sum of dimensions)`` from all that is known of an item, and codes.

        What is known beside the codes (MMQ: the gates) is no part of the ID.
        """

    def addends(self) -> tuple[Tensor, Tensor]:
        """Offset ``(d)`` and what every codeword adds ``(n, k, d)``.

        Asked for where codes are refined, by the kinds that have that setting.
        """
        raise NotImplementedError

    @abstractmethod
    def decode_codes(self, codes: Tensor) -> Tensor:
        """Reconstruction ``(b, sum of dimensions)`` from int64 codes ``(b, n)`` alone."""
