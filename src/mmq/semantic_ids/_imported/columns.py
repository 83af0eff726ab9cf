"""Which columns of a foreign file hold item ids and codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmq.errors import DataError, nearest, shortened

_ONE = ("semantic_id", "semantic_ids", "codes", "code", "sid", "sids")
"""Names of a column that holds whole IDs; the first that is there is taken."""

_POSITION = re.compile(r"(c|codes?|code_level|codebook|level|sid|semantic_id|token)_?([0-9]+)")
"""Names of columns of which each holds one position."""


@dataclass(frozen=True)
class IdColumns:
    """Columns of a file of semantic IDs.

    Attributes:
        item_id: the column of item ids.
        codes: one column of whole IDs, or one for each position; without, they are known by their
            usual names.
    """

    item_id: str = "item_id"
    codes: tuple[str, ...] = ()


USUAL = IdColumns()
"""``item_id``, and codes by their usual names."""


def find_columns(path: str | Path, names: Sequence[str], columns: IdColumns) -> tuple[str, ...]:
    """Names of the columns of codes in a file that has columns of these names.

    Raises:
        DataError: there are none, or a column that was asked for is missing.

    >>> find_columns("ids.csv", ["item_id", "title", "c0", "c1"], IdColumns())
    ('c0', 'c1')
    """
    if not names:
        raise DataError(f"{path} is empty; give at least one item")
    if columns.item_id not in names:
        raise DataError(
            f"{path} has no column '{columns.item_id}'; {nearest(columns.item_id, names)} (name "
            "the column of item ids with --id NAME)"
        )
    for name in columns.codes:
        if name not in names:
            raise DataError(f"{path} has no column '{name}' of codes; {nearest(name, names)}")
    found = columns.codes or _whole(names) or _positions(path, names)
    if found:
        return found
    raise DataError(
        f"{path} has no column that is known to hold codes (it has "
        f"{', '.join(map(shortened, names[:5]))}); name it with --code-columns, one column of "
        "whole IDs or one for each position"
    )


def _whole(names: Sequence[str]) -> tuple[str, ...]:
    return next(((name,) for name in _ONE if name in names), ())


def _positions(path: str | Path, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of one word that are numbered from 0 or 1 on, in that order."""
    series: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _POSITION.fullmatch(name.lower()):
            series.setdefault(match[1], {})[int(match[2])] = name
    whole = [tuple(of[n] for n in sorted(of)) for of in series.values() if _is_counted(sorted(of))]
    if len(whole) > 1:
        raise DataError(
            f"{path} has columns {whole[0][0]} and {whole[1][0]}, which may both be codes; name "
            "those of the positions with --code-columns"
        )
    return whole[0] if whole else ()


def _is_counted(numbers: list[int]) -> bool:
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
