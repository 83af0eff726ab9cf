"""The two ways in which a tokenizer of one vector takes several modalities: aligned, separated.

*Aligned*: the normalised embeddings side by side are one vector with one quantiser. *Separated*:
one quantiser a modality, the positions of the ID shared out evenly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, Literal, TypeVar

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmq.errors import DataError
from mmq.nn.additive import Refiner
from mmq.nn.codebook import best
from mmq.tokenizers._base import TokenizerSettings
from mmq.tokenizers._network import CodingNetwork

Fusion = Literal["aligned", "separated"]


class FusionSettings(TokenizerSettings):
    """Settings of every tokenizer that quantises vectors."""

    fusion: Fusion = "aligned"
    """One quantiser for all modalities side by side, or one for each."""
    length: PositiveInt = 6
    """Positions of an ID; separated modalities share them evenly, the first get what is left."""


class RefinementSettings(FusionSettings):
    """Settings of those whose decoded vectors are sums of codewords."""

    refinement: NonNegativeInt = 0
    """Sweeps over the codes after they were found, in which each is chosen anew given all the
    others; codewords are then fitted to such codes by least squares, in turn with them, and no
    longer keep to their part or level. 0 leaves codes as they were found."""

    @property
    def sweeps(self) -> int:
        """The setting ``refinement``."""
        return self.refinement


class Quantiser(nn.Module, ABC):
    """Vectors ``(b, d)`` to codes ``(b, l)`` and back.

    Attributes:
        codebook_sizes: codewords a position.
    """

    codebook_sizes: tuple[int, ...]

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Codes ``(b, l)`` int64."""

    def addends(self) -> tuple[Tensor, Tensor]:
        """Offset ``(d)`` and table ``(l, k, d)`` that a decoded vector is the sum of.

        Asked for where codes are refined, by the kinds that have that setting.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, d)`` of int64 codes ``(b, l)``."""

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Similarity ``(b, l, k)`` to every codeword; larger is nearer, the best is the code."""


Q = TypeVar("Q", bound=Quantiser)


class FusedNetwork(CodingNetwork, Generic[Q]):
    """Quantisers of the groups of modalities.

    A missing embedding is replaced by the mean of those that were fitted.

    Args:
        dimensions: modality -> width.
        settings: fusion, length.
        make: quantiser of (width, positions).
        refinement: sweeps over the codes after they were found.

    Raises:
        DataError: fewer positions than modalities to share them.
    """

    filler: Tensor

    def __init__(
        self,
        dimensions: Mapping[str, int],
        settings: FusionSettings,
        make: Callable[[int, int], Q],
        refinement: int = 0,
    ) -> None:
        super().__init__()
        self.dimensions, self.refinement = dict(dimensions), refinement
        self.columns = _columns(self.dimensions, settings.fusion)
        lengths = _shares(settings.length, list(self.columns))
        quantisers = [
            make(place.stop - place.start, length)
            for place, length in zip(self.columns.values(), lengths, strict=True)
        ]
        self.quantisers = nn.ModuleList(quantisers)
        self.codebook_sizes = tuple(size for q in quantisers for size in q.codebook_sizes)
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        self.positions = {
            name: slice(end - length, end)
            for name, end, length in zip(self.columns, ends, lengths, strict=True)
        }
        self.register_buffer("filler", torch.zeros(sum(self.dimensions.values())))

    def groups(self) -> list[Q]:
        """The quantisers, in the order of :attr:`columns`."""
        return list(self.quantisers)  # type: ignore[arg-type]

    def inputs(self, x: Tensor, present: Tensor) -> list[Tensor]:
        """The vector ``(b, width)`` that each quantiser reads."""
        if not bool(present.all()):
            widths = torch.tensor(list(self.dimensions.values()), device=x.device)
            x = torch.where(present.repeat_interleave(widths, dim=1) > 0, x, self.filler)
        return [x[:, place] for place in self.columns.values()]

    def set_filler(self, x: Tensor, present: Tensor) -> None:
        """Store the mean of the embeddings that are there."""
        widths = torch.tensor(list(self.dimensions.values()), device=x.device)
        counts = present.sum(0).clamp_min(1).repeat_interleave(widths)
        self.filler.copy_(x.sum(0) / counts)

    def seen(self, present: Tensor) -> list[Tensor]:
        """For each quantiser ``(b,)`` whether an item has any of what it reads."""
        if len(self.columns) == 1:
            return [present.any(1)]
        return [column > 0 for column in present.unbind(1)]

    def logits(self, x: Tensor, present: Tensor) -> Tensor:
        """Similarity ``(b, n, k)`` to every codeword.

        Where codes are refined: how much each code lowers the error in the light of the others.
        """
        pairs = zip(self.groups(), self.inputs(x, present), strict=True)
        logits = torch.cat([quantiser.logits(part) for quantiser, part in pairs], dim=1)
        if not self.refinement:
            return logits
        movable = self.code_mask(present)
        scores = self._refiner()(x, present, best(logits), movable)[1]
        return torch.where(movable[:, :, None], scores, logits)

    def search(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Codes of inputs."""
        if not self.refinement:
            return self._found
        refine = self._refiner().codes
        return lambda x, present: refine(
            x, present, self._found(x, present), self.code_mask(present)
        )

    def _found(self, x: Tensor, present: Tensor) -> Tensor:
        """Codes ``(b, n)`` int64 as the quantisers find them."""
        pairs = zip(self.groups(), self.inputs(x, present), strict=True)
        return torch.cat([quantiser.encode(part) for quantiser, part in pairs], dim=1)

    def code_mask(self, present: Tensor) -> Tensor:
        """``(b, n)`` whether an item has any of what the quantiser of a position reads."""
        columns = [
            seen[:, None].expand(-1, len(quantiser.codebook_sizes))
            for seen, quantiser in zip(self.seen(present), self.groups(), strict=True)
        ]
        return torch.cat(columns, dim=1)

    def _refiner(self) -> Refiner:
        """Refinement under what every codeword adds, of tokenizers saved in format 1."""
        return Refiner(*self.addends(), list(self.dimensions.values()), self.refinement)

    def addends(self) -> tuple[Tensor, Tensor]:
        """Offset ``(d)`` and what every codeword adds ``(n, k, d)``, zero beyond its group."""
        offset = torch.zeros_like(self.filler)
        table = offset.new_zeros(self.length, max(self.codebook_sizes), len(offset))
        places = zip(self.groups(), self.positions.values(), self.columns.values(), strict=True)
        for quantiser, positions, columns in places:
            offset[columns], table[positions, :, columns] = quantiser.addends()
        return offset, table

    def reconstruct(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """What the codes stand for (nothing else is known of an item), and the codes."""
        codes = self.search()(x, present)
        return self.decode_codes(codes), codes

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, sum of dimensions)`` of codes."""
        places = self.positions.values()
        pairs = zip(self.groups(), places, strict=True)
        return torch.cat([quantiser.decode(codes[:, place]) for quantiser, place in pairs], dim=1)


def require_enough(network: FusedNetwork[Q], present: Tensor, size: int) -> None:
    """Raise :class:`DataError` if a quantiser would learn from fewer items than codewords."""
    for name, seen in zip(network.columns, network.seen(present), strict=True):
        if (items := int(seen.sum())) < size:
            raise DataError(
                f"{items} items to fit on have a {name} embedding, fewer than the {size} codes of "
                "a codebook; lower it with --set codebook_size=..., or leave that modality out"
            )


def _columns(dimensions: Mapping[str, int], fusion: Fusion) -> dict[str, slice]:
    """Name of each group and the columns it reads; one modality is a group of its own name."""
    if fusion == "aligned" and len(dimensions) > 1:
        return {"shared": slice(0, sum(dimensions.values()))}
    columns, start = {}, 0
    for name, width in dimensions.items():
        columns[name] = slice(start, start + width)
        start += width
    return columns


def _shares(length: int, names: list[str]) -> list[int]:
    if length < len(names):
        raise DataError(
            f"an ID of length {length} is too short for {len(names)} separated modalities; raise "
            "it with --set length=..."
        )
    each, left = divmod(length, len(names))
    return [each + (i < left) for i in range(len(names))]
