"""The one exception tree; what is under :class:`UserError` is the user's to mend (exit code 2)."""

from __future__ import annotations

import difflib
import re
import warnings
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


class DataWarning(UserWarning):
    """Something in what was given that is worth knowing, such as how many values were missing."""


def warn(sentence: str) -> None:
    """Tell the user something that is no error; the command line prints it and goes on."""
    warnings.warn(sentence, DataWarning, stacklevel=3)


_SHOWN, _WIDTH, _MANY = 5, 60, 20_000


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known word closest to ``name``, or five of all where none is close.

    >>> nearest("codebok_size", ["codebook_size", "epochs"])
    "did you mean 'codebook_size'?"
    >>> nearest("x", map(str, range(100)))
    'choose from: 0, 1, 10, 11, 12, and 95 more'
    """
    words = sorted(known)
    if not words:
        return "there are none"
    # a long search among very many words would take minutes
    close = difflib.get_close_matches(name[:_WIDTH], words[:_MANY], n=1, cutoff=0.5)
    if close:
        return f"did you mean '{shortened(close[0])}'?"
    more = f", and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return f"choose from: {', '.join(map(shortened, words[:_SHOWN]))}{more}"


_UNSEEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]"
)
"""Characters that steer a terminal or turn the direction of writing."""


def printable(text: str) -> str:
    """A text for a terminal: what would steer it is shown as an escape and not sent.

    >>> print(printable("toy \\x1b[2J\\u202egnp.exe"))
    toy \\x1b[2J\\u202egnp.exe
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened(text: str) -> str:
    """A text of the user's for a sentence, cut where it is long."""
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
