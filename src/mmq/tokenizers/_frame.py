"""The frame that tokenizers work in: embeddings centred, scaled and turned to principal axes.

A direction that all embeddings of a modality share says nothing of any of them, and neither does
their scale or the choice of axes. Encoders put theirs into a narrow cone all the same, so that
tokenizers which read unit vectors as they are spend their codewords on the cone. What the frame
makes of them is the same, up to rounding, whatever the scale and the axes were.

The unit norm comes first, since for most encoders only the direction of an embedding means
something; what is left after centring keeps its length. Another norm after centring, or none at
all, was tried on raw embeddings of ML-1M and Beauty: neither the error on new items, nor the
neighbours that codes keep, nor what they say of genres moved beyond the noise. So it is this one,
which is affine: decoded vectors are exact, and errors keep the units of the unit embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

WIDEST = 256
"""Principal axes of a modality at most. An ID of some tens of bits says nothing of later ones: on
ML-1M's raw pictures (1,280 dimensions) 256, 512 and all axes leave the same error, to .0006."""

_SAMPLE = 20_000  # rows that axes are found from
_ROUNDS = 3  # of the subspace iteration that finds the leading axes of wide embeddings
_SPARE = 32  # axes beside those wanted, that the iteration converges faster
_LEAST = 1e-10
"""Mean square below which embeddings count as all alike: the same picture differs so little from
batch to batch of an encoder, and the next step would make a modality of it."""


class Frame(nn.Module):
    """Means, scales and axes of the modalities; an affine map and its inverse.

    Args:
        dimensions: modality -> width of its embedding, in order.
        kept: modality -> width in the frame; at most the embedding's.
    """

    mean: Tensor
    scales: Tensor

    def __init__(
        self, dimensions: Mapping[str, int], kept: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        self.dimensions = dict(dimensions)
        widths = {name: min(width, WIDEST) for name, width in dimensions.items()}
        self.kept = widths if kept is None else dict(kept)
        self.register_buffer("mean", torch.zeros(sum(self.dimensions.values())))
        self.register_buffer("scales", torch.ones(len(self.dimensions)))
        for m, (name, width) in enumerate(self.dimensions.items()):
            self.register_buffer(f"axes_{m}", torch.eye(width, self.kept[name]))

    @classmethod
    @torch.no_grad()
    def fit(cls, dimensions: Mapping[str, int], x: Tensor, present: Tensor) -> Frame:
        """The frame of unit embeddings, which has no more axes than they span.

        Args:
            dimensions: modality -> width.
            x: ``(items, sum of widths)`` unit-normed embeddings, zero where missing.
            present: ``(items, m)`` presence.
        """
        parts = x.split(list(dimensions.values()), 1)
        rows = [part[seen > 0] for part, seen in zip(parts, present.unbind(1), strict=True)]
        kept = {
            name: max(1, min(width, WIDEST, len(own)))
            for (name, width), own in zip(dimensions.items(), rows, strict=True)
        }
        frame, start = cls(dimensions, kept), 0
        for m, (name, own) in enumerate(zip(dimensions, rows, strict=True)):
            mean = own.double().mean(0)
            centred = own - mean.float()
            variance = float(torch.linalg.vector_norm(centred).double().square()) / len(own)
            frame.mean[start : start + own.shape[1]] = mean.float()
            if variance > _LEAST:  # else a constant: its items all stand at the origin
                frame.scales[m] = variance**0.5
            frame.axes(m).copy_(leading_axes(centred, kept[name]))
            start += own.shape[1]
        return frame

    def axes(self, m: int) -> Tensor:
        """Principal axes ``(width, kept)`` of the modality at place ``m``."""
        axes: Tensor = getattr(self, f"axes_{m}")
        return axes

    def apply_to(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates ``(b, sum of kept)``, zero where missing, and what they leave out ``(b, m)``.

        The second is the squared length, in the scale of the frame, of what lies off the axes.
        """
        parts, left, start = [], [], 0
        for m, width in enumerate(self.dimensions.values()):
            centred = (
                x[:, start : start + width] - self.mean[start : start + width]
            ) / self.scales[m]
            own = (centred @ self.axes(m)) * present[:, m : m + 1]
            rest = (centred.square().sum(1) - own.square().sum(1)).clamp_min(0) * present[:, m]
            parts.append(own)
            left.append(rest if own.shape[1] < width else torch.zeros_like(rest))
            start += width
        return torch.cat(parts, 1), torch.stack(left, 1)

    def restore(self, y: Tensor) -> Tensor:
        """Embeddings ``(b, sum of widths)`` of coordinates ``(b, sum of kept)``."""
        parts = y.split(list(self.kept.values()), 1)
        turned = [part @ self.axes(m).T * self.scales[m] for m, part in enumerate(parts)]
        return torch.cat(turned, 1) + self.mean


@torch.no_grad()
def leading_axes(centred: Tensor, kept: int) -> Tensor:
    """Principal axes ``(width, kept)`` of centred rows ``(items, width)``, the largest first.

    Of a sign that does not depend on how the rows are turned: the third moment along it is
    positive. They are those of an even sample where rows are many. Where few of many axes are
    wanted they are found by subspace iteration (Halko, Martinsson and Tropp 2011, Alg. 4.4).
    """
    rows = centred[:: -(-len(centred) // _SAMPLE)]
    items, width = rows.shape
    if items < width:
        inner = torch.linalg.eigh((rows @ rows.T).double())[1].flip(1)[:, :kept].float()
        axes = torch.linalg.qr(rows.T @ inner)[0]
    elif width <= 2 * WIDEST:
        axes = torch.linalg.eigh((rows.T @ rows).double())[1].flip(1)[:, :kept].float()
    else:
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(width, kept + _SPARE, generator=generator).to(rows.device)
        basis = torch.linalg.qr(start)[0]
        for _ in range(_ROUNDS):
            basis = torch.linalg.qr(rows.T @ (rows @ basis))[0]
        small = rows @ basis
        axes = basis @ torch.linalg.eigh((small.T @ small).double())[1].flip(1)[:, :kept].float()
    skew = (rows @ axes).double().pow(3).sum(0)
    turned: Tensor = axes * torch.where(skew < 0, -1.0, 1.0).float()
    return turned
