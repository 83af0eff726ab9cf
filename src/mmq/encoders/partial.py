"""The folder of finished batches beside the catalogue, and what run it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mmq.artifacts import check_replaceable, write_folder
from mmq.errors import SettingsError
from mmq.formats import read_json, write_json

MARKER = "embed.json"
"""The file of the folder that holds the fingerprint of its run."""

_LIBRARIES = ("torch", "transformers", "sentence-transformers", "pillow", "numpy")


def open_partial(folder: Path, fingerprint: Mapping[str, Any], resume: bool) -> None:
    """Make the folder anew, or keep what the same run left in it when resuming.

    Args:
        folder: the folder.
        fingerprint: what decides the content of the batches, by a name to tell the user.
        resume: whether to keep finished batches.

    Raises:
        DataError: the folder holds other people's files.
        SettingsError: resuming another run.
    """
    check_replaceable(folder, MARKER)
    if resume and (folder / MARKER).is_file():
        before = read_json(folder / MARKER, "unfinished run")
        changed = [name for name, value in fingerprint.items() if before.get(name) != value]
        if changed:
            raise SettingsError(
                f"the unfinished run in {folder} had other {', '.join(changed)}; repeat its "
                "command, or start again without --resume"
            )
        return
    with write_folder(folder, MARKER) as temporary:
        write_json(temporary / MARKER, fingerprint)


def model_files(folder: Path) -> list[list[Any]]:
    """Name, size and time of the files of a local model; none for a name."""
    files = sorted(path for path in folder.glob("**/*") if path.is_file())
    stats = [(path.relative_to(folder), path.stat()) for path in files]
    return [[str(name), stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def library_versions() -> dict[str, str | None]:
    """Versions of the libraries that decide the numbers; None where one is not installed."""
    return {name: _version(name) for name in _LIBRARIES}


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
