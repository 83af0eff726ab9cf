"""What recommenders and rankers do alike: they are fitted to a log, and may know semantic IDs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmq._model_folder import Config, foreign_file
from mmq._version import __version__
from mmq.model import Model
from mmq.semantic_ids import SemanticIDs
from mmq.settings import Settings

S = TypeVar("S", bound=Settings)


class LogConfig(Config):
    """What the config.json of a model that is fitted to a log has to hold."""

    split: dict[str, Any]
    ids: dict[str, Any] | None
    log_columns: dict[str, str] | None = None


class LogModel(Model[S], Generic[S]):
    """A model that is fitted to a log of interactions."""

    split: Any
    """Which interactions count and how they are divided, so that ``mmq evaluate`` does the same."""
    log_columns: Mapping[str, str] | None = None
    """mmq's name of a column -> that of the file it learned from, for those that differ, so that
    other verbs read a log as its training did; None where that is not known."""

    @property
    @abstractmethod
    def fitted_ids(self) -> SemanticIDs | None:
        """The semantic IDs that it was fitted to, if any; not a table that it was given later."""

    def config(self) -> dict[str, Any]:
        """What config.json says of settings, split, semantic IDs and figures."""
        ids = self.fitted_ids
        return {
            "settings": self.settings.to_dict(),
            "split": self.split.to_dict(),
            "log_columns": self.log_columns,
            "ids": ids and {"fingerprint": ids.fingerprint(), "manifest": ids.manifest},
            "figures": self.figures,
            "mmq": __version__,
        }


def read_ids(path: Path, config: Mapping[str, Any]) -> SemanticIDs | None:
    """The semantic IDs of a folder, in the file ``path``; None where config.json names none.

    Raises:
        FormatError: they are not those that the model was fitted to.
    """
    if config["ids"] is None:
        return None
    ids = SemanticIDs.read(path)
    if ids.fingerprint() != config["ids"].get("fingerprint"):
        raise foreign_file(path)
    return ids
