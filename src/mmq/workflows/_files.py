"""What verbs read: a log with its columns, a trained model in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmq._log_model import LogModel
from mmq._model_folder import family_of
from mmq.data._compact import parquet_rows, read_compact
from mmq.data._files import fingerprint
from mmq.data._interactions import Interactions
from mmq.data._log import FORMAT, LEFT_ALONE, LogReader
from mmq.data._spool import Spool
from mmq.data._tables import column_names
from mmq.errors import SettingsError
from mmq.made_from import file_input
from mmq.ranking import Ranker
from mmq.recommenders import HeterRec, Recommender
from mmq.semantic_ids import SemanticIDs
from mmq.workflows._run import refuse


@dataclass(frozen=True)
class LogFile:
    """An interaction log in a file, and what its columns are.

    Attributes:
        path: Parquet, CSV, TSV or JSON Lines; a folder of parts or a pattern.
        columns: mmq's name of a column -> the file's, for those that differ; and
            ``timestamp_format``.
        further: columns that a ranker reads besides.
        numeric: further columns of numbers although all of them are whole.
    """

    path: str | Path
    columns: Mapping[str, str] = field(default_factory=dict)
    further: Sequence[str] = ()
    numeric: Sequence[str] = ()

    @classmethod
    def of(cls, log: LogFile | str | Path) -> LogFile:
        """The log, or that of a path with the usual columns."""
        return log if isinstance(log, LogFile) else cls(log)

    def for_model(self, model: LogModel[Any]) -> LogFile:
        """The same log, by the names that columns had in the training of a model.

        What is given here wins. Where the file lacks a name and has mmq's own, it has the latter.

        Raises:
            DataError: no such file.
        """
        if not model.log_columns:
            return self
        known, remembered = column_names(self.path), dict(model.log_columns)
        form = remembered.pop(FORMAT, None)
        columns = {
            name: source
            for name, source in remembered.items()
            if source in known or source == LEFT_ALONE or name not in known
        }
        columns |= self.columns
        asked, trained = (each.get("timestamp", "timestamp") for each in (columns, remembered))
        if form is not None and asked == trained:  # of another column it would say nothing
            columns.setdefault(FORMAT, form)
        return replace(self, columns=columns)

    def read(self, spool: Path | None = None) -> Interactions:
        """The interactions.

        Args:
            spool: an existing folder for the columns, which the caller removes; None for the
                memory.

        Raises:
            DataError: no such file, or a column is missing.
            FormatError: it is truncated or damaged.
        """
        return read_compact(self.path, self.columns, Spool(spool))

    def parquet_rows(self) -> int:
        """Rows that are read a piece at a time; raises as :meth:`read`."""
        return parquet_rows(self.path)

    def reader(self) -> LogReader:
        """What reads it a piece at a time, with its further columns; raises as :meth:`read`."""
        columns = [*self.further, *self.numeric]
        return LogReader.open(self.path, self.columns, columns).with_numeric(self.numeric)

    def reader_for(self, ranker: Ranker[Any]) -> LogReader:
        """The same, with the columns that a ranker learned from."""
        further, numeric = ranker.further_columns()
        reader = LogReader.open(self.path, self.for_model(ranker).columns, further)
        return reader.with_numeric(numeric, settled=True)

    def as_input(self) -> dict[str, str]:
        """Its name and hash, as a result says what it was made from."""
        return file_input(self.path, fingerprint(self.path))


@dataclass(frozen=True)
class ModelFolder:
    """A trained model in a folder, and how it is to answer.

    Attributes:
        path: the folder.
        ids: a newer ID table of the same tokenizer, whose items it is to recommend.
        new_item_share: of everybody's recommendations that go to items new since training, at
            least; see :mod:`mmq.recommenders._new_items`.
        new_since: a date, or a number of days before the newest entry: items first seen from then
            on are new too.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
    """

    path: str | Path
    ids: str | Path | None = None
    new_item_share: float = 0.0
    new_since: str | None = None
    device: str = "auto"

    @classmethod
    def of(cls, model: ModelFolder | str | Path) -> ModelFolder:
        """The model, or that of a folder as it was trained."""
        return model if isinstance(model, ModelFolder) else cls(model)

    def recommender(self) -> Recommender[Any]:
        """The recommender, ready to recommend.

        Raises:
            SettingsError: a table for a model that reads no semantic IDs, or a ranker.
            FormatError: a damaged folder, or the table of another tokenizer.
        """
        if family_of(self.path, ["ranker"]):
            raise SettingsError(
                f"{self.path} holds a ranker, which judges items that are put before it and finds "
                "none; give the folder that mmq train retrieval wrote"
            )
        model: Recommender[Any] = Recommender.load(self.path, self.device)
        if not isinstance(model, HeterRec):
            refuse(
                {"--ids": self.ids is not None},
                f"is not for {model.kind}, which knows items by their interactions alone; leave "
                "it out, or train heterrec",
            )
            return model
        if self.ids is not None:
            model.with_ids(SemanticIDs.read(self.ids))
        return model

    def ranker(self) -> Ranker[Any]:
        """The ranker, ready to judge.

        Raises:
            SettingsError: a table for a ranker that reads no semantic IDs, or a recommender.
            FormatError: a damaged folder, or the table of another tokenizer.
        """
        if family_of(self.path, ["recommender"]):
            raise SettingsError(
                f"{self.path} holds a recommender, which finds items and gives no probabilities; "
                "give the folder that mmq train ranking wrote"
            )
        model: Ranker[Any] = Ranker.load(self.path, self.device)
        if self.ids is not None:
            model.with_ids(SemanticIDs.read(self.ids))
        return model


def training_inputs(
    model: Recommender[Any] | Ranker[Any],
    log: LogFile,
    ids: str | Path | None,
    table: SemanticIDs | None,
    **more: Any,
) -> dict[str, Any]:
    """Everything that decides what a training makes of a model; see :mod:`mmq.made_from`.

    Args:
        model: with its settings.
        log: that it learns from.
        ids: where the table of IDs is, if there is one.
        table: the IDs.
        more: how the log is divided, and so on.
    """
    return {
        "interactions": log.as_input(),
        "ids": table and file_input(ids or "", table.fingerprint()),
        "kind": model.kind,
        "columns": dict(log.columns),
        **more,
        "settings": model.settings.to_dict(),
    }
