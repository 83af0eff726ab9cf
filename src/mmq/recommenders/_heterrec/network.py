"""HeterRec's network: code tokens -> item vectors -> user vectors -> codes of the next item."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mmq.nn.code_sums import CodeSums
from mmq.nn.dropout import dropout
from mmq.nn.sampling import Sample
from mmq.nn.soft_items import SoftItems
from mmq.nn.softmax import softmax_cross_entropy
from mmq.nn.transformer import Block, Layout, block_causal_mask
from mmq.recommenders._batches import Batch, Histories
from mmq.recommenders._heterrec.heads import (
    AutoregressiveHeads,
    CodeHeads,
    ParallelHeads,
    with_bias,
)
from mmq.recommenders._heterrec.settings import HeterRecSettings
from mmq.recommenders._network import HistoryNetwork, embedding, learns_sparsely
from mmq.semantic_ids import SemanticIDs

_ITEMS = 4096
"""Items whose vectors are made at a time."""

HEADS = {"parallel": ParallelHeads, "autoregressive": AutoregressiveHeads}


class HeterRecNetwork(HistoryNetwork):
    """Tokens of an item see each other, are pooled, and the items of a history follow.

    Args:
        ids: semantic IDs of all items.
        settings: how it is built.
        met: ``(items,)`` bool, the items of the training part. The others are no competitors in the
            loss over the catalogue, or weak ones (``unmet_weight``).
    """

    tables = ("item_tokens", "item_head")
    codes: Tensor
    offsets: Tensor
    own: Tensor
    met: Tensor
    competitors: Tensor
    places: Tensor

    def __init__(self, ids: SemanticIDs, settings: HeterRecSettings, met: np.ndarray) -> None:
        over_catalogue = settings.resolved_objective == "catalogue"
        compared = len(ids) if settings.unmet_weight else int(met.sum())
        with_tokens = settings.resolved_item_token(len(ids))
        super().__init__(settings, compared if over_catalogue or with_tokens else 0)
        self.sparse = with_tokens and learns_sparsely(len(ids), settings)
        self.over_catalogue = over_catalogue
        self.unmet_weight, self._met = settings.unmet_weight, int(met.sum())
        dim, sizes = settings.hidden_dim, ids.codebook_sizes
        self.scope = settings.token_scope
        self.cached: Tensor | None = None
        self.answers: Tensor | None = None
        self.token_embeddings = embedding(sum(sizes), dim)
        self.positions = embedding(len(sizes), dim)
        if self.scope == "history":
            self.times = embedding(settings.history, dim)
        self.token_blocks = nn.ModuleList(
            Block(dim, settings.heads, settings.dropout) for _ in range(settings.token_layers)
        )
        self.heads: CodeHeads = HEADS[settings.head](sizes, dim)
        self.steps = nn.ModuleList(nn.Linear(dim, dim) for _ in range(settings.steps - 1))
        self.item_tokens = self.item_head = None
        if with_tokens:  # zero is the token of an item that has none
            self.item_tokens = nn.Parameter(torch.zeros(len(ids), dim))
            self.item_head = nn.Parameter(torch.zeros(len(ids), dim))
        for name in ("codes", "offsets", "own"):
            self.register_buffer(name, None, persistent=False)
        self.register_buffer("met", torch.from_numpy(met), persistent=False)
        order = np.argsort(~met, kind="stable")  # those seen in training come first
        places = torch.from_numpy(np.argsort(order))
        competitors = torch.from_numpy(order if self.unmet_weight else order[: self._met])
        self.register_buffer("competitors", competitors, persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.set_items(ids, torch.arange(len(ids)))
        self.set_competitors()

    def set_items(self, ids: SemanticIDs, own: Tensor) -> None:
        """Speak of the items of another table of the same tokenizer.

        Args:
            ids: the table.
            own: ``(items,)`` int64 row of each item in the table that was learned from, -1 for a
                new one.
        """
        device = self.positions.device
        self.offsets = torch.tensor([0, *ids.codebook_sizes[:-1]]).cumsum(0).to(device)
        self.codes = torch.tensor(ids.codes, dtype=torch.int32, device=device)
        own = own.to(device)
        self.own = own.masked_fill((own < 0) | ~self.met[own], -1)
        self.cached = self.answers = None

    def set_competitors(self) -> None:
        """Compare items by the codes that they have now."""
        self.sums: CodeSums | None = None
        if self.over_catalogue and self.negatives is None:
            self.sums = self._parallel.catalogue_sums(self.codes[self.competitors])

    def item_vectors(self, histories: Histories) -> Tensor:
        """``(n, d)``: the pooled tokens of each entry, and its own token if it has one."""
        rows = histories.rows
        if self.cached is not None:
            return self.cached.index_select(0, rows)
        if self.scope == "item":  # an item's vector is the same wherever it occurs
            rows, entries = torch.unique(rows, return_inverse=True)
            vectors = self.pooled(self.embedded(rows, histories.soft))
        else:
            vectors, entries = self._in_history(histories), None
        if self.item_tokens is not None:
            vectors = vectors + self.of_items(self.item_tokens, rows)
        return vectors if entries is None else vectors.index_select(0, entries)

    def train(self, mode: bool = True) -> HeterRecNetwork:
        """Training changes item vectors, so those that were kept are forgotten."""
        self.cached = self.answers = None
        super().train(mode)
        return self

    def keep_item_vectors(self) -> None:
        """Make the vectors of all items once, for many users to come; ``(items, d)`` are kept.

        Only where tokens see their own item alone, so that a vector is the same in all histories.
        """
        if self.scope != "item" or self.cached is not None:
            return
        rows = torch.arange(len(self.codes), device=self.codes.device)
        layout = Layout.of(torch.ones(1, dtype=torch.int64))  # not read
        parts = [self.item_vectors(Histories(part, layout)) for part in rows.split(_ITEMS)]
        self.cached = torch.cat(parts)

    def keep_answers(self, order: Tensor) -> None:
        """Keep what users are compared with, ``(items, d + 2)`` in ``order``; of parallel heads.

        The score of an item is one product with it: its codes' classifiers added up, its token, and
        a 1 that takes the user's normaliser off.
        """
        if self.answers is not None:
            return
        width = self.positions.shape[1] + 2
        answers = torch.ones(len(order), width, device=order.device)
        for part, rows in zip(answers.split(_ITEMS), order.split(_ITEMS), strict=True):
            part[:, :-1] = self.answer_vectors(rows)
        self.answers = answers

    def answer_vectors(self, rows: Tensor) -> Tensor:
        """``(n, d + 1)``: what users are compared with, for some items; of parallel heads.

        Their codes' classifiers added up, bias last, and their tokens: the product with a user's
        vector and a 1 is the score of an item, up to a constant of the user.
        """
        heads = self._parallel
        answers: Tensor = heads.catalogue_sums(self.codes[rows])(heads.classifiers())
        if self.item_head is not None:
            answers = answers + pad(self.of_items(self.item_head, rows), (0, 1))
        return answers

    def answered(self, users: Tensor) -> Tensor:
        """``(b, items)`` scores of kept answers, in their order: log-probabilities of IDs, and
        what item tokens add."""
        assert self.answers is not None, "keep_answers comes first"
        normaliser = self._parallel.normaliser(users)
        return torch.cat([with_bias(users), -normaliser[:, None]], dim=1) @ self.answers.mT

    @property
    def _parallel(self) -> ParallelHeads:
        assert isinstance(self.heads, ParallelHeads), "other heads are searched by beams"
        return self.heads

    def forward(self, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar; mean over its targets."""
        users = self.users(batch.histories)
        return self.loss(users, batch.targets, batch.histories.soft, sample=batch.sample)

    def sample(self, targets: np.ndarray, generator: np.random.Generator) -> Sample | None:
        """As of every network, by places among the competitors; unmet ones have their weight."""
        sample = super().sample(self._places_of(targets), generator)
        if sample is None:
            return None
        weights = self.log_weights(sample.rows)
        return sample._replace(log_weights=sample.log_weights + weights)

    def _places_of(self, rows: np.ndarray) -> np.ndarray:
        """Places of items among the competitors; only these leave the device."""
        places: np.ndarray = (
            self.places[torch.from_numpy(rows).to(self.places.device)].cpu().numpy()
        )
        return places

    def loss(
        self,
        users: Tensor,
        targets: Tensor,
        soft: SoftItems | None = None,
        *,
        sample: Sample | None = None,
    ) -> Tensor:
        """Cross-entropy of IDs, or of codes and item tokens: mean over users and steps.

        A step past the end of a sequence counts as 0, so that the losses of parts of a batch, each
        weighed by its users, sum to that of the batch.
        """
        losses = [
            self._step_loss(ahead, wanted, soft, sample) * (len(ahead) / len(users))
            for ahead, wanted in self.asked(users, targets)
        ]
        return torch.stack(losses).sum() / (len(self.steps) + 1)

    def asked(self, users: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each step, user vectors that look so far ahead, and the item ``(n,)`` each wants.

        Users whose sequence ends before the step are left out.
        """
        yield users, targets[:, 0]
        for step, layer in enumerate(self.steps, start=1):
            there = (targets[:, step] >= 0).nonzero()[:, 0]
            if len(there):
                ahead = users.index_select(0, there)
                yield ahead + layer(ahead), targets[there, step]

    def item_logits(self, users: Tensor) -> Tensor:
        """``(b, items)``: what item tokens add to the log-probabilities of IDs, up to a constant of
        the user; a scalar 0 without tokens."""
        if self.item_head is None:
            return users.new_zeros(())
        return users @ self.of_items(self.item_head, slice(None)).t()

    def _step_loss(
        self,
        users: Tensor,
        targets: Tensor,
        soft: SoftItems | None = None,
        sample: Sample | None = None,
    ) -> Tensor:
        places, weights = self.places[targets], None
        if sample is not None:
            places, weights = sample.places(places), sample.log_weights
        elif self.unmet_weight not in (0.0, 1.0):
            weights = self.log_weights()
        if self.over_catalogue:
            items = self.competing(self._parallel.classifiers(), sample, soft)
            return self._parallel.catalogue_loss(users, items, places, weights)
        loss = self.heads.loss(users, self.codes[targets])
        if self.item_head is not None:  # as one position more of the mean
            items = self.of_items(self.item_head, self._competitors(sample))
            of_tokens = softmax_cross_entropy(users, items, places, weights)
            positions = self.codes.shape[1]
            loss = (positions * loss + of_tokens) / (positions + 1)
        return loss

    def competing(
        self, classifiers: Tensor, sample: Sample | None = None, soft: SoftItems | None = None
    ) -> Tensor:
        """``(c, d + 1)``: what competitors are known by at the end, of a sample or all of them.

        Their codes' classifiers added up, soft ones where given, and their own tokens.
        """
        rows, sums = self._competitors(sample), self.sums
        if sample is not None or sums is None:
            sums = self._parallel.catalogue_sums(self.codes[rows])
        items: Tensor = sums(classifiers)
        if soft is not None and soft.as_targets:
            items = soft.replace(items, rows, soft.add_up(classifiers))
        if self.item_head is not None:
            items = items + pad(self.of_items(self.item_head, rows), (0, 1))
        return items

    def _competitors(self, sample: Sample | None) -> Tensor:
        """``(c,)`` rows of a sample of the competitors, or of all, those of training first."""
        return self.competitors if sample is None else self.competitors[sample.rows]

    def log_weights(self, places: Tensor | None = None) -> Tensor:
        """``(c,)`` log of as how many competitors at places compete, all of them if not given."""
        if places is None:
            places = torch.arange(self.compared, device=self.places.device)
        unmet = math.log(self.unmet_weight) if self.unmet_weight else 0.0
        return (places >= self._met) * unmet

    def embedded(self, rows: Tensor, soft: SoftItems | None = None) -> Tensor:
        """``(n,)`` -> ``(n, length, d)`` tokens with their position."""
        tokens = self.token_embeddings[self.codes[rows] + self.offsets]
        if soft is not None:
            tokens = soft.replace(tokens, rows, soft.look_up(self.token_embeddings))
        return tokens + self.positions

    def pooled(self, tokens: Tensor) -> Tensor:
        """``(n, length, d)`` -> ``(n, d)``; the tokens of an item see each other."""
        tokens = dropout(tokens, self.dropout, self.training)
        for block in self.token_blocks:
            tokens = block(tokens, None)
        return tokens.mean(1)

    def _in_history(self, histories: Histories) -> Tensor:
        """``(n, d)``, where the tokens of an item see those of the items before it too."""
        tokens = (
            self.embedded(histories.rows, histories.soft)
            + self.times[histories.layout.times][:, None]
        )
        n, each, dim = tokens.shape
        layout = histories.layout.expand(each)
        mask = block_causal_mask(histories.layout.longest, each, tokens.device)
        tokens = dropout(tokens, self.dropout, self.training).flatten(0, 1)
        for block in self.token_blocks:
            tokens = block(tokens, layout, mask)
        return tokens.view(n, each, dim).mean(1)

    def of_items(self, table: Tensor, rows: Tensor | slice) -> Tensor:
        """``(n, d)`` rows of a table of items; zero for an item that has none."""
        own = self.own[rows]
        return self.rows_of(table, own.clamp(min=0)) * (own >= 0)[:, None]
