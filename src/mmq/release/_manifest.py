"""The manifest of a release, ``release.json``: its name, and the hash of every file beside it.

This module alone reads and writes it. The fingerprint is a hash over the names and hashes of all
files, so that releases of equal parts have equal fingerprints, whatever they are called.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from mmq._artifacts import sha256
from mmq._formats import read_json, write_json
from mmq._version import __version__
from mmq.errors import FormatError, SettingsError

MANIFEST = "release.json"
"""Name of the file."""
FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AGAIN = "copy the whole folder again, or make the release anew with mmq release"


class ReleaseName(NamedTuple):
    """What every answer says of the release that it is from."""

    name: str
    fingerprint: str


class ReleaseManifest(BaseModel):
    """What ``release.json`` holds.

    Attributes:
        format: version of the folder's layout.
        name: that of the folder.
        created: when it was made, ISO 8601 in UTC.
        mmq: version that made it.
        fingerprint: over all files.
        files: path in the folder -> SHA-256 of the file.
        items: items of the ID table.
        new_items: how many of them the recommender did not see in training.
        models: family ("tokenizer", "recommender", "ranker") -> kind.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: int
    name: str
    created: str
    mmq: str
    fingerprint: str
    files: dict[str, str]
    items: int
    new_items: int
    models: dict[str, str]

    @property
    def identity(self) -> ReleaseName:
        """Name and fingerprint."""
        return ReleaseName(self.name, self.fingerprint)

    def require_files(self, folder: Path) -> None:
        """Raise :class:`FormatError` unless every file of a release is what it was made with."""
        for name, expected in self.files.items():
            path = folder / name
            if not path.is_file():
                raise FormatError(f"the release {folder} lacks its file {name}; {_AGAIN}")
            if sha256(path) != expected:
                raise FormatError(f"the file {name} of the release {folder} was changed; {_AGAIN}")


def require_name(name: str) -> str:
    """The name of a release, if it may be one.

    Raises:
        SettingsError: it is no plain name.

    >>> require_name("2026-12-01")
    '2026-12-01'
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name[:80]!r} is no name for a release; give 1 to 64 letters, digits, dots, dashes "
            "and underscores, the first a letter or digit"
        )
    return name


def write_manifest(folder: Path, name: str, created: str, facts: Mapping[str, Any]) -> None:
    """Write the manifest of the files in a folder.

    Args:
        folder: holds all parts.
        name: of the release.
        created: when it was made.
        facts: ``items``, ``new_items`` and ``models`` of :class:`ReleaseManifest`.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in paths}
    manifest = ReleaseManifest(
        format=FORMAT,
        name=name,
        created=created,
        mmq=__version__,
        fingerprint=_fingerprint(files),
        files=files,
        **facts,
    )
    write_json(folder / MANIFEST, manifest.model_dump())


def read_manifest(folder: Path) -> ReleaseManifest:
    """The manifest of a release.

    Raises:
        DataError: the folder holds none.
        FormatError: it is damaged, of a newer mmq, or another folder's.
    """
    value = read_json(folder / MANIFEST, "release (a folder with release.json)")
    found = value.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise FormatError(
            f"the release {folder} has format {found}, this mmq reads up to {FORMAT}; upgrade mmq"
        )
    try:
        manifest = ReleaseManifest.model_validate(value)
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"]))
        raise FormatError(
            f"the manifest of the release {folder} is damaged ('{wrong}' is not as mmq writes it); "
            f"{_AGAIN}"
        ) from None
    if manifest.name != folder.name:
        raise FormatError(
            f"the folder {folder} holds the release '{manifest.name}'; a release keeps the name "
            "that it was made with, so rename the folder back"
        )
    if manifest.fingerprint != _fingerprint(manifest.files):
        raise FormatError(f"the manifest of the release {folder} was changed; {_AGAIN}")
    return manifest


def _fingerprint(files: Mapping[str, str]) -> str:
    lines = [f"{name} {files[name]}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
