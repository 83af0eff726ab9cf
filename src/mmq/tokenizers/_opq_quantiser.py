"""OPQ: product quantisation of rotated vectors, for any K and any number of parts.

Ge, He, Ke and Sun, "Optimized Product Quantization", 2013. Axes: ``b`` batch, ``n`` training items,
``d`` width, ``p`` part, ``s`` width of a part, ``k`` codeword; ``e = p * s`` is the least multiple
of the parts that is not below ``d``, so that nothing is cut off.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from mmq.tokenizers._fitting import Advance, KMeansQuantiser, KMeansSettings
from mmq.tokenizers._kmeans import kmeans, member_sums, shrunk, starting_means
from mmq.training._loop import Log

FIRST = 10
"""Iterations of k-means, for most of them balanced, before the first turn."""

TOLERANCE = 1e-4
"""Relative gain of an iteration under the last rotation that is too little to go on."""

SOLVES = 4
"""Rotations solved for a turn; each costs a decomposition, a turn a pass over all items."""

TURN_TOLERANCE = 5e-4
"""Relative gain of a turn that is too little to go on."""


class OPQSettings(KMeansSettings):
    """Settings of :class:`OPQTokenizer`."""

    rotations: PositiveInt = 20
    """At most so many turns of the rotation, each after one iteration of k-means in every part;
    they end when one gains too little."""


class OPQ(KMeansQuantiser):
    """A rotation and a codebook for each part of the rotated vector.

    Args:
        width: d.
        parts: p.
        settings: of the tokenizer.
    """

    mean: Tensor
    rotation: Tensor
    codebooks: Tensor

    def __init__(self, width: int, parts: int, settings: OPQSettings) -> None:
        super().__init__()
        self.settings = settings
        self.codebook_sizes = (settings.codebook_size,) * parts
        part = -(-width // parts)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("rotation", torch.eye(width, part * parts))
        self.register_buffer("codebooks", torch.zeros(parts, settings.codebook_size, part))

    @property
    def steps(self) -> int:
        """Turns, and iterations in every part after them."""
        return self.settings.rotations + self.settings.iterations * len(self.codebooks)

    @torch.no_grad()
    def fit(self, x: Tensor, generator: np.random.Generator, advance: Advance) -> Log:
        """Set mean, rotation and codebooks; a log line a turn."""
        self.mean.copy_(x.mean(0))
        x -= self.mean
        parts, size, _ = self.codebooks.shape
        self.rotation.copy_(principal_axes(x, parts, self.rotation.shape[1]))
        y = x @ self.rotation
        for part, own in enumerate(self._parts(y)):
            first = starting_means(own, size, generator, "spherical")
            self.codebooks[part] = kmeans(own, first, FIRST, balanced=True).means
        log: Log = []
        for turn in range(self.settings.rotations):
            error = self._turn(x, y)
            torch.mm(x, self.rotation, out=y)
            advance(1, note=f"rotation {turn + 1}: {error:.4f}")
            log.append({"turn": turn + 1, "distortion": error})
            if turn and log[-2]["distortion"] - error < TURN_TOLERANCE * error:
                break
        error = self._finish(y, advance)
        log.append({"turn": len(log) + 1, "distortion": error})
        return log

    def _turn(self, x: Tensor, y: Tensor) -> float:
        """Assign the parts of ``y`` once, then turn rotation and codewords; the error before.

        With the clusters as they are, codewords are the turned sums of their members and the
        quantised vectors ``q`` need never be made: ``x^T q`` of a part is ``sums^T codewords``.
        So the rotation can be solved a few times over without another pass over the items.
        """
        errors, sums, counts = 0.0, [], []
        for part, own in enumerate(self._parts(y)):
            found = kmeans(own, self.codebooks[part], 1)
            self.codebooks[part] = found.means
            sums.append(member_sums(x, found.labels, len(found.means)))
            counts.append(torch.bincount(found.labels, minlength=len(found.means))[:, None])
            errors += found.distortions[-1]
        cross = torch.empty_like(self.rotation)
        for solve in range(SOLVES):
            for part, (columns, turned) in enumerate(
                zip(self._parts(cross), self._parts(self.rotation), strict=True)
            ):
                if solve:
                    turned_means = sums[part] @ turned / counts[part].clamp_min(1)
                    own = self.codebooks[part]
                    self.codebooks[part] = torch.where(counts[part] > 0, turned_means, own)
                torch.mm(sums[part].T, self.codebooks[part], out=columns)
            self.rotation.copy_(_nearest_rotation(cross))
        return errors

    def _finish(self, y: Tensor, advance: Advance) -> float:
        """Let k-means of every part end under the last rotation; the error."""
        error = 0.0
        for part, own in enumerate(self._parts(y)):
            found = kmeans(own, self.codebooks[part], self.settings.iterations, TOLERANCE)
            self.codebooks[part] = shrunk(found, own.mean(0), self.settings.shrinkage)
            advance(self.settings.iterations, note=f"part {part + 1}")
            error += found.distortions[-1]
        return error

    def _parts(self, y: Tensor) -> list[Tensor]:
        return list(y.split(self.codebooks.shape[2], dim=1))

    def encode(self, x: Tensor) -> Tensor:
        """Codes ``(b, p)`` int64."""
        return self.logits(x).argmax(2)

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors ``(b, d)`` of int64 codes ``(b, p)``."""
        parts = torch.arange(len(self.codebooks), device=codes.device)
        return torch.addmm(self.mean, self.codebooks[parts, codes].flatten(1), self.rotation.T)

    def addends(self) -> tuple[Tensor, Tensor]:
        """The mean, and the codewords turned back."""
        turned = [
            codebook @ rotation.T
            for codebook, rotation in zip(self.codebooks, self._parts(self.rotation), strict=True)
        ]
        return self.mean, torch.stack(turned)

    def logits(self, x: Tensor) -> Tensor:
        """Minus half the squared distance ``(b, p, k)`` of every part to its codewords."""
        y = ((x - self.mean) @ self.rotation).view(len(x), len(self.codebooks), -1)
        lengths = self.codebooks.square().sum(2) + y.square().sum(2, keepdim=True)
        return torch.einsum("bps,pks->bpk", y, self.codebooks).sub_(lengths, alpha=0.5)


def principal_axes(x: Tensor, parts: int, width: int) -> Tensor:
    """Principal axes ``(d, e)`` of centred ``x`` ``(n, d)``, dealt out to the parts (Sec. 3.2).

    The largest axis left goes to the part, among those not full, with the least product of
    eigenvalues; the last columns of a part are zero where ``d`` is no multiple of the parts.
    """
    values, axes = torch.linalg.eigh(x.T @ x)
    logs = values.clamp_min(1e-6 * float(values[-1])).log().tolist()
    columns: list[list[int]] = [[] for _ in range(parts)]
    products = [0.0] * parts
    for axis in reversed(range(len(logs))):
        free = [part for part in range(parts) if len(columns[part]) < width // parts]
        chosen = min(free, key=lambda part: products[part])
        columns[chosen].append(axis)
        products[chosen] += logs[axis] - logs[0]
    out = x.new_zeros(x.shape[1], width)
    for part, own in enumerate(columns):
        start = part * (width // parts)
        out[:, start : start + len(own)] = axes[:, own]
    return out


def _nearest_rotation(cross: Tensor) -> Tensor:
    """Orthonormal rows ``(d, e)`` nearest to a matrix (orthogonal Procrustes, Sec. 3.1)."""
    left, _, right = torch.linalg.svd(cross, full_matrices=False)
    rotation: Tensor = left @ right
    return rotation
