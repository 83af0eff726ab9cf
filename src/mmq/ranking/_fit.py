"""The training of rankers: shuffled impressions and their cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from mmq.nn.soft_items import SoftItems
from mmq.ranking._batches import hidden, shown_batch
from mmq.ranking._impressions import Impressions
from mmq.ranking._network import PPNetNetwork
from mmq.ranking._settings import PPNetSettings
from mmq.ranking._vocabulary import Numbering
from mmq.training._distributed import place
from mmq.training._early_stopping import ValidatedTask, mixed_precision
from mmq.training._loop import Part

_STEPS, _FEWEST, _MOST = 1000, 5, 50
"""Steps that a training should make, and the epochs that it is given for them."""
_RUN = 4096
"""Rows that are read one after another."""


@dataclass(frozen=True)
class Shuffled:
    """Batches of row numbers in a random order, in the memory of some rows.

    Runs of consecutive rows are drawn at random, and as many as fit in ``together`` are shuffled
    with each other. A log of no more rows is shuffled as a whole.

    Attributes:
        rows: of the log.
        size: of a batch; batches are split evenly.
        together: rows that are shuffled with each other.
        seed: of the order.
    """

    rows: int
    size: int
    together: int
    seed: int

    def __len__(self) -> int:
        return sum(math.ceil(len(part) / self.size) for part in self._parts())

    def __iter__(self) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(self.seed)
        for part in self._parts():
            yield from np.array_split(generator.permutation(part), math.ceil(len(part) / self.size))

    def _parts(self) -> Iterator[np.ndarray]:
        generator = np.random.default_rng([self.seed, 1])
        run = min(_RUN, self.together)
        runs = generator.permutation(math.ceil(self.rows / run))
        parts = math.ceil(len(runs) / (self.together // run))
        for part in np.array_split(runs, parts):
            numbers = (part[:, None] * run + np.arange(run)).ravel()
            yield numbers[numbers < self.rows]


class RankingTask(ValidatedTask):
    """Every impression predicts its label.

    Args:
        network: what learns.
        settings: how.
        train: the impressions to learn from.
        numbering: where their users, items and values have embeddings.
        figures: gives those of the network as it is.
    """

    monitor = "auc"

    def __init__(
        self,
        network: PPNetNetwork,
        settings: PPNetSettings,
        train: Impressions,
        numbering: Numbering,
        figures: Callable[[], dict[str, float]],
    ) -> None:
        self.network: PPNetNetwork = network
        self.settings, self.train, self.figures = settings, train, figures
        self.numbering, self.items = numbering, len(train)
        self.device = next(network.parameters()).device

    @property
    def usual_epochs(self) -> int:
        """As many as make :data:`_STEPS`: a small log has few steps an epoch."""
        steps = math.ceil(self.items / self.settings.batch_size)
        return min(max(math.ceil(_STEPS / max(steps, 1)), _FEWEST), _MOST)

    def batches(self, generator: np.random.Generator) -> Shuffled:
        """Row numbers of all impressions, shuffled."""
        settings = self.settings
        seed = int(generator.integers(2**62))
        return Shuffled(self.items, settings.batch_size, settings.shuffle_rows, seed)

    def part(self, batch: np.ndarray, progress: float, soft: SoftItems | None = None) -> Part:
        """Mean over this process's impressions, with soft codes for some items if given."""
        rank, world = place()
        own = batch[rank::world]
        loss = torch.zeros((), device=self.device)
        if len(own):
            impressions = self.train.take(own)
            shown = shown_batch(impressions, self.numbering, self.settings, self.device, True)
            labels = torch.from_numpy(impressions.labels.astype(np.float32)).to(self.device)
            with mixed_precision(self.device, self.settings.precision):
                known = hidden(shown, self.settings.unknown_share)
                logits = self.network(known._replace(soft=soft))
            loss = binary_cross_entropy_with_logits(logits.float(), labels)
        return Part({"loss": loss}, len(own) / len(batch), len(batch))

    def validate(self) -> dict[str, float]:
        """AUC and log-loss of the validation part."""
        return self.figures()
