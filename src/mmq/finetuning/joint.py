"""Stage 2 as a task: a recommender and a tokenizer that learn through the soft index (Eq. 19)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmq.finetuning.settings import FinetuneSettings
from mmq.metrics.quantisation import code_counts, sharing, utilisation
from mmq.nn.processes import place
from mmq.nn.selected import Batches, Part, Task, seeded
from mmq.nn.soft_items import SoftItems
from mmq.semantic_ids import Manifest, SemanticIDs
from mmq.tokenizers.evaluation import SAMPLE, reconstruction
from mmq.tokenizers.inputs import noisy
from mmq.tokenizers.network import SoftInputs
from mmq.tokenizers.soft import SoftTokenizer


class SoftNetwork(Protocol):
    """The network of a recommender that reads soft codes."""

    soft: SoftItems | None
    soft_targets: bool


class RowTask(Protocol):
    """A recommender's own task, which says what items are in a batch."""

    network: Any
    items: int
    selected_by: str

    def batches(self, generator: np.random.Generator) -> Batches:
        """The batches of an epoch."""

    def part(self, batch: Any, progress: float) -> Part:
        """The loss of this process's share of a batch."""

    def rows(self, batch: Any) -> np.ndarray:
        """The items of a batch, ascending: places in ``data.item_ids``."""

    def validate(self) -> dict[str, float]:
        """Figures of the network as it is."""


class Data(Protocol):
    """What a recommender learns from."""

    @property
    def item_ids(self) -> pa.Array:
        """Its items."""

    def liked(self) -> tuple[np.ndarray, np.ndarray]:
        """Who liked what in the training part: numbers of users, and of items."""

    def fingerprint(self) -> str:
        """Content hash of what is learned from and selected on."""


class Student(Protocol):
    """A recommender of semantic IDs that can be fine-tuned together with their tokenizer."""

    settings: Any

    @property
    def network(self) -> Any:
        """Its :class:`SoftNetwork`."""

    @property
    def semantic_ids(self) -> SemanticIDs:
        """The table that it was fitted to."""

    def require_soft(self, data: Any) -> None:
        """Raise a :class:`~mmq.errors.UserError` if it cannot read soft codes, or not of ``data``.

        What it was fitted to is all that it can be fine-tuned on.
        """

    def task(self, data: Any) -> Any:
        """Its :class:`RowTask`, for the IDs that it has now."""

    def rename(self, codes: np.ndarray, manifest: Manifest | None = None) -> None:
        """Give the items of :attr:`semantic_ids` other codes, and say what made them."""


