"""What both ways of stage 2 share: what they ask of a recommender, and the table that moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from mmq.finetuning._adapters import adapter_of
from mmq.finetuning._settings import FinetuneSettings
from mmq.metrics.quantisation import code_counts, sharing, utilisation
from mmq.nn.soft_items import SoftItems
from mmq.semantic_ids import SemanticIDs
from mmq.tokenizers._evaluation import SAMPLE, reconstruction
from mmq.tokenizers._inputs import Inputs, noisy
from mmq.tokenizers._network import Softened, SoftInputs
from mmq.tokenizers._soft import SoftTokenizer
from mmq.training._early_stopping import ValidatedTask
from mmq.training._loop import Batches, Part


class SoftTask(Protocol):
    """A model's own task, which takes soft codes with a batch."""

    network: Any
    items: int
    monitor: str

    def batches(self, generator: np.random.Generator) -> Batches:
        """The batches of an epoch."""

    def part(self, batch: Any, progress: float, soft: SoftItems | None = None) -> Part:
        """The loss of this process's share of a batch."""

    def validate(self) -> dict[str, float]:
        """Figures of the network as it is."""


class Data(Protocol):
    """What a recommender learns from."""

    @property
    def item_ids(self) -> pa.Array:
        """Its items."""

    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """The positives of the training part: numbers of users, and of items."""

    def fingerprint(self) -> str:
        """Content hash of what is learned from and selected on."""


class Student(Protocol):
    """A recommender of semantic IDs that can be fine-tuned together with their tokenizer."""

    kind: str
    settings: Any

    @property
    def network(self) -> Any:
        """What learns."""

    @property
    def semantic_ids(self) -> SemanticIDs:
        """The table that it was fitted to."""

    def task(self, data: Any) -> Any:
        """Its :class:`SoftTask`, for the IDs that it has now."""


class MovingTask(ValidatedTask):
    """The recommender's own task, on IDs that a tokenizer gives anew as it learns.

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
        inputs: Inputs,
        settings: FinetuneSettings,
    ) -> None:
        self.student, self.tokenizer, self.data = student, tokenizer, data
        self.adapter = adapter_of(student)
        self.inputs, self.x, self.present = inputs, inputs.x, inputs.present
        self.settings = settings
        self.own: SoftTask = student.task(data)
        self.items, self.monitor = self.own.items, self.own.monitor
        student.network.requires_grad_(True)
        tokenizer.network.requires_grad_(False)
        parts = {"recommender": student.network, "tokenizer": tokenizer.network}
        self.network = nn.ModuleDict(parts)
        self.sparse = {f"recommender.{name}" for name in getattr(self.own, "sparse", ())}
        self.start = student.semantic_ids.codes
        self.colliding = colliding(self.start)
        self.codes = torch.from_numpy(self.start.astype(np.int64)).to(self.x.device)
        self.places = torch.from_numpy(student.semantic_ids.find(data.item_ids)).to(self.x.device)
        stage1 = tokenizer.settings.resolved_noise(len(self.x))
        self.input_noise = settings.resolved_input_noise(stage1)

    def batches(self, generator: np.random.Generator) -> Batches:
        """Those of the recommender, on IDs of the weights as they are."""
        self.refresh()
        return self.own.batches(generator)

    def part(self, batch: Any, progress: float) -> Part:
        """The recommender's own loss."""
        return self.own.part(batch, progress)

    def validate(self) -> dict[str, float]:
        """:meth:`figures`, and what is to be logged beside them."""
        return self.figures()

    def figures(self) -> dict[str, float]:
        """Figures on the IDs of the weights as they are, and how far these have moved."""
        self.refresh()
        codes = self.student.semantic_ids.codes
        moved = codes != self.start
        stride = -(-len(codes) // SAMPLE)
        sample = self.inputs.take(slice(None, None, stride))
        kept = reconstruction(self.tokenizer.network, sample)
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
        self.adapter.rename(self.codes.cpu().numpy())
        self.own = self.student.task(self.data)

    def soften(
        self,
        rows: Tensor,
        tau: float,
        noise: float,
        generator: np.random.Generator,
        codes: Tensor | None = None,
    ) -> Softened:
        """The codes of items, or codes drawn by Gumbel noise, with their gradient.

        Codes ``(b, n)`` are those of the table if none are given.

        The way back sees the embeddings disturbed as in stage 1, so that codes learn what is true
        of alike items too, not single items by heart.
        """
        target, present = self.x[rows], self.present[rows]
        x = target
        if self.input_noise > 0:
            widths = list(self.tokenizer.network.dimensions.values())
            x = noisy(target, present, widths, self.input_noise, generator)
        own = self.codes[rows] if codes is None else codes
        codes = None if noise > 0 else own
        return self.tokenizer.soften(SoftInputs(x, present, target, tau, noise, codes))

    def anchors(self, found: Softened) -> dict[str, Tensor]:
        """What ties codes to the content: each loss that has a weight, unweighted."""
        return {
            name: make()
            for name, make in found.losses.items()
            if getattr(self.settings, f"{name}_weight", 0.0) > 0
        }

    def weighted(self, anchors: Mapping[str, Tensor]) -> list[Tensor]:
        """Anchors times their weights."""
        return [getattr(self.settings, f"{name}_weight") * each for name, each in anchors.items()]


def colliding(codes: np.ndarray) -> float:
    """Share of the items whose ID another one has too."""
    return sharing(codes).colliding_items / len(codes)


def used(codes: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Share of the codes that an item has, mean over the codebooks."""
    return float(utilisation(code_counts(codes, sizes)).mean())
