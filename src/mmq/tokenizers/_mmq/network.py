"""The MMQ network: experts -> codes -> gated sum -> decoders (Eq. 1-10).

Axes: ``b`` batch, ``m`` modality, ``n`` expert or code position, ``k`` codeword, ``d`` latent.
The positions are the shared experts first, then each modality's specific experts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmq.nn.additive import Refiner
from mmq.nn.code_search import CodeSearch
from mmq.nn.codebook import (
    hard_index,
    look_up,
    quantise_through_index,
    similarity,
    straight_through,
)
from mmq.nn.experts import Gate, LinearExperts, decoder
from mmq.tokenizers._mmq.settings import MMQSettings
from mmq.tokenizers._network import CodingNetwork, SoftInputs

_BLOCK = 8192  # items whose gates are averaged at a time


class MMQOutput(NamedTuple):
    """What one pass gives, in training and evaluation alike."""

    latents: Tensor  # b n d, before quantisation
    logits: Tensor  # n b k, similarity to every codeword
    codes: Tensor  # b n
    codewords: Tensor  # b n d, exactly the looked-up codewords; carries gradient to the codebooks
    quantised: Tensor  # b n d, the same value, with the estimator's gradient
    weights: Tensor  # b n, one for shared experts, the gates for specific ones
    reconstruction: Tensor  # b (sum of dimensions)
    auxiliary: tuple[Tensor, ...]  # a modality: b d_m


class MMQNetwork(CodingNetwork):
    """Experts, gates, codebooks and decoders.

    Args:
        dimensions: modality -> width of its embedding, in order.
        settings: shapes and options.
    """

    mean_weights: Tensor
    membership: Tensor

    def __init__(self, dimensions: Mapping[str, int], settings: MMQSettings) -> None:
        super().__init__()
        self.settings = settings
        self.dimensions = dict(dimensions)
        widths = list(self.dimensions.values())
        counts = [settings.experts_of(modality) for modality in self.dimensions]
        d = settings.latent_dim
        self.missing = nn.ParameterList(torch.zeros(width) for width in widths)
        self.shared = _experts(sum(widths), settings.shared, d)
        self.specific = nn.ModuleList(
            _experts(width, count, d) for width, count in zip(widths, counts, strict=True)
        )
        self.gates = nn.ModuleList(
            Gate(width, count) if count else nn.Identity()
            for width, count in zip(widths, counts, strict=True)
        )
        self.codebooks = nn.Parameter(
            torch.randn(settings.shared + sum(counts), settings.codebook_size, d) * d**-0.5
        )
        self.decoder = decoder(d, sum(widths))
        self.modality_decoders = nn.ModuleList(decoder(d, width) for width in widths)
        self.register_buffer("mean_weights", _uniform(settings.shared, counts))
        self.positions = expert_positions(settings.shared, list(self.dimensions), counts)
        self.codebook_sizes = (settings.codebook_size,) * len(self.codebooks)
        membership = torch.zeros(len(widths), self.length)
        for m, modality in enumerate(self.dimensions):
            membership[m, self.positions[modality]] = 1
        self.register_buffer("membership", membership, persistent=False)

    def forward(self, x: Tensor, present: Tensor, temperature: float = 1.0) -> MMQOutput:
        """Encode, quantise and reconstruct.

        Args:
            x: ``(b, sum of dimensions)`` unit-normed embeddings side by side, zero where missing.
            present: ``(b, m)`` one where the item has the modality, else zero.
            temperature: tau of the soft index.
        """
        z, parts = self.latents(x, present)
        logits = similarity(z, self.codebooks, self.settings.distance)
        if self.settings.codebook == "index":
            quantised, codes = quantise_through_index(logits, self.codebooks, temperature)
            codewords = quantised
        else:
            codes = logits.argmax(2).T
            codewords = look_up(self.codebooks, codes)
            quantised = straight_through(z, codewords)
        weights = self.mixing_weights(parts, present)
        reconstruction, auxiliary = self.decode(quantised, weights)
        return MMQOutput(z, logits, codes, codewords, quantised, weights, reconstruction, auxiliary)

    def soften(self, inputs: SoftInputs) -> tuple[Tensor, MMQOutput]:
        """``ind`` of Eq. 18 ``(b, n, k)``, and what one pass through it gives.

        Codes learn by the index whatever the estimator of stage 1 was.
        """
        z, parts = self.latents(inputs.x, inputs.present)
        logits = similarity(z, self.codebooks, self.settings.distance)
        own = None if inputs.codes is None else inputs.codes.T
        index = hard_index(logits, inputs.temperature, inputs.noise, own)
        quantised = torch.bmm(index, self.codebooks).transpose(0, 1)
        weights = self.mixing_weights(parts, inputs.present)
        codes = index.detach().argmax(2).T
        made = self.decode(quantised, weights)
        output = MMQOutput(z, logits, codes, quantised, quantised, weights, *made)
        return index.transpose(0, 1), output

    def latents(self, x: Tensor, present: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Latents ``(b, n, d)`` (Eq. 2-3) and the input a modality, the missing ones filled in."""
        x, parts = self.filled(x, present)
        groups = [self.shared(x)] if self.settings.shared else []
        groups += [
            group(part)
            for group, part in zip(self.specific, parts, strict=True)
            if not isinstance(group, nn.Identity)
        ]
        return torch.cat(groups, dim=1), parts

    def filled(self, x: Tensor, present: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Inputs, together and a modality each, with the learned vector where one is missing."""
        parts = list(x.split(list(self.dimensions.values()), dim=1))
        if bool(present.all()):
            return x, parts
        for m, filler in enumerate(self.missing):
            parts[m] = torch.where(present[:, m : m + 1] > 0, parts[m], filler)
        return torch.cat(parts, dim=1), parts

    def mixing_weights(self, parts: list[Tensor], present: Tensor) -> Tensor:
        """``(b, n)``: one for shared experts, gates of specific ones (Eq. 5-6), 0 if missing."""
        shared = present.new_ones(len(present), self.settings.shared)
        gates = [
            gate(part) * present[:, m : m + 1]
            for m, (gate, part) in enumerate(zip(self.gates, parts, strict=True))
            if isinstance(gate, Gate)
        ]
        return torch.cat([shared, *gates], dim=1)

    def decode(self, quantised: Tensor, weights: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Reconstruction (Eq. 4, 8, 9) and each modality's (Eq. 10) of vectors ``(b, n, d)``.

        All sums over experts are one product: row 0 of the mixing weights is the gated sum, the
        others pick the experts of one modality.
        """
        own = self.membership.expand(len(weights), -1, -1)
        mixing = torch.cat([weights.unsqueeze(1), own], dim=1)  # b (1 + m) n
        fused, *parts = torch.bmm(mixing, quantised).unbind(1)
        auxiliary = [
            decoder(part) for decoder, part in zip(self.modality_decoders, parts, strict=True)
        ]
        return self.decoder(fused), tuple(auxiliary)

    def logits(self, x: Tensor, present: Tensor) -> Tensor:
        """Similarity ``(b, n, k)`` of the latents to every codeword (Eq. 15).

        Where codes are refined: how much each code lowers the error in the light of the others.
        """
        z, _ = self.latents(x, present)
        similarities = similarity(z, self.codebooks, self.settings.distance)
        if self.settings.sweeps:
            movable = self.mask(present) > 0
            _, scores = self._refiner()(x, present, similarities.argmax(2).T, movable)
            similarities = torch.where(movable.T[:, :, None], scores.transpose(0, 1), similarities)
        return similarities.transpose(0, 1)

    def search(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Codes of inputs, by as few multiply-adds as there are, refined if the settings say so."""
        nearest = CodeSearch(
            self.expert_groups(),
            list(self.dimensions),
            self.codebooks,
            self.settings.distance,
            self.filled,
        )
        if not self.settings.sweeps:
            return nearest
        refine = self._refiner().codes
        return lambda x, present: refine(
            x, present, nearest(x, present).long(), self.mask(present) > 0
        )

    def reconstruct(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction with the item's own gates, and codes ``(b, n)``."""
        codes = self.search()(x, present).long()
        weights = self.mixing_weights(self.filled(x, present)[1], present)
        return self.decode(look_up(self.codebooks, codes), weights)[0], codes

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Reconstruction ``(b, sum of dimensions)`` of codes alone, with catalogue-mean gates."""
        weights = self.mean_weights.expand(len(codes), -1)
        quantised = look_up(self.codebooks, codes)
        fused = torch.bmm(weights.unsqueeze(1), quantised).squeeze(1)
        reconstruction: Tensor = self.decoder(fused)
        return reconstruction

    def set_mean_weights(self, x: Tensor, present: Tensor) -> None:
        """Store the mean gates of the items, all that a reader of the ID alone can use."""
        total = torch.zeros_like(self.mean_weights)
        counts = torch.zeros_like(self.mean_weights)
        for block, mask in zip(x.split(_BLOCK), present.split(_BLOCK), strict=True):
            total += self.mixing_weights(self.filled(block, mask)[1], mask).sum(0)
            counts += self.mask(mask).sum(0)
        self.mean_weights.copy_(total / counts.clamp_min(1))
        self.mean_weights[: self.settings.shared] = 1.0

    def _refiner(self) -> Refiner:
        """Refinement under what every codeword adds, of tokenizers saved in format 1."""
        return Refiner(*self.addends(), list(self.dimensions.values()), self.settings.sweeps)

    def addends(self) -> tuple[Tensor, Tensor]:
        """The bias of a linear decoder, and what it makes of every single codeword."""
        table = (self.codebooks * self.mean_weights[:, None, None]) @ self.decoder.weight.T
        return self.decoder.bias, table

    def expert_groups(self) -> dict[str, tuple[slice, LinearExperts]]:
        """Group of experts ("shared" or a modality) -> its positions and its module."""
        modules = [self.shared, *self.specific]
        return {
            name: (place, module)
            for (name, place), module in zip(self.positions.items(), modules, strict=True)
            if isinstance(module, LinearExperts)
        }

    def code_mask(self, present: Tensor) -> Tensor:
        """``(b, n)`` bool: whether the position's expert has an input."""
        return self.mask(present) > 0

    def mask(self, present: Tensor) -> Tensor:
        """``(b, n)`` one where the position's expert has an input: always for shared experts."""
        columns = [present.new_ones(len(present), self.settings.shared)]
        for m, modality in enumerate(self.dimensions):
            place = self.positions[modality]
            columns.append(present[:, m : m + 1].expand(-1, place.stop - place.start))
        return torch.cat(columns, dim=1)


def _experts(in_dim: int, count: int, latent_dim: int) -> nn.Module:
    return LinearExperts(in_dim, count, latent_dim) if count else nn.Identity()


def _uniform(shared: int, counts: list[int]) -> Tensor:
    return torch.tensor([1.0] * shared + [1 / count for count in counts for _ in range(count)])


def expert_positions(shared: int, modalities: list[str], counts: list[int]) -> dict[str, slice]:
    """Group name -> its positions in the ID; the shared group is called "shared"."""
    positions = {"shared": slice(0, shared)}
    start = shared
    for modality, count in zip(modalities, counts, strict=True):
        positions[modality] = slice(start, start + count)
        start += count
    return positions
