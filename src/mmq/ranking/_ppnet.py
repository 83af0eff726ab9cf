"""PPNet: will this user like this item? (Chang et al. 2023, arXiv 2302.01115)"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from mmq._network_model import NetworkModel
from mmq.errors import SettingsError
from mmq.ranking._base import Ranker, validated
from mmq.ranking._batches import shown_batch
from mmq.ranking._code_features import CODE_FEATURES, CodeFeatures
from mmq.ranking._data import RankingData
from mmq.ranking._fit import RankingTask
from mmq.ranking._impressions import Impressions
from mmq.ranking._network import PPNetNetwork, Sizes
from mmq.ranking._settings import PPNetSettings
from mmq.ranking._vocabulary import Numbering, Vocabulary
from mmq.semantic_ids import SemanticIDs, require_newer_table

_BLOCK = 8192
"""Impressions that are scored at a time."""


class PPNet(NetworkModel[PPNetSettings, PPNetNetwork], Ranker[PPNetSettings]):
    """Judges an item by embeddings of item, codes, user and history, and by smoothed rates.

    Items are known by their own embedding, by the codes of their semantic ID, or by both; a user
    by an embedding and by their positives before; users, items and further values by the share of
    positives as well. What training did not see has an embedding that stands for all of its kind,
    so that an item that is new is known by its codes.

    Args:
        settings: or their values by name.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
    """

    kind, label = "ppnet", "PPNet"
    settings_class = PPNetSettings
    reads_ids: ClassVar[bool] = True

    def _made_from(self, data: RankingData) -> dict[str, Any]:
        return {**super()._made_from(data), "ids": self.ids and self.ids.fingerprint()}

    def task(self, data: RankingData) -> RankingTask:
        """What the network learns from ``data``."""
        numbering = self.numbering(data.vocabulary)
        return RankingTask(
            self.network,
            self.settings,
            data.train,
            numbering,
            lambda: validated(self, data.validation, numbering),
        )

    def predict(self, impressions: Impressions, log: RankingData | Numbering) -> np.ndarray:
        """See :meth:`Ranker.predict`."""
        network = self.network
        numbering = log if isinstance(log, Numbering) else self.numbering(log.vocabulary)
        found = np.empty(len(impressions), np.float32)
        with torch.no_grad():
            for start in range(0, len(impressions), _BLOCK):
                rows = slice(start, start + _BLOCK)
                piece = impressions.take(rows)
                shown = shown_batch(piece, numbering, self.settings, self.device)
                found[rows] = torch.sigmoid(network(shown).float()).cpu().numpy()
        return found

    def numbering(self, log: Vocabulary) -> Numbering:
        """Where the users, items and values of a log have their embeddings.

        Raises:
            DataError: an item of the log has no semantic ID, or a column is missing.
        """
        return Numbering.of(log, self.vocabulary, self.ids, self._features)

    def with_ids(self, ids: SemanticIDs) -> None:
        """Speak of the items of a newer table of the same tokenizer, new items among them.

        Raises:
            SettingsError: the ranker was trained without semantic IDs.
            FormatError: the table comes from another tokenizer, or its items have other IDs.
        """
        _ = self.network  # one that is not fitted has nothing to compare with
        if self.fitted_ids is None:
            raise SettingsError(
                "the ranker was trained without semantic IDs and knows items by their own alone; "
                "leave --ids out, or train it with them"
            )
        require_newer_table(self.fitted_ids, ids)
        self.ids = ids

    @property
    def semantic_ids(self) -> SemanticIDs:
        """The table that it was fitted to.

        Raises:
            SettingsError: it was trained without.
        """
        if self.fitted_ids is None:
            raise SettingsError(
                "the ranker was trained without semantic IDs, so there are none to fine-tune; "
                "train it with --ids"
            )
        return self.fitted_ids

    def load_vocabulary(self, vocabulary: Vocabulary, ids: SemanticIDs | None) -> None:
        """Take up what :meth:`fit` or a saved folder brings."""
        if ids is None and not self.settings.item_id:
            raise SettingsError(
                "item_id=false leaves nothing that tells items apart; give semantic IDs too "
                "(--ids ids.parquet)"
            )
        super().load_vocabulary(vocabulary, ids)
        features = CODE_FEATURES[self.settings.code_features]
        self._features: CodeFeatures | None = None if ids is None else features(ids)

    def _make(self) -> PPNetNetwork:
        known, features, ids = self.vocabulary, self._features, self.ids
        sizes = Sizes(
            len(known.users) + 1,
            len(known.items) + 1,
            tuple(len(values) + 1 for values in known.columns.values()),
            features.size if features else 0,
            ids.length if ids else 0,
            len(known.numbers),
        )
        return PPNetNetwork(self.settings, sizes)
