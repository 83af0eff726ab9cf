"""What decides the numbers of an encoding, beside the items: models and libraries."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "transformers", "sentence-transformers", "pillow", "numpy")


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
