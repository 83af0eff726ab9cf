"""Values of further columns that training did not see, which most often are written otherwise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmq.ranking._impressions import Impressions
from mmq.ranking._vocabulary import Numbering, Vocabulary


class Unseen(NamedTuple):
    """Values of one column.

    Attributes:
        given: rows that have one.
        unseen: those of them whose value training did not see.
        example: such a value; "" where there is none.
    """

    given: int = 0
    unseen: int = 0
    example: str = ""

    def and_(self, other: Unseen) -> Unseen:
        """Those of two parts together."""
        example = self.example or other.example
        return Unseen(self.given + other.given, self.unseen + other.unseen, example)

    def concern(self, name: str) -> list[str]:
        """A sentence on the column ``name`` where most of its values were not seen."""
        if 2 * self.unseen <= self.given:
            return []
        return [
            f"{self.unseen:,} of {self.given:,} rows have a value of the column {name} that "
            f"training did not see, such as {self.example!r}; is it written as it was for training?"
        ]


def unseen_values(
    log: Vocabulary, numbering: Numbering, impressions: Impressions
) -> dict[str, Unseen]:
    """Of each column of categories of the training, what some impressions of a log have in it."""
    numbers, names, found = numbering.column_numbers(impressions), list(log.columns), {}
    for number, (place, _) in enumerate(numbering.columns):
        values = log.columns[names[place]]
        rows = np.asarray(impressions.columns)[:, place]
        given = (values.to_numpy(zero_copy_only=False) != "")[rows]
        unseen = given & (numbers[:, number] == 0)
        example = values[int(rows[unseen.argmax()])].as_py() if unseen.any() else ""
        found[names[place]] = Unseen(int(given.sum()), int(unseen.sum()), example)
    return found
