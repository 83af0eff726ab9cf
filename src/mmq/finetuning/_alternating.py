"""Stage 2, alternating: the model learns for an epoch, then the tokenizer what it would gain.

The slope of a loss, which is all that the soft index of Eq. 18 passes back, says little of what a
reassignment does: codewords lie far apart, and a batch shows an item a few times only. So
reassignments are measured over the whole training part, as far as they go.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mmq.finetuning._adapters.base import numbers_of
from mmq.finetuning._moving import MovingTask
from mmq.tokenizers._network import SoftInputs
from mmq.training._loop import Figures, seeded
from mmq.training._optimiser import Adam, LearningSettings

_BATCH = 256
"""Items a step of the tokenizer."""
_BLOCK = 2048
"""Items whose nearest codes are found at a time."""
_MEASURED = 20_000
"""Items whose reassignments are measured after an epoch; of more, as many are drawn."""
_MOST = 2.0
"""Nats an interaction: dearer reassignments are as good as forbidden, and count as this."""


class Learned(NamedTuple):
    """What a tokenizer learns from between two epochs.

    Attributes:
        items: ``(m,)`` int64 rows of the table that are measured.
        costs: ``(m, n, k)`` nats of each reassignment, an interaction of an average item.
        wanted: ``(m, n)`` the codes that they should have.
    """

    items: Tensor
    costs: Tensor
    wanted: Tensor


class AlternatingTask(MovingTask):
    """Codes learn between the epochs of the recommender, until ``moving`` of them are done.

    For items, all of them or a fresh draw of many, the model tells what each reassignment of a code
    would cost or gain (:meth:`~mmq.finetuning._adapters.Adapter.reassignment_costs`). An item
    should have the codes that it has, but for the reassignment that pays most, among the
    ``nearest`` codes of each position. The tokenizer learns for some steps to give these, by the
    mean over items of

        behaviour_weight * sum_i <soft_i, cost_i> - wanted_weight * mean_i log soft_i[wanted_i]
        + alpha' L_recon + beta' L_aux

    with ``soft_i`` of Eq. 16 and costs in nats an interaction of an average item. The first term
    knows what every other code is worth where the tokenizer cannot give the one that is wanted;
    the second keeps the items in place that share its weights with one that moves.
    """

    def end_epoch(self, generator: np.random.Generator, start: float, end: float) -> Figures:
        """Measure, and let the tokenizer learn."""
        settings = self.settings
        if not settings.has_turn(end):
            return {}
        items = self._drawn(generator)
        costs = self._costs(items)
        learned = Learned(items, costs, self._wanted(items, costs))
        network = self.tokenizer.network.requires_grad_(True).train()
        peak = settings.learning(self.student.settings, settings.epochs).learning_rate
        schedule = LearningSettings(learning_rate=peak * settings.resolved_rate)
        adam = Adam(network, schedule)
        steps = settings.tokenizer_steps
        with seeded(generator, self.x.device, process=0):  # the same in all processes
            for step in range(steps):
                adam.step(self._loss(learned, end, generator), step / steps)
        network.requires_grad_(False).eval()
        return {}

    def _drawn(self, generator: np.random.Generator) -> Tensor:
        """``(m,)`` int64 rows of the table, ascending: all, or as many as are measured."""
        if len(self.x) <= _MEASURED:
            return torch.arange(len(self.x), device=self.x.device)
        rows = generator.choice(len(self.x), _MEASURED, replace=False, shuffle=False)
        return torch.from_numpy(np.sort(rows)).to(self.x.device)

    def _costs(self, items: Tensor) -> Tensor:
        """``(m, n, k)`` of rows of the table; nothing is known of what training did not meet."""
        rows = numbers_of(self.places, len(self.x))[items]
        known = rows >= 0
        own = self.adapter.reassignment_costs(self.data, rows[known])
        codes = self.codes[items[known]][:, :, None]
        own += self.settings.resolved_least_gain(codes.shape[1])
        own.scatter_(2, codes, 0.0)
        costs = own.new_zeros(len(items), *own.shape[1:])
        costs[known] = own * (len(self.places) / self.items)
        return costs.clamp_(max=_MOST)

    @torch.no_grad()
    def _wanted(self, items: Tensor, costs: Tensor) -> Tensor:
        """``(m, n)``: the codes that items should have."""
        wanted = self.codes[items]
        for some in torch.arange(len(items), device=items.device).split(_BLOCK):
            rows = items[some]
            x, present = self.x[rows], self.present[rows]
            inputs = SoftInputs(x, present, x, self.settings.tau(0), codes=self.codes[rows])
            logits = self.tokenizer.soften(inputs).logits
            near = logits.topk(min(self.settings.nearest, logits.shape[2]), dim=2).indices
            lowest, place = costs[some].gather(2, near).flatten(1).min(1)
            pays = (lowest < 0).nonzero()[:, 0]
            codes = near.flatten(1).gather(1, place[:, None])[:, 0]
            wanted[some[pays], place[pays] // near.shape[2]] = codes[pays]
        return wanted

    def _loss(self, learned: Learned, progress: float, generator: np.random.Generator) -> Tensor:
        rows = generator.integers(len(learned.items), size=min(_BATCH, len(learned.items)))
        chosen = torch.from_numpy(rows).to(self.x.device)
        settings, codes = self.settings, learned.wanted[chosen]
        noise, tau = settings.noise * (1 - progress), settings.tau(progress)
        found = self.soften(learned.items[chosen], tau, noise, generator, codes)
        cost = (found.codes * learned.costs[chosen]).sum() / len(rows)
        missed = cross_entropy((found.logits / tau).flatten(0, 1), codes.flatten())
        terms = [settings.behaviour_weight * cost, settings.wanted_weight * missed]
        return torch.stack([*terms, *self.weighted(self.anchors(found))]).sum()
