"""What ``mmq embed behaviour`` needs of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmq.cli.log_columns import Columns

if TYPE_CHECKING:
    from mmq.data.interactions import Interactions


def read_log(path: Path, columns: Columns) -> Interactions:
    """The interaction log in a file.

    Raises:
        DataError: no such file, or a column is missing.
        FormatError: it is truncated or damaged.
    """
    from mmq.data.interactions import read_interactions

    return read_interactions(path, columns)


def liked_by(log: Interactions) -> list[str]:
    """The columns that tell whether a row was liked; none of a log whose rows all count."""
    return [name for name in ("rating", "label") if name in log.table.column_names]


def told_by(columns: Sequence[str]) -> str:
    """A clause on :func:`liked_by`."""
    if not columns:
        return "which all count as liked, since no rating and no label was read"
    return f"of which those count that were liked by {' or '.join(columns)}"


def refuse(given: Mapping[str, bool], why: str) -> None:
    """Raise :class:`~mmq.errors.SettingsError` for the first option that is given.

    Args:
        given: option -> whether it is.
        why: the rest of the sentence after its name.
    """
    from mmq.errors import SettingsError

    for option in (name for name, there in given.items() if there):
        raise SettingsError(f"{option} {why}")
