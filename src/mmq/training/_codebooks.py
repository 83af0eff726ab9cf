"""What is learned of codebooks beside gradients: moving averages, and which codewords lie idle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmq.nn.residual import member_counts, member_sums
from mmq.training._distributed import summed

DECAY = 0.99
"""Share of the past that a step of moving averages keeps."""


class Members(NamedTuple):
    """What codewords stand for in this process's share of a batch.

    Attributes:
        vectors: ``(n, b, d)``.
        codes: ``(n, b)`` int64.
        mask: ``(n, b)``, zero where a vector says nothing; None where all do.
    """

    vectors: Tensor
    codes: Tensor
    mask: Tensor | None = None


class CodebookState:
    """Moving averages of the members of every codeword, and their use over an epoch.

    Each process gives the members of its own share; counts and sums are of all of them.

    Args:
        codebooks: ``(n, k, d)``, which :meth:`move` and :meth:`revive` change in place.
        decay: share of the past that a step keeps.
    """

    def __init__(self, codebooks: Tensor, decay: float = DECAY) -> None:
        self.codebooks, self.decay = codebooks.detach(), decay
        self.begin()

    def begin(self) -> None:
        """Start the averages at the codewords as they are."""
        self.counts = torch.ones_like(self.codebooks[:, :, 0])
        self.sums = self.codebooks.clone()
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Count the use of codewords anew."""
        self.used = torch.zeros_like(self.counts)

    @torch.no_grad()
    def count(self, members: Members) -> None:
        """Count the codewords that the members use."""
        self.used += member_counts(members.codes, self.used.shape[1], members.mask)

    @torch.no_grad()
    def move(self, members: Members) -> None:
        """Take members in and set the codewords (VQ-VAE, appendix A.1), if any process has some."""
        vectors, codes, mask = members
        counts = summed(member_counts(codes, self.counts.shape[1], mask))
        if not bool(counts.any()):
            return
        if mask is not None:
            vectors = vectors * mask.unsqueeze(2)
        sums = summed(member_sums(vectors, codes, self.counts.shape[1]))
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.codebooks.copy_(self.sums / self.counts.clamp_min(1e-6).unsqueeze(2))

    def end_epoch(self) -> None:
        """Add up the use of codewords in all processes."""
        summed(self.used)

    @property
    def has_idle(self) -> bool:
        """Whether a codeword was not used in the epoch."""
        return not bool(self.used.all())

    def revive(self, points: list[Tensor]) -> int:
        """Restart idle codewords at points ``(p, d)`` of their position; gives back how many."""
        revived = 0
        for place, (own, used) in enumerate(zip(points, self.used, strict=True)):
            slots = torch.nonzero(used == 0).flatten()[: len(own)]
            self.codebooks[place, slots] = self.sums[place, slots] = own[: len(slots)]
            self.counts[place, slots] = 1.0
            revived += len(slots)
        return revived

    def state(self) -> dict[str, Tensor]:
        """The averages, by name."""
        return {"counts": self.counts, "sums": self.sums}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a :meth:`state`."""
        self.counts, self.sums = tensors["counts"], tensors["sums"]
