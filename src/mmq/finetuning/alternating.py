"""Stage 2 by turns: the model learns for an epoch, then the tokenizer learns what it would gain.

The slope of a loss, which is all that the soft index of Eq. 18 passes back, says little of what a
switch to another code does: codewords lie far apart, and a batch shows an item a few times only.
So switches are measured: over the whole training part and to second order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmq.finetuning.moving import MovingTask
from mmq.nn.loop import Adam, LearningSettings
from mmq.nn.selected import seeded

_BATCH = 256
"""Items a step of the tokenizer."""
_MOST = 10.0
"""Nats an interaction: dearer switches are as good as forbidden, and count as this."""


class AlternatingTask(MovingTask):
    """Codes learn between the epochs of the recommender, until ``moving`` of them are done.

    For every item the model tells what each switch of a code would cost or gain
    (:meth:`~mmq.finetuning.moving.Student.switch_costs`). The tokenizer then learns for some steps
    to make the good ones, by the mean over items of

        behaviour_weight * sum_i <soft_i, cost_i> + alpha' L_recon + beta' L_aux

    with ``soft_i`` of Eq. 16 and costs in nats an interaction of an average item. Only codes near
    an item's embeddings have a share in ``soft_i``, so an ID moves no further from the content
    than it pays.
    """

    def end_epoch(self, generator: np.random.Generator, progress: float) -> None:
        """Measure, and let the tokenizer learn."""
        settings = self.settings
        if settings.resolved_rate == 0 or progress > settings.moving:
            return
        costs = self._costs()
        network = self.tokenizer.network.requires_grad_(True).train()
        peak = settings.learning(self.student.settings, settings.epochs).learning_rate
        schedule = LearningSettings(learning_rate=peak * settings.resolved_rate)
        adam = Adam(network, schedule)
        with seeded(generator, self.x.device, process=0):  # the same in all processes
            for step in range(settings.tokenizer_steps):
                adam.step(self._loss(costs, progress, generator), step / settings.tokenizer_steps)
        network.requires_grad_(False).eval()

    def _costs(self) -> Tensor:
        """``(items of the table, n, k)``; nothing is known of items that training did not meet."""
        own = self.student.switch_costs(self.data)
        costs = own.new_zeros(len(self.x), *own.shape[1:])
        costs[self.places] = own * (len(own) / self.items)
        return costs.clamp_(max=_MOST)

    def _loss(self, costs: Tensor, progress: float, generator: np.random.Generator) -> Tensor:
        rows = generator.integers(len(self.x), size=min(_BATCH, len(self.x)))
        chosen = torch.from_numpy(rows).to(self.x.device)
        settings = self.settings
        noise = settings.noise * (1 - progress)
        found = self.soften(chosen, settings.tau(progress), noise, generator)
        gain = (found.codes * costs[chosen]).sum() / len(rows)
        weighted = self.weighted(self.anchors(found))
        return torch.stack([settings.behaviour_weight * gain, *weighted]).sum()
