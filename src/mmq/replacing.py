"""One rule for a result that stands where a new one is to go.

A result of the same inputs is replaced: it will be the same again. One that was made from anything
else, or that does not say what it was made from, is somebody's work and is only replaced with
``--force``. A folder says what it was made from in :data:`NOTE`, beside what it holds; a catalogue
in its own metadata (:func:`~mmq.data.parquet.made_from`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmq.artifacts import require_file, sha256
from mmq.errors import DataError
from mmq.formats import read_json, to_json, write_json

NOTE = "made_from.json"
"""Name of the file in which a folder says what it was made from."""

_TOLD = 3
"""Differences that a message names."""


def file_input(path: str | Path, digest: str | None = None, what: str = "table") -> dict[str, str]:
    """A file among the inputs: its name, which is shown, and its hash, which is compared."""
    return {"file": Path(path).name, "sha256": digest or sha256(require_file(path, what))}


def check_replaced(folder: str | Path, what: str, inputs: Mapping[str, Any], force: bool) -> None:
    """Raise :class:`DataError` if a folder holds a result of other inputs; before long work.

    Args:
        folder: where the result is to go; free, or one that mmq wrote.
        what: what it holds, such as "a tokenizer".
        inputs: everything that decides what the new result is: files (:func:`file_input`),
            settings, options.
        force: whether it is replaced all the same.
    """
    folder = Path(folder)
    if force or not folder.is_dir() or not any(folder.iterdir()):
        return
    note = folder / NOTE
    check_same(folder, what, inputs, read_json(note, "note") if note.is_file() else None)


def check_same(
    path: Path, what: str, inputs: Mapping[str, Any], found: Mapping[str, Any] | None
) -> None:
    """Raise :class:`DataError` unless what stands at a path was made from the same inputs.

    Args:
        path: of the result.
        what: what it holds, such as "a tokenizer".
        inputs: of the new one.
        found: of the one that stands there; None where it does not say.
    """
    remedy = "choose another --out, or replace it with --force"
    if found is None:
        raise DataError(f"{path} holds {what} that does not say what it was made from; {remedy}")
    differences = list(_differences(json.loads(to_json(inputs)), found))
    if differences:
        more = f" and {len(differences) - _TOLD} more" if len(differences) > _TOLD else ""
        raise DataError(
            f"{path} holds {what} made from other inputs ({', '.join(differences[:_TOLD])}{more}); "
            f"{remedy}"
        )


def write_note(folder: str | Path, inputs: Mapping[str, Any]) -> None:
    """Say in a folder what its result was made from."""
    write_json(Path(folder) / NOTE, inputs)


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*wanted, *found)):
        new, old = wanted.get(name), found.get(name)
        if new == old:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            if "sha256" not in old:
                yield from _differences(new, old)
            elif old["sha256"] != new.get("sha256"):
                same = old.get("file") == new.get("file")
                named = f"another {old.get('file')}" if same else f"{old.get('file')}"
                yield f"{name} {named}" if same else f"{name} {named}, not {new.get('file')}"
        else:
            yield f"{name} {_short(old)}, not {_short(new)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("file", "given"))
    return "none" if value is None else str(value)
