"""What tokenizers, recommenders and rankers do alike: settings, device, saving, loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np

from mmq._model_folder import FolderFormat, content_hash, family_of, read_weights, write_contents
from mmq.errors import DataError, FormatError, SettingsError, nearest
from mmq.made_from import write_note
from mmq.settings import Settings
from mmq.training._device import pick_device
from mmq.training._loop import Log

S = TypeVar("S", bound=Settings)

FAMILIES = {
    "tokenizer": "mmq.tokenizers",
    "recommender": "mmq.recommenders",
    "ranker": "mmq.ranking",
}
"""Family -> the package whose import makes its kinds known."""

_KINDS: dict[str, dict[str, type[Model[Any]]]] = {family: {} for family in FAMILIES}
_FAMILY_CLASSES: dict[str, type[Model[Any]]] = {}


class Fit(NamedTuple):
    """What came out of the training of a recommender or a ranker.

    Attributes:
        validation: figures of the kept weights.
        epochs: passes that were made.
        best_epoch: the pass whose weights were kept, from 1; 0 where none was made.
        seconds: time they took; of a training that was resumed, the part since then.
        targets: next items, or impressions, that a pass learns from.
        targets_per_second: of all passes, their validation included; 0 where none was made.
    """

    validation: dict[str, float]
    epochs: int = 0
    best_epoch: int = 0
    seconds: float = 0.0
    targets: int = 0
    targets_per_second: float = 0.0

    @property
    def seconds_per_epoch(self) -> float:
        """Of training and validation together; 0 where no pass had to be made."""
        return self.targets / self.targets_per_second if self.targets_per_second else 0.0

    @property
    def figures(self) -> dict[str, Any]:
        """What is the same whenever the same model is trained: no times."""
        names = ("epochs", "best_epoch", "validation")
        return {name: getattr(self, name) for name in names}


class Model(ABC, Generic[S]):
    """Something with settings that is fitted, saved to a folder and loaded from it.

    A class that has a ``kind`` is known under it to the command line and to :func:`load`, once the
    package of its family imports it.

    Args:
        settings: of the kind, or their values by name.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises:
        SettingsError: an unknown setting or device, a value out of range, or settings and values.
    """

    folder_format: ClassVar[FolderFormat]
    kind: ClassVar[str]
    """Name in config.json and on the command line."""
    label: ClassVar[str]
    """Name in tables ("RQ-KMeans"); that of the kind, unless the class says another."""
    settings_class: type[S]

    def __init__(self, settings: S | None = None, *, device: str = "auto", **values: Any) -> None:
        if settings is not None and values:
            raise SettingsError(
                f"settings were given, and '{min(values)}' beside them; give one or the other"
            )
        self.settings = settings or self.settings_class.parse(values)
        self.device = pick_device(device)
        self.log: Log = []
        """Figures of every epoch or iteration of the fit."""
        self.figures: dict[str, Any] = {}
        """Of the fit, without what depends on the machine's speed; empty before it."""

    def __repr__(self) -> str:
        """One line: the settings that are not at their defaults."""
        usual = self.settings_class()
        told = [
            f"{name}={value!r}"
            for name in self.settings_class.model_fields
            if (value := getattr(self.settings, name)) != getattr(usual, name)
        ]
        return f"{type(self).__name__}({', '.join(told)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name, and the device, as scikit-learn asks for them."""
        return {**self.settings.model_dump(), "device": str(self.device)}

    def set_params(self, **params: Any) -> Self:
        """The same model with other settings, as scikit-learn sets them.

        Raises:
            SettingsError: an unknown setting, or a value out of range.
            DataError: it is fitted; clone it first.
        """
        if self._is_fitted():
            raise DataError(
                f"this {self.folder_format.family} is fitted, and other settings would not be those"
                " of what it learned; clone it first (sklearn.base.clone)"
            )
        device = params.pop("device", self.device)
        self.settings = self.settings_class.parse({**self.settings.to_dict(), **params})
        self.device = pick_device(str(device))
        return self

    def __sklearn_clone__(self) -> Self:
        """An unfitted model of the same settings."""
        return type(self)(self.settings, device=str(self.device))

    def _is_fitted(self) -> bool:
        try:
            self.stored_tensors()
        except DataError:
            return False
        return True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "folder_format" in vars(cls):
            _FAMILY_CLASSES[cls.folder_format.family] = cls
        if "kind" in vars(cls):
            _KINDS[cls.folder_format.family][cls.kind] = cls
            if "label" not in vars(cls):
                cls.label = cls.kind

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """What was learned, by name.

        Raises:
            DataError: it is not fitted yet.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What config.json says beside family, kind and version."""

    @abstractmethod
    def take_up(
        self, config: Mapping[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> None:
        """Go back to what a folder holds.

        Args:
            config: what config.json says.
            tensors: those of model.safetensors.
            folder: for further files and for messages.

        Raises:
            FormatError: a tensor is missing, extra or misshapen, or a file is another model's.
        """

    @abstractmethod
    def card(self, config: Mapping[str, Any]) -> str:
        """Markdown that says to people what the folder holds."""

    def stored_tensors(self) -> dict[str, np.ndarray]:
        """What model.safetensors holds: :meth:`tensors`, unless the family adds to them."""
        return self.tensors()

    def write_files(self, folder: Path) -> dict[str, Any]:
        """Write the files that the family adds; gives what config.json says of them."""
        return {}

    def save(self, folder: str | Path, made_from: Mapping[str, Any] | None = None) -> None:
        """Write the model's folder, whole or not at all; see :mod:`mmq._model_folder`.

        Args:
            folder: where.
            made_from: what the folder is to say that it was made from; see :mod:`mmq.made_from`.

        Raises:
            DataError: it is not fitted yet, the folder exists with other content, or the disk is
                full.
        """
        tensors, config = self.stored_tensors(), self._whole_config()
        with self.folder_format.writing(folder) as new:
            config |= self.write_files(new)
            write_contents(new, config, tensors, self.card(config), self.log)
            if made_from is not None:
                write_note(new, made_from)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self:
        """The model of a folder, on a device as in the constructor.

        Raises:
            DataError: no such folder.
            FormatError: damaged, newer, of another kind, or its files do not belong together.
            SettingsError: its config has a setting that this version does not know.
        """
        form = cls.folder_format
        config = form.read_config(folder)
        kind, known = config[form.family], kinds(form.family)
        if kind not in known:
            raise FormatError(f"{folder} holds a {form.family} '{kind}'; {nearest(kind, known)}")
        if getattr(cls, "kind", kind) != kind:
            raise FormatError(f"{folder} holds a {kind} {form.family}, not {cls.kind}")
        maker: type[Any] = cls if hasattr(cls, "kind") else known[kind]
        model: Self = maker(
            maker.settings_class.parse_saved(maker.settings_of(config)), device=device
        )
        model.take_up(config, read_weights(folder, form.family, config), Path(folder))
        model.figures = config.get("figures", {})
        return model

    @classmethod
    def settings_of(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings of a config, completed where an older format leaves something out."""
        settings: Mapping[str, Any] = config["settings"]
        return settings

    def fingerprint(self) -> str:
        """Content hash: that of the folder which :meth:`save` writes."""
        return content_hash(self._whole_config(), self.stored_tensors())

    def _whole_config(self) -> dict[str, Any]:
        form = self.folder_format
        return {"format": form.version, form.family: self.kind, **self.config()}

    def _unfitted(self) -> DataError:
        return DataError(f"the {self.folder_format.family} is not fitted yet; call fit or load one")

    save_pretrained = save
    from_pretrained = load


def kinds(family: str) -> Mapping[str, type[Model[Any]]]:
    """Kind -> class of a family."""
    import_module(FAMILIES[family])
    return _KINDS[family]


def folder_format(family: str) -> FolderFormat:
    """What the folders of a family are like."""
    kinds(family)
    return _FAMILY_CLASSES[family].folder_format


def model_class(family: str, kind: str) -> type[Any]:
    """The class of a kind.

    Raises:
        SettingsError: there is no such kind.
    """
    known = kinds(family)
    if kind not in known:
        raise SettingsError(f"there is no {family} '{kind}'; {nearest(kind, known)}")
    return known[kind]


def load(folder: str | Path, device: str = "auto") -> Any:
    """The tokenizer, recommender or ranker of a folder, on a device as in their constructors.

    Raises:
        DataError: no such folder.
        FormatError: no model of mmq, damaged, newer, or its files do not belong together.
    """
    family = family_of(folder, FAMILIES)
    if family is None:
        raise DataError(
            f"there is no model in {folder} (no config.json of mmq); give the folder that mmq fit "
            "or mmq train wrote"
        )
    kinds(family)
    return _FAMILY_CLASSES[family].load(folder, device)
