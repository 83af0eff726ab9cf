"""Stage 2 as the paper has it: every step both learn, through the soft index (Eq. 15-19)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmq.finetuning._moving import MovingTask
from mmq.nn.soft_items import SoftItems
from mmq.training._distributed import summed
from mmq.training._loop import Batches, Part, seeded


class JointTask(MovingTask):
    """Codes learn with every step of the recommender.

    The tokenizer runs once over items of the batch, and the recommender reads their codes as
    :class:`~mmq.nn.soft_items.SoftItems`. The values are those of the table, which is made anew
    ``refreshes`` times an epoch and before every validation.

    Of several processes each makes the codes of the whole batch, with the same items and noise, so
    that their anchors, each weighed by a share of the batch, sum to those of one process.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        rate = self.settings.resolved_rate
        self.slower = {"tokenizer.": rate}
        self.tokenizer.network.requires_grad_(rate > 0)
        self.step = self.steps = 0
        self.totals: dict[str, Tensor] = {}
        self.draws = np.random.default_rng(self.settings.seed)

    def batches(self, generator: np.random.Generator) -> Batches:
        """Those of the recommender, on IDs of the weights as they are."""
        batches = super().batches(generator)
        self.step, self.steps, self.totals = 0, len(batches), {}
        self.draws = generator.spawn(1)[0]
        return batches

    def part(self, batch: Any, progress: float) -> Part:
        """The recommender's loss, and what anchors the tokenizer."""
        settings = self.settings
        if settings.resolved_rate == 0:
            return self.own.part(batch, progress)
        if self.step and self.step * settings.refreshes % self.steps < settings.refreshes:
            self.refresh()
        self.step += 1
        noise = settings.noise * (1 - progress)
        with seeded(self.draws, self.x.device):
            rows = self._drawn(self.adapter.rows(self.data, batch))
            found = self.soften(self.places[rows], settings.tau(progress), noise, self.draws)
            anchors = self.anchors(found)
        soft = SoftItems(rows, found.codes, settings.target_codes == "soft")
        part = self.own.part(batch, progress, soft)
        for name, value in (("task", part.loss), *anchors.items()):
            self.totals[name] = self.totals.get(name, 0) + value.detach() * part.share
        return part._replace(
            losses={"loss": torch.stack([part.loss, *self.weighted(anchors)]).sum()}
        )

    def validate(self) -> dict[str, float]:
        """:meth:`figures`, and the mean losses of the epoch."""
        return {**self.figures(), **self._means()}

    def _means(self) -> dict[str, float]:
        """Of the epoch's steps, over all processes."""
        if not self.totals:
            return {}
        totals = summed(torch.stack(list(self.totals.values())))
        pairs = zip(self.totals, totals.tolist(), strict=True)
        return {f"mean_{name}": total / self.step for name, total in pairs}

    def _drawn(self, rows: np.ndarray) -> Tensor:
        """Rows of a batch, no more than may carry a gradient."""
        found = torch.from_numpy(rows).to(self.x.device)
        if len(rows) <= self.settings.items_per_step:
            return found
        kept = torch.randperm(len(rows), device=found.device)[: self.settings.items_per_step]
        return found[kept.sort().values]
