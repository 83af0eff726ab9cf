"""What a code means in words: what its items' attributes and titles have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse
from scipy.special import xlogy

from mmq.data._texts import SEPARATOR, as_texts, values_of

MOST = 3
"""Words that a code is given."""

_LEAST_ITEMS = 3
"""Items of a code that have to share a word."""
_LEAST_SHARE = 0.1
"""Share of a code's items that have to share a word; a code is not named after a few of many."""
_CERTAIN = 15.1
"""Log-likelihood ratio that a word has to reach: p < .0001 of chi-squared with one degree."""
_WORD = re.compile(r"[^\W\d_]{3,}")
_TITLE = "title"


class Word(NamedTuple):
    """A value that items of a code have more often than others.

    Attributes:
        column: attribute that it is a value of; of a word in a title, "title".
        value: the value.
        share: of the code's items that have it.
        share_of_all: of all items that have it.
    """

    column: str
    value: str
    share: float
    share_of_all: float

    @property
    def text(self) -> str:
        """``Comedy 40%``."""
        return f"{self.value} {self.share:.0%}"


class Words:
    """Which items have which values of attributes and words of titles.

    Args:
        attributes: a table with a row for every item; columns that cannot be read as text are
            left out.

    >>> table = pa.table({"genre": ["Comedy|Drama"] * 4 + ["War"] * 4, "title": ["A joke"] * 8})
    >>> [word.text for word in Words(table).of(np.array([0, 1, 2, 3]), certain=5)]
    ['Comedy 100%', 'Drama 100%']
    """

    def __init__(self, attributes: pa.Table) -> None:
        self.items = attributes.num_rows
        parts = [_counted(name, each) for name, each in _columns(attributes)]
        self._names = [name for names, _ in parts for name in names]
        matrices = [matrix for _, matrix in parts]
        empty = sparse.csr_array((self.items, 0), dtype=np.float32)
        self._has = sparse.csr_array(sparse.hstack([empty, *matrices], "csr"))
        self._totals = np.asarray(self._has.sum(0)).ravel()

    def of(self, rows: np.ndarray, most: int = MOST, certain: float = _CERTAIN) -> list[Word]:
        """The words that tell some items from all others best, by the log-likelihood ratio.

        (Dunning 1993.) Only words that these items have more often than all items do, and a tenth
        of them at least.

        Args:
            rows: of the items.
            most: words wanted.
            certain: least ratio.
        """
        if not len(rows) or not self._names:
            return []
        own = np.asarray(self._has[rows].sum(0)).ravel()
        share, overall = own / len(rows), self._totals / self.items
        ratios = _likelihood_ratios(own, len(rows), self._totals, self.items)
        told = (own >= _LEAST_ITEMS) & (share >= _LEAST_SHARE) & (share > overall)
        ratios = np.where(told & (ratios >= certain), ratios, -1.0)
        best = np.argsort(-ratios, kind="stable")[:most]
        return [
            Word(
                self._names[place][0],
                self._names[place][1],
                float(share[place]),
                float(overall[place]),
            )
            for place in best.tolist()
            if ratios[place] > 0
        ]


def _columns(attributes: pa.Table) -> Iterator[tuple[str, list[set[str]]]]:
    """Name of each column of text -> the values of every item."""
    for name in attributes.column_names:
        column = attributes.column(name)
        if pa.types.is_floating(column.type) or pa.types.is_struct(column.type):
            continue  # hardly a number comes twice
        entries = as_texts(column, name).to_pylist()
        if name == _TITLE:
            yield name, [set(_WORD.findall((each or "").lower())) for each in entries]
        else:
            yield name, [_parts(each) for each in entries]


def _parts(entry: Any) -> set[str]:
    """The values of one item, without a text of several of them."""
    return {v for v in values_of(entry) if not (isinstance(entry, str) and SEPARATOR in v)}


def _counted(
    name: str, entries: Sequence[set[str]]
) -> tuple[list[tuple[str, str]], sparse.csr_array]:
    """Column and value of what several items have, and ``(items, values)`` who has it."""
    places: dict[str, int] = {}
    columns = [places.setdefault(v, len(places)) for each in entries for v in sorted(each)]
    rows = np.repeat(np.arange(len(entries)), [len(each) for each in entries])
    shape = (len(entries), len(places))
    has = sparse.csc_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    common = np.flatnonzero(np.diff(has.indptr) >= _LEAST_ITEMS)
    values = list(places)
    return [(name, values[place]) for place in common], sparse.csr_array(has[:, common])


def _likelihood_ratios(own: np.ndarray, size: int, totals: np.ndarray, items: int) -> np.ndarray:
    """``2 log`` of how much likelier own counts are with a share of their own."""
    rest, others = totals - own, items - size

    def log_likelihood(hits: np.ndarray, of: int, share: np.ndarray) -> np.ndarray:
        value: np.ndarray = xlogy(hits, share) + xlogy(of - hits, 1 - share)
        return value

    together = totals / items
    found = log_likelihood(own, size, own / size) - log_likelihood(own, size, together)
    if others:
        found = found + log_likelihood(rest, others, rest / others)
        found = found - log_likelihood(rest, others, together)
    ratios: np.ndarray = 2 * found
    return ratios
