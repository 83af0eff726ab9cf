"""The items nearest to one in code space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmq.semantic_ids import SemanticIDs


class Neighbour(NamedTuple):
    """An item that shares codes with the one asked for.

    Attributes:
        row: its row in the table.
        shared_codes: positions at which both have the same code.
    """

    row: int
    shared_codes: int


def neighbours(ids: SemanticIDs, row: int, count: int = 10) -> list[Neighbour]:
    """The items that share most codes with the one at ``row``, itself left out, nearest first.

    Of items that share equally many, those that share the rarer codes come first (a code of few
    items says more), then those that come first in the table. Items that share none are not given.
    """
    shared = np.zeros(len(ids), np.int32)
    weight = np.zeros(len(ids), np.float32)
    for position, code in enumerate(ids.codes[row].tolist()):
        same = ids.codes[:, position] == code
        shared += same
        weight[same] += np.log(len(ids) / np.count_nonzero(same))
    shared[row] = 0
    candidates = np.flatnonzero(shared >= _least(shared, count))
    order = np.lexsort((candidates, -weight[candidates], -shared[candidates]))
    return [Neighbour(int(at), int(shared[at])) for at in candidates[order[:count]]]


def _least(shared: np.ndarray, count: int) -> int:
    """Shared codes that are needed to be among the nearest ``count``; at least one."""
    at_least = np.bincount(shared)[::-1].cumsum()[::-1]
    return max(1, int(np.flatnonzero(at_least >= min(count, len(shared)))[-1]))
