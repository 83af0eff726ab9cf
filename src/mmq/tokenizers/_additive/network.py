"""The network of tokenizers whose codewords add up to the embedding.

Axes: ``b`` batch, ``m`` modality, ``n`` code position, ``k`` codeword, ``d`` coordinate of the
frame (see :mod:`mmq.tokenizers._frame`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from mmq.nn import losses
from mmq.nn.additive import Refiner
from mmq.nn.codebook import hard_index
from mmq.tokenizers._network import CodingNetwork, Softened, SoftInputs

SHARED = "shared"


def scopes_of(positions: Mapping[str, slice], modalities: Iterable[str]) -> np.ndarray:
    """``(n, m)`` bool: the modalities that each position codes."""
    names = list(modalities)
    scopes = np.zeros((max(place.stop for place in positions.values()), len(names)), bool)
    for group, place in positions.items():
        scopes[place] = [group in (SHARED, name) for name in names]
    return scopes


class AdditiveNetwork(CodingNetwork):
    """A table of what every codeword adds, and a search for the codes.

    Codes of the shared group speak of all modalities, those of a modality of it alone. They are
    found together: each in the light of those before it, then in sweeps each in the light of all
    others.

    The adapters, one a modality, turn an embedding before it is coded. They are zero after a fit,
    and what stage 2 moves items with: an item's codes then are those of ``a = x + A x``.

    Args:
        dimensions: modality -> width of its coordinates, in order.
        positions: group ("shared" or a modality) -> its positions in the ID.
        size: K.
        sweeps: passes over the codes after they were found one by one.
    """

    mask: Tensor
    scopes: Tensor
    mean_squares: Tensor

    def __init__(
        self,
        dimensions: Mapping[str, int],
        positions: Mapping[str, slice],
        size: int,
        sweeps: int,
    ) -> None:
        super().__init__()
        self.dimensions, self.positions, self.sweeps = dict(dimensions), dict(positions), sweeps
        length = max(place.stop for place in positions.values())
        self.codebook_sizes = (size,) * length
        widths = list(self.dimensions.values())
        self.table = nn.Parameter(torch.zeros(length, size, sum(widths)))
        self.adapters = nn.ParameterList(torch.zeros(width, width) for width in widths)
        self.register_buffer("mean_squares", torch.ones(length))
        scopes = torch.from_numpy(scopes_of(positions, dimensions)).float()
        mask = scopes.repeat_interleave(torch.tensor(widths), dim=1)[:, None]
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("scopes", scopes, persistent=False)

    def tables(self) -> Tensor:
        """``(n, k, d)``, zero where a position does not speak of a coordinate."""
        return self.table * self.mask

    def aim(self, x: Tensor) -> Tensor:
        """What the codes of ``x`` ``(b, d)`` should add up to."""
        parts = x.split(list(self.dimensions.values()), 1)
        return torch.cat([p + p @ a for p, a in zip(parts, self.adapters, strict=True)], 1)

    def code_mask(self, present: Tensor) -> Tensor:
        """``(b, n)`` bool: whether an item has a modality that the position codes."""
        return present @ self.scopes.T > 0

    def logits(self, x: Tensor, present: Tensor) -> Tensor:
        """What each codeword takes off the error in the light of the others, ``(b, n, k)``."""
        movable = self.code_mask(present)
        scores = self._refiner()(self.aim(x), present, None, movable)[1]
        halves = -0.5 * self.tables().square().sum(2)
        return torch.where(movable[:, :, None], scores, halves)

    def search(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Codes of inputs."""
        find = self._refiner().codes
        return lambda x, present: find(self.aim(x), present, None, self.code_mask(present))

    def reconstruct(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """What the codes stand for (nothing else is known of an item), and the codes."""
        codes = self.search()(x, present)
        return self.decode_codes(codes), codes

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, d)`` of int64 codes ``(b, n)``."""
        positions = torch.arange(self.length, device=codes.device)
        return self.tables()[positions, codes].sum(1)

    def soften(self, inputs: SoftInputs) -> Softened:
        """Codes with their gradient, each in the light of the others as they are.

        The logits have the scale of a cosine: what a codeword takes off the error, over the mean
        square of what its position has to say.
        """
        aim, table = self.aim(inputs.x), self.tables()
        movable = self.code_mask(inputs.present)
        codes = inputs.codes
        if codes is None:
            with torch.no_grad():
                codes = self._refiner()(aim.detach(), inputs.present, None, movable)[0]
        widths = torch.tensor(list(self.dimensions.values()), device=aim.device)
        seen = inputs.present.repeat_interleave(widths, dim=1)
        scores = self._scores(aim * seen, table, codes, seen)
        halves = -0.5 * table.detach().square().sum(2)  # of what it lacks an item moves nothing
        scores = torch.where(movable[:, :, None], scores, halves)
        logits = scores / self.mean_squares[:, None].clamp_min(1e-12)
        given = None if inputs.noise > 0 and inputs.codes is None else codes
        index = hard_index(logits, inputs.temperature, inputs.noise, given)
        vectors = torch.einsum("bnk,nkd->bd", index, table)
        return Softened(
            index,
            logits,
            {
                "reconstruction": lambda: losses.squared_error(vectors, inputs.target, seen),
                "commitment": lambda: losses.squared_error(aim, vectors.detach(), seen),
            },
        )

    def _scores(self, aim: Tensor, table: Tensor, codes: Tensor, seen: Tensor) -> Tensor:
        """``(b, n, k)``: ``r . t - |t|^2 / 2`` with ``r`` what the other codes leave over.

        What an item lacks counts for nothing.
        """
        chosen = table[torch.arange(self.length, device=codes.device), codes]  # b n d
        rest = (aim - chosen.sum(1))[:, None] + chosen
        rest = rest * seen[:, None]
        halves = torch.einsum("bd,nkd->bnk", seen, table.square())
        return torch.einsum("bnd,nkd->bnk", rest, table) - 0.5 * halves

    def _refiner(self) -> Refiner:
        table = self.tables()
        offset = table.new_zeros(table.shape[2])
        return Refiner(offset, table, list(self.dimensions.values()), self.sweeps)

    @torch.no_grad()
    def set_mean_squares(self, x: Tensor, codes: Tensor) -> None:
        """Store the mean squared length of what each position has to say of ``x`` ``(b, d)``."""
        table = self.tables()
        chosen = table[torch.arange(self.length, device=codes.device), codes]
        rest = x - chosen.sum(1)
        for n in range(self.length):
            own = (rest + chosen[:, n]) * self.mask[n, 0]
            self.mean_squares[n] = own.square().sum(1).mean()
