"""The one exception tree; what is under :class:`UserError` is the user's to mend (exit code 2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MMQError(Exception):
    """Base of every error that mmq raises on purpose."""


class UserError(MMQError):
    """A mistake in what was given to mmq; the message is one sentence that says what to do."""


class DataError(UserError):
    """A catalogue, interaction log or image that cannot be used as it is."""


class DivergedError(DataError):
    """A training whose losses are no longer numbers."""


class SettingsError(UserError):
    """A setting that is unknown or out of range."""


class FormatError(UserError):
    """A file that is truncated, of another format, of a newer version, or does not belong here."""


class MissingExtraError(UserError):
    """An optional dependency that is not installed.

    Args:
        package: the import that failed.
        extra: the name of the install extra that brings it.
        instead: what to do without it, where there is something ("choose --text-encoder light").
    """

    def __init__(self, package: str, extra: str, instead: str = "") -> None:
        command = f"pip install 'mmq-tokenizer[{extra}]'"
        super().__init__(
            f"{package} is not installed; run: {command}" + (f", or {instead}" if instead else "")
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known word closest to ``name``, or listing all where none is close.

    >>> nearest("codebok_size", ["codebook_size", "epochs"])
    "did you mean 'codebook_size'?"
    """
    words = sorted(known)
    if not words:
        return "there are none"
    close = difflib.get_close_matches(name, words, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"choose from: {', '.join(words)}"
