"""From a user's vector to the codes of the next item: all at once, or one given those before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, silu

from mmq.decoding import CodeScores, ParallelScores
from mmq.nn.code_sums import CodeSums
from mmq.nn.softmax import softmax_cross_entropy
from mmq.recommenders._network import embedding


class CodeHeads(nn.Module, ABC):
    """One classifier a code position, all of them in one batched product.

    Positions with fewer codes than the largest codebook are padded with codes of probability 0.

    Args:
        codebook_sizes: K of each position.
        dim: d, width of a user's vector.
    """

    forbidden: Tensor

    def __init__(self, codebook_sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        length, most = len(codebook_sizes), max(codebook_sizes)
        self.sizes = tuple(codebook_sizes)
        self.codes = embedding(length, most, dim)
        self.bias = nn.Parameter(torch.zeros(length, 1, most))
        beyond = torch.arange(most) >= torch.tensor(self.sizes)[:, None]
        empty = torch.zeros(length, 1, most).masked_fill_(beyond[:, None], -torch.inf)
        self.register_buffer("forbidden", empty, persistent=False)

    @abstractmethod
    def loss(self, users: Tensor, codes: Tensor) -> Tensor:
        """Cross-entropy of ``codes`` ``(n, length)`` given ``users`` ``(n, d)``, mean of both."""

    @abstractmethod
    def scores(self, users: Tensor) -> CodeScores:
        """Log-probabilities for a search, from ``users`` ``(b, d)``."""

    def _logits(self, states: Tensor, positions: slice) -> Tensor:
        """``(p, n, d)``, a state for each of p positions -> ``(p, n, K)``."""
        logits = torch.baddbmm(self.bias[positions], states, self.codes[positions].mT)
        return logits + self.forbidden[positions] if min(self.sizes) < max(self.sizes) else logits

    def _cross_entropy(self, states: Tensor, codes: Tensor) -> Tensor:
        logits = self._logits(states, slice(None))
        return cross_entropy(logits.flatten(0, 1).float(), codes.t().flatten().long())


class ParallelHeads(CodeHeads):
    """Every code given the user alone (multi-token prediction): codes have no order."""

    def loss(self, users: Tensor, codes: Tensor) -> Tensor:
        """As :meth:`CodeHeads.loss`."""
        return self._cross_entropy(users.expand(len(self.sizes), -1, -1), codes)

    def catalogue_sums(self, codes: Tensor) -> CodeSums:
        """What :meth:`catalogue_loss` adds up for ``codes`` ``(items, length)``."""
        length, most = self.codes.shape[:2]
        offsets = torch.arange(length, device=codes.device) * most
        return CodeSums(codes + offsets, length * most)

    def catalogue_loss(
        self, users: Tensor, items: Tensor, targets: Tensor, log_weights: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy of whole IDs among those that items have, a scalar.

        The log-probability of an ID is the sum of its codes' logits, up to a constant of the user.
        Where :meth:`loss` spends probability on all combinations of codes, this one compares the
        items that exist, which is what the exact search ranks by.

        Args:
            users: ``(n, d)``.
            items: ``(items, d + 1)`` sums of :meth:`classifiers` over the codes of each item.
            targets: ``(n,)`` rows of items.
            log_weights: ``(items,)`` log of as how many each competes; as one if not given.
        """
        return softmax_cross_entropy(with_bias(users), items, targets, log_weights)

    def classifiers(self) -> Tensor:
        """``(length * K, d + 1)``: what gives each code its logit, the bias last."""
        return torch.cat([self.codes, self.bias.mT], dim=2).flatten(0, 1)

    def scores(self, users: Tensor) -> ParallelScores:
        """As :meth:`CodeHeads.scores`."""
        log_probs = self._of_all(users).log_softmax(2)
        return ParallelScores(
            [each[:, :size] for each, size in zip(log_probs, self.sizes, strict=True)]
        )

    def normaliser(self, users: Tensor) -> Tensor:
        """``(b,)``: what the sum of an ID's logits is above its log-probability."""
        return self._of_all(users).logsumexp(2).sum(0)

    def _of_all(self, users: Tensor) -> Tensor:
        return self._logits(users.expand(len(self.sizes), -1, -1), slice(None)).float()


def with_bias(users: Tensor) -> Tensor:
    """``(n, d)`` -> ``(n, d + 1)``, so that a product with classifiers adds their bias."""
    return pad(users, (0, 1), value=1.0)


class AutoregressiveHeads(CodeHeads):
    """Every code given the user and the codes before it: for codes that refine each other.

    The codes taken so far are added to the user's vector as embeddings, as residual quantisers add
    up codewords, and a layer of the position reads the sum. So the state of a beam is one vector,
    however long the prefix.
    """

    def __init__(self, codebook_sizes: Sequence[int], dim: int) -> None:
        super().__init__(codebook_sizes, dim)
        length = len(codebook_sizes)
        self.taken = embedding(length - 1, max(codebook_sizes), dim)
        self.inner = nn.Parameter(torch.randn(length, dim, dim) * dim**-0.5)
        self.inner_bias = nn.Parameter(torch.zeros(length, 1, dim))

    def loss(self, users: Tensor, codes: Tensor) -> Tensor:
        """As :meth:`CodeHeads.loss`."""
        positions = torch.arange(len(self.sizes) - 1, device=codes.device)
        taken = self.taken[positions, codes[:, :-1]].transpose(0, 1)
        states = users + pad(taken.cumsum(0), (0, 0, 0, 0, 1, 0))
        return self._cross_entropy(self._read(states, slice(None)), codes)

    def scores(self, users: Tensor) -> AutoregressiveScores:
        """As :meth:`CodeHeads.scores`."""
        return AutoregressiveScores(self, users)

    def log_probs(self, states: Tensor, position: int) -> Tensor:
        """``(n, d)`` -> ``(n, K)`` of one position."""
        here = slice(position, position + 1)
        logits = self._logits(self._read(states[None], here), here)[0]
        return logits.float().log_softmax(1)[:, : self.sizes[position]]

    def _read(self, states: Tensor, positions: slice) -> Tensor:
        return states + silu(
            torch.baddbmm(self.inner_bias[positions], states, self.inner[positions])
        )


class AutoregressiveScores:
    """What a search asks of :class:`AutoregressiveHeads`; each beam has its state."""

    def __init__(self, heads: AutoregressiveHeads, users: Tensor) -> None:
        self.heads = heads
        self.states = users[:, None]

    def first(self) -> Tensor:
        """``(b, K_0)``."""
        return self.heads.log_probs(self.states[:, 0], 0)

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """``(b, beams, K_level)``, given what each beam took."""
        index = parents[..., None].expand(-1, -1, self.states.shape[2])
        self.states = self.states.gather(1, index) + self.heads.taken[level - 1][codes]
        log_probs = self.heads.log_probs(self.states.flatten(0, 1), level)
        return log_probs.view(*parents.shape, -1)
