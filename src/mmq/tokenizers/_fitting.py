"""What the tokenizers made of k-means share: settings, the items each quantiser learns from."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from mmq._progress import bar
from mmq.tokenizers._base import ITEMS_PER_CODEWORD
from mmq.tokenizers._fused import FusedNetwork, Quantiser, RefinementSettings, require_enough
from mmq.training._loop import Log, Trained

KQ = TypeVar("KQ", bound="KMeansQuantiser")

Advance = Callable[..., None]


class KMeansSettings(RefinementSettings):
    """Settings of every tokenizer that is fitted by k-means."""

    iterations: PositiveInt = 25
    """At most so many iterations; a fit ends earlier when nothing changes any more."""
    shrinkage: NonNegativeFloat = 0.0
    """Pseudo-members at the mean of all that each codeword is averaged with: less overfitting
    where few items share a codeword."""

    removed: ClassVar[Mapping[str, Any]] = {"items_per_codeword": 1024}


class KMeansQuantiser(Quantiser):
    """A quantiser that is fitted to vectors at once."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Iterations at most, for the progress bar."""

    @abstractmethod
    def fit(self, x: Tensor, generator: np.random.Generator, advance: Advance) -> Log:
        """Set the codebooks.

        Args:
            x: ``(n, d)``, overwritten.
            generator: source of all randomness.
            advance: called with the iterations done.
        """


def fit_quantisers(
    network: FusedNetwork[KQ], x: Tensor, present: Tensor, settings: KMeansSettings
) -> Trained:
    """Fit the quantiser of every group on the items that have what it reads.

    Args:
        network: whose quantisers and fillers are set, in place.
        x: ``(items, sum of dimensions)``, zero where missing.
        present: ``(items, m)``.
        settings: seed and codebook size.

    Raises:
        DataError: fewer items of a group than codewords.
    """
    started = time.monotonic()
    network.set_filler(x.to(network.device), present.to(network.device))
    log: Log = []
    groups = zip(network.groups(), network.seen(present), strict=True)
    require_enough(network, present, settings.codebook_size)
    passes = passed = 0
    with bar("fit", sum(each.steps for each in network.groups()), unit="iterations") as advance:
        for group, (quantiser, seen) in enumerate(groups):
            rows = torch.nonzero(seen).flatten()
            generator = np.random.default_rng([settings.seed, group])
            limit = ITEMS_PER_CODEWORD * settings.codebook_size
            if len(rows) > limit:
                drawn = generator.choice(len(rows), limit, replace=False)
                rows = rows[torch.from_numpy(np.sort(drawn))]
            own = network.inputs(x[rows].to(network.device), present[rows].to(network.device))
            vectors = own[group].clone(memory_format=torch.contiguous_format)
            own_log = quantiser.fit(vectors, generator, advance)
            log += [{"group": group, **line} for line in own_log]
            own_passes = sum(int(line.get("iterations", 1)) for line in own_log)
            passes, passed = passes + own_passes, passed + own_passes * len(rows)
    seconds = time.monotonic() - started
    return Trained(passes, seconds, passed / max(seconds, 1e-9), log)
