"""The files of a table: one, the parts in a folder, or those that a pattern matches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from mmq._artifacts import require_file, sha256
from mmq.errors import DataError, shortened, warn

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
}
"""Suffix of a file, perhaps before ``.gz``, -> its format."""

_COMPRESSED = (".gz", ".bz2", ".zst")
_TABLES = {
    "_delta_log": ("*", "Delta Lake"),
    ".hoodie": ("*", "Hudi"),
    "metadata": ("*.metadata.json", "Iceberg"),
}
"""Folders whose files are not all of the table: some hold rows that were deleted since."""
_NUMBERED = re.compile(r"(\D*)(\d+)")
"""The name of a file up to the end of its first number."""
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Part(NamedTuple):
    """A file of a table.

    Attributes:
        path: the file.
        values: name -> value, of the folders ``name=value`` that it lies in.
    """

    path: Path
    values: dict[str, str | None]


def format_of(path: Path) -> str | None:
    """The format that a file's suffix names; None where it is not known."""
    suffix = Path(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix
    found = FORMATS.get(suffix.lower())
    return None if found == "parquet" and path.suffix in _COMPRESSED else found


def table_parts(path: str | Path) -> list[Part]:
    """The files of a table, in the order of their names.

    Args:
        path: a file; a folder, whose files are taken but for those that start with "_" or ".", and
            whose folders ``name=value`` are columns; or a pattern with "*".

    Raises:
        DataError: there are none, they are of several formats, or of one that is not known.
    """
    path = Path(path)
    if path.is_dir():
        parts = _in_folder(path)
    elif is_pattern(path):
        base = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(base) if path.is_absolute() else path)
        parts = [Part(file, _values(file.parts)) for file in sorted(base.glob(pattern))]
        parts = [part for part in parts if part.path.is_file()]
        if not parts:
            raise DataError(f"no file matches {path}; check the pattern")
    else:
        parts = [Part(require_file(path, "table"), {})]
    formats = {format_of(part.path): part.path for part in reversed(parts)}
    if None in formats:
        raise DataError(
            f"{formats[None]} has a suffix that is not known; give .parquet, .csv, .tsv, .jsonl "
            "(each text also as .gz) or .inter"
        )
    if len(formats) > 1:
        names = ", ".join(sorted(file.name for file in formats.values())[:5])
        raise DataError(f"{path} holds files of several formats ({names}); give those of one")
    return parts


def warn_of_gaps(parts: Sequence[Path]) -> None:
    """Say which numbers the names of files lack, where they count from 0 or 1."""
    found = [_NUMBERED.match(path.name) for path in parts]
    named = [match.groups() for match in found if match]
    numbers = sorted({int(number) for _, number in named})
    if len(named) < len(parts) or len({before for before, _ in named}) > 1 or numbers[0] > 1:
        return
    lacking = sorted(set(range(numbers[0], numbers[-1])).difference(numbers))
    if lacking:
        before, number = named[0]
        first = f"{before}{lacking[0]:0{len(number)}d}"
        warn(
            f"{parts[0].parent} has files up to {parts[-1].name} and none of the name {first} "
            f"({len(lacking):,} such gaps), so that a part may be missing; check that it is whole"
        )


def is_pattern(path: str | Path) -> bool:
    """Whether a path is a pattern of files, and not the name of one."""
    return not Path(path).exists() and any(sign in str(path) for sign in "*?[")


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file, or of the files of a table with their names."""
    if Path(path).is_file():
        return sha256(path)
    digest = hashlib.sha256()
    for part in table_parts(path):
        digest.update(f"{part.path.name} {part.values} {sha256(part.path)}\n".encode())
    return digest.hexdigest()


def _in_folder(folder: Path) -> list[Part]:
    for name, (pattern, kind) in _TABLES.items():
        if next((folder / name).glob(pattern), None) is not None:
            raise DataError(
                f"{folder} is a {kind} table, whose files also hold rows that are no longer in it; "
                "write it out as Parquet first"
            )
    parts = []
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder).parts
        hidden = any(name.startswith(("_", ".")) for name in inside)
        if not hidden and file.is_file() and format_of(file):
            parts.append(Part(file, _values(inside)))
    if not parts:
        others = [file.name for file in sorted(folder.iterdir())][:3]
        held = f"it holds {', '.join(map(shortened, others))}" if others else "it is empty"
        raise DataError(f"the folder {folder} has no part of a table ({held}); give .parquet parts")
    return parts


def _values(places: tuple[str, ...]) -> dict[str, str | None]:
    pairs = (name.split("=", 1) for name in places[:-1] if "=" in name)
    return {name: None if value == _NO_VALUE else unquote(value) for name, value in pairs}