class JointTask(Task):
    """The recommender's own task, with codes that learn.

    Every step the tokenizer runs once over items of the batch; the recommender reads their codes
    as :class:`~mmq.nn.soft_items.SoftItems`. All other codes are those of the table, which is
    made anew ``refreshes`` times an epoch and before every validation.

    Of several processes each makes the codes of the whole batch, with the same items and noise, so
    that their anchors, each weighed by a share of the batch, sum to those of one process.

    Args:
        student: the recommender.
        tokenizer: of its IDs.
        data: what the recommender learns from.
        inputs: embeddings of the items of the student's table, in its order, and their presence.
        settings: of stage 2.
    """

    def __init__(
        self,
        student: Student,
        tokenizer: SoftTokenizer[Any, Any],
        data: Data,
        inputs: tuple[Tensor, Tensor],
        settings: FinetuneSettings,
    ) -> None:
        self.student, self.tokenizer, self.data = student, tokenizer, data
        self.x, self.present = inputs
        self.settings = settings
        self.own: RowTask = student.task(data)
        self.items, self.selected_by = self.own.items, self.own.selected_by
        self.network = nn.ModuleDict(
            {"recommender": student.network, "tokenizer": tokenizer.network}
        )
        self.slower = {"tokenizer.": settings.tokenizer_rate}
        self.network["recommender"].requires_grad_(True)
        self.network["tokenizer"].requires_grad_(settings.tokenizer_rate > 0)
        self.start = student.semantic_ids.codes
        self.colliding = colliding(self.start)
        self.places = torch.from_numpy(student.semantic_ids.find(data.item_ids)).to(self.x.device)
        self.step = self.steps = 0
        self.totals: dict[str, Tensor] = {}
        self.draws = np.random.default_rng(settings.seed)
        self.codes = torch.from_numpy(self.start.astype(np.int64)).to(self.x.device)
        noise = settings.input_noise
        stage1 = tokenizer.settings.resolved_noise(len(self.x))
        self.input_noise = stage1 if noise is None else noise

    def batches(self, generator: np.random.Generator) -> Batches:
        """Those of the recommender, on IDs of the weights as they are."""
        self.refresh()
        batches = self.own.batches(generator)
        self.step, self.steps, self.totals = 0, len(batches), {}
        self.draws = generator.spawn(1)[0]
        return batches

    def part(self, batch: Any, progress: float) -> Part:
        """The recommender's loss, and what anchors the tokenizer."""
        settings, network = self.settings, self.student.network
        if settings.tokenizer_rate == 0:
            return self.own.part(batch, progress)
        if self.step and self.step * settings.refreshes % self.steps < settings.refreshes:
            self.refresh()
        self.step += 1
        with seeded(self.draws, self.x.device):
            soft, anchors = self._soften(self._drawn(self.own.rows(batch)), progress)
        network.soft, network.soft_targets = soft, settings.target_codes == "soft"
        try:
            part = self.own.part(batch, progress)
        finally:
            network.soft = None
        for name, value in (("task", part.loss), *anchors.items()):
            self.totals[name] = self.totals.get(name, 0) + value.detach() * part.share
        weighted = [getattr(settings, f"{name}_weight") * each for name, each in anchors.items()]
        return part._replace(loss=torch.stack([part.loss, *weighted]).sum())

    def validate(self) -> dict[str, float]:
        """:meth:`figures`, and the mean losses of the epoch."""
        return {**self.figures(), **self._means()}

    def figures(self) -> dict[str, float]:
        """Figures on the IDs of the weights as they are, and how far these have moved."""
        self.refresh()
        codes = self.student.semantic_ids.codes
        moved = codes != self.start
        stride = -(-len(codes) // SAMPLE)
        kept = reconstruction(self.tokenizer.network, self.x[::stride], self.present[::stride])
        return {
            **self.own.validate(),
            "items_moved": float(moved.any(1).mean()),
            "codes_moved": float(moved.mean()),
            "colliding": colliding(codes),
            "l_recon": kept.l_recon,
            "fvu": kept.fvu,
            "utilisation": used(codes, self.student.semantic_ids.codebook_sizes),
        }

    def refused(self, figures: Mapping[str, float]) -> bool:
        """Whether too many items share their ID."""
        return figures["colliding"] - self.colliding > self.settings.max_colliding

    def refresh(self) -> None:
        """Give all items the IDs that the tokenizer gives them now."""
        with torch.no_grad():
            search = self.tokenizer.network.search()
            blocks = zip(self.x.split(2048), self.present.split(2048), strict=True)
            self.codes = torch.cat([search(x, present) for x, present in blocks]).long()
        self.student.rename(self.codes.cpu().numpy())
        self.own = self.student.task(self.data)

    def _means(self) -> dict[str, float]:
        """Of the epoch's steps, over all processes."""
        if not self.totals:
            return {}
        totals = torch.stack(list(self.totals.values()))
        if place()[1] > 1:
            dist.all_reduce(totals)
        pairs = zip(self.totals, totals.tolist(), strict=True)
        return {f"mean_{name}": total / self.step for name, total in pairs}

    def _drawn(self, rows: np.ndarray) -> Tensor:
        """Rows of a batch, no more than may carry a gradient."""
        found = torch.from_numpy(rows).to(self.x.device)
        if len(rows) <= self.settings.items_per_step:
            return found
        kept = torch.randperm(len(rows), device=found.device)[: self.settings.items_per_step]
        return found[kept.sort().values]

    def _soften(self, rows: Tensor, progress: float) -> tuple[SoftItems, dict[str, Tensor]]:
        """Codes as the table has them, or drawn by Gumbel noise, with the gradient of near ones."""
        settings, own = self.settings, self.places[rows]
        target, present = self.x[own], self.present[own]
        x = target
        if self.input_noise > 0:
            widths = list(self.tokenizer.dimensions.values())
            x = noisy(target, present, widths, self.input_noise, self.draws)
        end = settings.temperature_end or settings.temperature
        tau = settings.temperature * (end / settings.temperature) ** progress
        noise = settings.noise * (1 - progress)
        codes = None if noise > 0 else self.codes[own]
        found = self.tokenizer.soften(SoftInputs(x, present, target, tau, noise, codes))
        anchors = {
            name: make()
            for name, make in found.losses.items()
            if getattr(settings, f"{name}_weight", 0.0) > 0
        }
        return SoftItems(rows, found.codes), anchors


def colliding(codes: np.ndarray) -> float:
    """Share of the items whose ID another one has too."""
    return sharing(codes).colliding_items / len(codes)


def used(codes: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Share of the codes that an item has, mean over the codebooks."""
    return float(utilisation(code_counts(codes, sizes)).mean())
