"""The one save format of models: a folder of config.json, model.safetensors and README.md.

``config.json`` holds ``format`` (version), the family (``tokenizer``, ``recommender`` or
``ranker``) with the kind as its value, ``settings``, ``figures`` of the fit and the ``mmq``
version, and what the family adds. ``training.jsonl`` has a line of figures for every epoch of the
fit. A family may add files of its own. This module is the only reader and writer of what all share.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mmq._artifacts import check_own_folder, require_file, sha256, write_folder
from mmq._formats import (
    json_bytes,
    read_json,
    read_tensors,
    tensor_bytes,
    write_json,
    write_tensors,
)
from mmq.errors import FormatError, warn
from mmq.made_from import NOTE

CONFIG, WEIGHTS, CARD, LOG = "config.json", "model.safetensors", "README.md", "training.jsonl"
HASH = "weights_sha256"
"""Key of config.json: the hash of the file of weights."""


class Config(BaseModel):
    """What config.json has to hold; a family adds its own. Other keys are left alone."""

    model_config = ConfigDict(strict=True, extra="allow")

    format: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class FolderFormat:
    """What the folders of a family are like.

    Attributes:
        family: key of the kind in config.json.
        config: what config.json has to hold.
        version: that is written.
        oldest: that is read.
        again: how an older one is made again.
        files: names of the files that the family adds.
    """

    family: str
    config: type[Config]
    version: int
    oldest: int
    again: str
    files: tuple[str, ...] = ()

    @property
    def model_files(self) -> tuple[str, ...]:
        """Names of the files that make up a model; not all need to be there."""
        return (CONFIG, WEIGHTS, CARD, LOG, *self.files)

    def check_target(self, folder: str | Path) -> None:
        """Raise :class:`~mmq.errors.DataError` if saving there would overwrite something else."""
        check_own_folder(folder, (*self.model_files, NOTE), CONFIG, (self.family, "mmq"))

    @contextlib.contextmanager
    def writing(self, folder: str | Path) -> Iterator[Path]:
        """A new folder that takes the place of ``folder`` once it is whole, or not at all.

        Raises:
            DataError: the folder exists with other content, or the disk is full.
        """
        self.check_target(folder)
        with write_folder(folder, CONFIG) as temporary:
            yield temporary

    def read_config(self, folder: str | Path) -> dict[str, Any]:
        """The checked config.json of a folder.

        Raises:
            DataError: no such folder.
            FormatError: damaged, of another family, of a newer version, or too old.
        """
        path = Path(folder) / CONFIG
        config = read_json(path, f"{self.family} (a folder with config.json)")
        found = config.get("format")
        if isinstance(found, int) and self.family in config and found > self.version:
            raise FormatError(
                f"{folder} has format {found}, this mmq reads up to {self.version}; upgrade mmq"
            )
        if isinstance(found, int) and self.family in config and found < self.oldest:
            raise FormatError(
                f"{folder} has format {found}, whose network this mmq no longer has; {self.again}"
            )
        if wrong := self._wrong(config):
            raise FormatError(
                f"{path} is not the config of an mmq {self.family} ('{wrong}' is not as mmq writes "
                "it); copy the whole folder, or make it again"
            )
        return config

    def _wrong(self, config: Mapping[str, Any]) -> str:
        """Name of the first value that is missing or of another type; empty where none is."""
        if not isinstance(config.get(self.family), str):
            return self.family
        try:
            self.config.model_validate(config)
        except ValidationError as error:
            return ".".join(map(str, error.errors()[0]["loc"]))
        return ""


def write_contents(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    card: str,
    log: Sequence[Mapping[str, float]],
) -> None:
    """Write the files that all families share; the config holds the hash of the weights."""
    write_tensors(folder / WEIGHTS, tensors)
    write_json(folder / CONFIG, {**config, HASH: sha256(folder / WEIGHTS)})
    (folder / CARD).write_text(card, "utf-8")
    if log:
        lines = [json.dumps(epoch) + "\n" for epoch in log]
        (folder / LOG).write_text("".join(lines), "utf-8")


def read_weights(
    folder: str | Path, family: str, config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The tensors of a folder by name.

    Args:
        folder: of the model.
        family: of the model.
        config: what config.json says.

    Raises:
        DataError: there are none.
        FormatError: the file is damaged or another than config.json names, or a weight is not
            finite.
    """
    path = require_file(Path(folder) / WEIGHTS, f"file of the {family}'s weights")
    if HASH not in config:
        warn(
            f"{folder} was written by an older mmq and holds no hash of its weights, so that "
            "damage to them cannot be noticed; save it again"
        )
    elif sha256(path) != config[HASH]:
        raise FormatError(
            f"{path} is not the file that {CONFIG} was written with: it is truncated or damaged, "
            f"or of another {family}; copy the whole folder, or make it again"
        )
    tensors = read_tensors(path, f"file of the {family}'s weights")
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FormatError(
                f"the tensor '{name}' in {path} holds values that are not finite, so the {family} "
                "is of no use; make it again"
            )
    return tensors


def family_of(folder: str | Path, families: Collection[str]) -> str | None:
    """Which of some families a folder says that it is of; None where there is no config.json."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        return None
    config = read_json(path, "model (a folder with config.json)")
    return next((family for family in families if family in config), None)


def require_hash(path: Path, what: str, expected: object) -> Path:
    """The path of a file that belongs to the folder; the SHA-256 of its content is compared.

    Raises:
        DataError: there is no such file.
        FormatError: it is another one.
    """
    if sha256(require_file(path, what)) != expected:
        raise foreign_file(path)
    return path


def foreign_file(path: Path) -> FormatError:
    """That a file is not the one that the rest of its folder was written with."""
    return FormatError(
        f"{path} is not the file that the model was trained with; train it again, or copy the "
        "whole folder"
    )


def fingerprint(folder: str | Path) -> str:
    """Content hash of a model's folder: of its config and its weights.

    What config.json says of hashes is left out, so that it is the same as before there were any.
    """
    config = read_json(Path(folder) / CONFIG, "model")
    weights = sha256(require_file(Path(folder) / WEIGHTS, "model"))
    if config.pop(HASH, None) is None:
        return _joined([sha256(Path(folder) / CONFIG), weights])
    return _joined([hashlib.sha256(json_bytes(config)).hexdigest(), weights])


def content_hash(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """:func:`fingerprint` of the folder that would be written, without writing it."""
    contents = json_bytes(config), tensor_bytes(tensors)
    return _joined([hashlib.sha256(each).hexdigest() for each in contents])


def _joined(digests: Sequence[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def card(title: str, tags: str, body: Sequence[str], config: Mapping[str, Any]) -> str:
    """Markdown that says what a folder holds, with the settings of its model.

    Args:
        title: heading.
        tags: that model hubs find it by, beside "semantic-ids, recommender-systems".
        body: lines between heading and settings.
        config: what config.json says.
    """
    head = ["---", "library_name: mmq", f"tags: [semantic-ids, recommender-systems, {tags}]", "---"]
    settings = [f"| {name} | {value} |" for name, value in config["settings"].items()]
    lines = [*head, "", f"# {title}", "", *body, "| setting | value |", "|---|---|", *settings]
    return "\n".join(lines) + f"\n\nMade by mmq {config['mmq']}.\n"


def figure_rows(figures: Mapping[str, float]) -> list[str]:
    """A table of the validation figures, where there are any."""
    if not figures:
        return []
    rows = [f"| {name} | {value:.4f} |" for name, value in figures.items()]
    return ["| validation | value |", "|---|---|", *rows, ""]
