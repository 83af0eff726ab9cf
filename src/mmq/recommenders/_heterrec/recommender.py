"""HeterRec as an estimator."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from mmq.data._sequences import Sequences
from mmq.decoding import (
    Decoded,
    Filters,
    ParallelScores,
    PrefixIndex,
    beam_scores,
    beam_search,
    exact_search,
    score_items,
)
from mmq.errors import SettingsError
from mmq.recommenders._dense import in_parts, renumbered, top_items
from mmq.recommenders._heterrec.heads import with_bias
from mmq.recommenders._heterrec.network import HeterRecNetwork
from mmq.recommenders._heterrec.settings import HeterRecSettings
from mmq.recommenders._results import Items
from mmq.recommenders._sequential import SequentialRecommender
from mmq.semantic_ids import SemanticIDs, require_newer_table


class HeterRec(SequentialRecommender[HeterRecSettings, HeterRecNetwork]):
    """Generative retrieval: reads the codes of a history's items, predicts those of the next.

    After HeterRec (arXiv 2503.01469), whose full text could not be had: this is our reading.

    It knows an item by its semantic ID, so items without interactions can be recommended, and
    :meth:`with_ids` gives it new ones without training. With ``item_token`` it knows those of the
    training part by a token of their own as well.

    Args:
        settings: or their values by name, ``HeterRec(hidden_dim=64)``.
    """

    kind, label = "heterrec", "HeterRec"
    settings_class = HeterRecSettings
    needs_ids: ClassVar[bool] = True

    unmet_bonus: float = 0.0
    """See :meth:`favour_unmet`."""

    _index: PrefixIndex | None = None

    @property
    def steps(self) -> int:  # type: ignore[override]
        """Next items that a history is asked for in training."""
        return self.settings.steps

    @property
    def tells_apart(self) -> bool:
        """Whether items have tokens of their own, or those without interactions a bonus."""
        items = len(self.fitted.item_ids)
        return self.settings.resolved_item_token(items) or self.unmet_bonus != 0

    @property
    def semantic_ids(self) -> SemanticIDs:
        """The table that it reads."""
        ids = self.items.ids
        assert ids is not None, "fit and load refuse items without semantic IDs"
        return ids

    @property
    def index(self) -> PrefixIndex:
        """Of the table's IDs, items that share one in the order of ``settings.ties``.

        Made when it is first asked for.
        """
        if self._index is None:
            ids = self.semantic_ids
            index = PrefixIndex.build(ids.codes, ids.codebook_sizes).to(self.device)
            first = -ids.rank if self.settings.ties == "rank" else self.items.popularity
            self._index = index.ordered(torch.from_numpy(first.astype(np.float32)).to(self.device))
        return self._index

    def use_index(self, index: PrefixIndex) -> None:
        """Search in an index that lies on disk, in place of one made anew.

        Args:
            index: of the table's IDs, as :attr:`index` gave it.
        """
        self._index = index.to(self.device)

    def with_ids(self, ids: SemanticIDs) -> None:
        """Recommend from another table of the same tokenizer, such as one with new items.

        Items keep what was learned of them under their id.

        Raises:
            FormatError: the table comes from another tokenizer, or its items have other IDs.
        """
        fitted = self.fitted
        assert fitted.ids is not None, "fit and load refuse items without semantic IDs"
        known = require_newer_table(fitted.ids, ids)
        self.network.set_items(ids, torch.from_numpy(known))
        popularity = np.where(known >= 0, fitted.popularity[np.maximum(known, 0)], 0)
        self._set_items(Items(ids.item_ids, ids, popularity))

    def _set_items(self, items: Items) -> None:
        """The index is of the items before."""
        super()._set_items(items)
        self._index = None

    def favour_unmet(self, bonus: float) -> None:
        """Recommend more of the items without interactions in training, and fewer of the others.

        It is what experiments draw a curve with; :meth:`show_new_items` takes a share of the places
        instead.

        Args:
            bonus: nats added to their scores from now on; no training is needed, and 0 takes it
                back. It is not stored with the model.

        Raises:
            SettingsError: it is not a finite number.
        """
        if not math.isfinite(bonus):
            raise SettingsError(
                f"a bonus of {bonus} for items without interactions is no finite number; give "
                "nats, such as 1.0"
            )
        self.unmet_bonus = bonus

    def prepare(self, users: int) -> None:
        """Make all items' vectors once, if so many users will have most of them in a history."""
        if users * self.settings.history >= len(self.semantic_ids):
            with torch.no_grad():
                self.network.keep_item_vectors()

    def prepare_search(self, users: int) -> None:
        """Make the index by which exact search skips most IDs, if it pays for so many users.

        A service asks for it before its first user; a large batch has it made by itself.
        """
        by_codes = self.settings.head == "parallel" and not self.tells_apart
        if by_codes and self.index.worth_inverting(users):
            _ = self.index.inverted

    def search_block(
        self, histories: Sequences, k: int, filters: Filters, beams: int | None
    ) -> Decoded:
        """The best IDs among those that items have, and their items; see ``settings.ties``.

        Where items that share an ID are told apart, a beam search finds as many items as it has
        beams by their codes, and orders these by their whole scores: tokens and a bonus bring in no
        item that codes do not find.
        """
        users = self.user_vectors(histories)
        if beams is None and self.settings.head == "autoregressive":
            beams = self.settings.beams
        with torch.no_grad():
            if beams is None and self.tells_apart:
                return self._best(users, k, filters)
            scores = self.network.heads.scores(users)
            if beams is None:
                return exact_search(scores, self.index, k, filters)
            if not self.tells_apart:
                return beam_search(scores, self.index, k, beams, filters)
            found = beam_search(scores, self.index, max(beams, k), beams, filters)
            return _reranked(found, self._beside_codes(users), k)

    def answer_vectors(self, rows: Tensor) -> Tensor:
        """The sums of what gives their codes a logit, and their tokens: ``(n, d + 1)``."""
        if self.settings.head != "parallel":
            raise SettingsError(
                f"codes of the head '{self.settings.head}' depend on each other, so that scores "
                "are no products of vectors; train heterrec with --set head=parallel"
            )
        with torch.no_grad():
            return self.network.answer_vectors(rows.to(self.device))

    def question_vectors(self, histories: Sequences) -> Tensor:
        """The users' vectors, and a 1 for the bias: ``(b, d + 1)``."""
        return with_bias(self.user_vectors(histories))

    def _best(self, users: Tensor, k: int, filters: Filters) -> Decoded:
        """The best ``k`` of all items, equal ones in the order of the index; of parallel heads."""
        order = self.index.rows[: len(self.index)].long()
        self.network.keep_answers(order)
        bonus = (self.network.own[order] < 0) * self.unmet_bonus if self.unmet_bonus else None

        def find(some: slice, own: Filters) -> Decoded:
            scores = self.network.answered(users[some])
            return top_items(scores if bonus is None else scores.add_(bonus), k, own)

        found = in_parts(find, len(users), len(order), renumbered(filters, order))
        return found._replace(rows=pad(order, (0, 1), value=-1)[found.rows])  # -1 is the last

    def _beside_codes(self, users: Tensor) -> Tensor:
        """``(b, items)``: what else counts for an item than the log-probabilities of its codes."""
        bonus = (self.network.own < 0) * self.unmet_bonus
        return (self.network.item_logits(users) + bonus).expand(len(users), -1)

    def _make(self) -> HeterRecNetwork:
        self._index = None
        fitted = self.fitted
        assert fitted.ids is not None, "fit and load refuse items without semantic IDs"
        return HeterRecNetwork(fitted.ids, self.settings, fitted.popularity > 0)

    def _scores(self, users: Tensor) -> Tensor:
        scores = self.network.heads.scores(users)
        if isinstance(scores, ParallelScores):
            by_codes = score_items(scores.log_probs, self.network.codes)
        else:
            by_codes = beam_scores(scores, self.index, self.settings.beams)
        return by_codes + self._beside_codes(users) if self.tells_apart else by_codes


def _reranked(found: Decoded, added: Tensor, k: int) -> Decoded:
    """The best ``k`` of ``found`` once ``added`` ``(b, items)`` are part of their scores."""
    scores = found.scores + added.gather(1, found.rows.clamp(min=0))
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return Decoded(found.rows.gather(1, order)[:, :k], scores[:, :k])
