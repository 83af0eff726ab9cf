"""The contract of every ranker, and what all of them do alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from mmq._log_model import LogModel
from mmq.errors import SettingsError
from mmq.made_from import Checkpoint
from mmq.metrics.calibration import log_loss
from mmq.metrics.ranking import auc, user_aucs
from mmq.model import Fit
from mmq.ranking._data import RankingData
from mmq.ranking._folder import FORMAT, ranker_card, read_files, write_files
from mmq.ranking._impressions import Impressions
from mmq.ranking._request import request
from mmq.ranking._settings import RankingSplit
from mmq.ranking._vocabulary import Numbering, Vocabulary
from mmq.semantic_ids import SemanticIDs
from mmq.settings import Settings

S = TypeVar("S", bound=Settings)


class Ranker(LogModel[S], Generic[S]):
    """Predicts whether an item that is shown to a user will be a positive.

    Args:
        settings: or their values by name.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, or a value out of range.
    """

    folder_format = FORMAT
    reads_ids: ClassVar[bool] = False
    """Whether semantic IDs tell it anything."""

    def __init__(self, settings: S | None = None, *, device: str = "auto", **values: Any) -> None:
        super().__init__(settings, device=device, **values)
        self.split = RankingSplit()
        """How its log was divided, so that ``mmq evaluate`` does the same."""
        self.ids: SemanticIDs | None = None
        self._fitted_ids: SemanticIDs | None = None
        self._vocabulary: Vocabulary | None = None

    def fit(
        self,
        data: RankingData,
        ids: SemanticIDs | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Learn from the training part; the test part is not looked at.

        Args:
            data: impressions.
            ids: semantic IDs of all items of the log; None for item IDs alone.
            checkpoint: what a killed training can go on from, to a result that is the same to the
                bit. Data and settings are added to what it is made from.

        Raises:
            DataError: an item without semantic ID, a validation part of one label, or a training
                that diverged.
            FormatError: the checkpoint is damaged or of other data or settings.
        """
        data.validation.require_both_labels("validation")
        known = data.vocabulary.seen_in(data.train)
        self.load_vocabulary(known, ids if self.reads_ids else None)
        fit = self._fit(data, checkpoint)
        self.figures, self.split = fit.figures, data.split
        return fit

    @abstractmethod
    def _fit(self, data: RankingData, checkpoint: Checkpoint | None) -> Fit:
        """Learn, given that vocabulary and IDs are those of the data."""

    @abstractmethod
    def predict(self, impressions: Impressions, log: RankingData | Numbering) -> np.ndarray:
        """``(rows,)`` float32 probability that each impression is a positive.

        Args:
            impressions: of a log.
            log: the log, or :meth:`numbering` of it where much is to be predicted from one.
        """

    @abstractmethod
    def restore(self, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
        """Go back to what :meth:`tensors` gave; the vocabulary is set already.

        Raises:
            FormatError: a tensor is missing, extra or misshapen.
        """

    def config(self) -> dict[str, Any]:
        """See :mod:`mmq.ranking._folder`."""
        known = self.vocabulary
        return {
            **super().config(),
            "columns": list(known.columns),
            "numbers": {name: scale._asdict() for name, scale in known.numbers.items()},
        }

    def card(self, config: Mapping[str, Any]) -> str:
        """What it reads, figures, settings."""
        return ranker_card(config)

    def write_files(self, folder: Path) -> dict[str, Any]:
        """Vocabulary and, where there are any, semantic IDs."""
        return write_files(folder, self.vocabulary, self.fitted_ids)

    def take_up(
        self, config: Mapping[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> None:
        """See :meth:`mmq.model.Model.take_up`."""
        self.split = RankingSplit.parse_saved(config["split"])
        self.log_columns = config.get("log_columns")
        self.load_vocabulary(*read_files(folder, config))
        self.restore(tensors, folder)

    def score(
        self,
        user_id: Any,
        history: Sequence[Any],
        item_ids: Sequence[Any],
        columns: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """``(items,)`` float32 probability that each item is a positive of a user.

        Args:
            user_id: of the user; one not seen in training is known by the history alone.
            history: ids of the user's positives, oldest first; may be empty.
            item_ids: of the items.
            columns: name of each further column -> its value, or a list of one for each item.

        Raises:
            DataError: there are no items, one has no semantic ID, or a column is missing or has
                not a value for each item.
        """
        log, impressions = request(
            user_id, history, item_ids, columns or {}, self.vocabulary.numbers
        )
        return self.predict(impressions, self.numbering(log))

    def numbering(self, log: Vocabulary) -> Numbering:
        """Where the users, items and values of a log have their embeddings.

        Raises:
            DataError: an item of the log has no semantic ID, or a column is missing.
        """
        return Numbering.of(log, self.vocabulary)

    def with_ids(self, ids: SemanticIDs) -> None:
        """Read the items of a newer table of the same tokenizer, new items among them.

        Raises:
            SettingsError: the ranker does not read semantic IDs.
            FormatError: the table comes from another tokenizer, or its items have other IDs.
        """
        raise SettingsError(
            f"{self.kind} knows items by their rates of positives, and reads no semantic IDs; "
            "leave --ids out, or train ppnet"
        )

    @property
    def fitted_ids(self) -> SemanticIDs | None:
        """The table that it was fitted to, if any."""
        return self._fitted_ids

    @property
    def vocabulary(self) -> Vocabulary:
        """Who and what it saw in training."""
        if self._vocabulary is None:
            raise self._unfitted()
        return self._vocabulary

    def further_columns(self) -> tuple[list[str], list[str]]:
        """Names of the further columns that it reads, and of those among them of numbers."""
        numeric = list(self.vocabulary.numbers)
        return [*self.vocabulary.columns, *numeric], numeric

    def load_vocabulary(self, vocabulary: Vocabulary, ids: SemanticIDs | None) -> None:
        """Take up what :meth:`fit` or a saved folder brings."""
        self._vocabulary = vocabulary
        self.ids = self._fitted_ids = ids


def validated(ranker: Ranker[Any], held: Impressions, numbering: Numbering) -> dict[str, float]:
    """AUC, GAUC where somebody has rows of both labels, and log-loss of the validation part.

    NaN of predictions that are no numbers.
    """
    scores, labels = ranker.predict(held, numbering), np.asarray(held.labels)
    if not np.isfinite(scores).all():  # the loop will say that the training diverged
        return {"auc": np.nan, "log_loss": np.nan}
    figures = {"auc": auc(labels, scores), "log_loss": log_loss(labels, scores)}
    within = user_aucs(held.users, labels, scores)
    if within.eligible_users:
        figures["gauc"] = within.weighted
    return figures
