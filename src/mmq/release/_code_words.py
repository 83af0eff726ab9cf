"""What each code of a release means in words, ``codes.json``; this module alone knows the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmq._formats import read_json, write_json
from mmq.reports._meaning import Word, Words
from mmq.semantic_ids import SemanticIDs

FILE = "codes.json"


def write_code_words(folder: Path, ids: SemanticIDs, attributes: pa.Table) -> None:
    """Write, for every position and code, what its items have more often than others.

    Args:
        folder: of the release.
        ids: the table.
        attributes: a row for each of its items.
    """
    words = Words(attributes) if attributes.num_columns else None
    positions = [_of_position(ids, place, words) for place in range(ids.length)]
    write_json(folder / FILE, {"positions": positions})


def _of_position(ids: SemanticIDs, position: int, words: Words | None) -> dict[str, list[str]]:
    """Code -> its words, for those that have any."""
    if words is None:
        return {}
    codes = ids.codes[:, position]
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=ids.codebook_sizes[position]))
    parts = np.split(order, ends[:-1])
    named = {str(code): _texts(words.of(part)) for code, part in enumerate(parts)}
    return {code: each for code, each in named.items() if each}


def _texts(words: Sequence[Word]) -> list[str]:
    """Words with their shares; one that titles and an attribute have alike comes once."""
    return list({word.value.casefold(): word.text for word in words}.values())


def read_code_words(folder: Path) -> list[dict[str, list[str]]]:
    """For every position, code -> its words.

    Raises:
        DataError: there is no such file.
        FormatError: it is damaged.
    """
    positions: list[dict[str, list[str]]] = read_json(folder / FILE, "words of codes")["positions"]
    return positions
