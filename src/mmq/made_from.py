"""What lies on disk was made from something: is that what is asked for now?

A result of the same inputs is replaced: it will be the same again. One that was made from anything
else, or that does not say what it was made from, is somebody's work and is only replaced with
``--force``. A folder says what it was made from in :data:`NOTE`, beside what it holds; a catalogue
in its own metadata (:func:`~mmq.data._parquet.made_from`).

Unfinished work (:class:`Checkpoint`) follows the same rule: it is gone on with if it was made from
the same inputs, and refused otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmq._artifacts import check_replaceable, require_file, sha256, write_folder
from mmq._formats import read_json, to_json, write_json
from mmq.errors import DataError, FormatError

NOTE = "made_from.json"
"""Name of the file in which a folder says what it was made from."""

_TOLD = 3
"""Differences that a message names."""
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Checkpoint:
    """Where unfinished work is kept, what it is made from, and whether to go on with it.

    Attributes:
        path: file or folder; the caller removes it once the result is saved.
        made_from: name of an input -> what it is. A fit adds its data and its settings.
        resume: go on with what is there, to the same result as without a break; else it is
            replaced.
    """

    path: Path
    made_from: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False

    def of(self, **inputs: Any) -> Checkpoint:
        """The same of further inputs."""
        return replace(self, made_from={**self.made_from, **inputs})

    def beside(self, suffix: str) -> Checkpoint:
        """Of further work on the same inputs, whose path ends in ``suffix``."""
        return replace(self, path=self.path.with_name(f"{self.path.name}.{suffix}"))

    @property
    def goes_on(self) -> bool:
        """Whether there is work to go on with."""
        return self.resume and self.path.exists()

    def require_own(self, found: Mapping[str, Any] | None) -> None:
        """Raise :class:`FormatError` unless the work that is there was made from the same inputs.

        Args:
            found: what it was made from; None where it does not say.
        """
        told = "it does not say which" if found is None else differences(self.made_from, found)
        if told:
            raise FormatError(
                f"{self.path} is unfinished work on other data or other settings ({told}); run "
                "without --resume to start anew"
            )


def begin(checkpoint: Checkpoint) -> None:
    """Make the folder of unfinished work anew, or keep that of the same inputs to go on with.

    :data:`NOTE` in it says what it is made from.

    Raises:
        DataError: other people's files are there.
        FormatError: what is there was made from other inputs.
    """
    check_replaceable(checkpoint.path, NOTE)
    note = checkpoint.path / NOTE
    if checkpoint.resume and note.is_file():
        checkpoint.require_own(read_json(note, "note of unfinished work"))
        return
    with write_folder(checkpoint.path, NOTE) as temporary:
        write_json(temporary / NOTE, checkpoint.made_from)


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
    if told := differences(inputs, found):
        raise DataError(f"{path} holds {what} made from other inputs ({told}); {remedy}")


def write_note(folder: str | Path, inputs: Mapping[str, Any]) -> None:
    """Say in a folder what its result was made from."""
    write_json(Path(folder) / NOTE, inputs)


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Which inputs differ, for people; empty where none does.

    >>> differences({"kind": "mmq", "settings": {"seed": 1}}, {"kind": "mmq", "settings": {}})
    'seed none, not 1'
    """
    told = list(_differences(json.loads(to_json(wanted)), found))
    more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return ", ".join(told[:_TOLD]) + more


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
        elif _opaque(old) or _opaque(new):
            yield f"another {name}"
        else:
            yield f"{name} {_short(old)}, not {_short(new)}"


def _opaque(value: Any) -> bool:
    """Whether a value says nothing to people."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("file", "given"))
    return "none" if value is None else str(value)
