"""Items that lack a modality: the codes at its positions say nothing of them.

They are told from items that have it when a table is made, and kept in its manifest, so that no
figure of a codebook is about items of which the codebook cannot know anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np


class LackingRef(TypedDict):
    """What a manifest says of one modality.

    ``codes`` are triples: a position of the modality, a code, and how many of the items that lack
    the modality have that code there.
    """

    items: int
    codes: list[list[int]]


@dataclass(frozen=True)
class Lacking:
    """How many items lack each modality, and which codes they have at its positions.

    Attributes:
        items: modality -> items that lack it; a modality that none lacks may be left out.
        codes: modality -> (position, code) -> items.

    >>> lacking = Lacking.of(np.array([[0, 3], [1, 3], [2, 5]]),
    ...                      {"image": np.array([True, True, False])}, {"image": [1]})
    >>> lacking.items, lacking.without([np.array([1, 1, 1]), np.array([0, 0, 0, 2, 0, 1])])[1]
    ({'image': 2}, array([0, 0, 0, 0, 0, 1]))
    """

    items: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, Mapping[tuple[int, int], int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        codes: np.ndarray,
        absent: Mapping[str, np.ndarray],
        positions: Mapping[str, Sequence[int]],
    ) -> Lacking:
        """Of some items of a table.

        Args:
            codes: ``(items, length)``.
            absent: modality -> ``(items,)`` bool, True where it is missing.
            positions: modality -> positions of the ID that depend on it alone; those of other
                groups, such as shared ones, are of no concern here.
        """
        found: dict[str, dict[tuple[int, int], int]] = {}
        for modality, mask in absent.items():
            rows, counts = codes[np.asarray(mask, bool)], dict[tuple[int, int], int]()
            for position in positions.get(modality, ()):
                values, times = np.unique(rows[:, position], return_counts=True)
                pairs = zip(values.tolist(), times.tolist(), strict=True)
                counts |= {(position, code): count for code, count in pairs}
            found[modality] = counts
        return cls({name: int(np.count_nonzero(mask)) for name, mask in absent.items()}, found)

    def __add__(self, other: Lacking) -> Lacking:
        """Those of two tables of different items together."""
        names = [*self.items, *(name for name in other.items if name not in self.items)]
        return Lacking(
            {name: self.items.get(name, 0) + other.items.get(name, 0) for name in names},
            {
                name: Counter(self.codes.get(name, {})) + Counter(other.codes.get(name, {}))
                for name in names
            },
        )

    def positions(self, modality: str) -> list[int]:
        """Positions at which items that lack the modality were counted."""
        return sorted({position for position, _ in self.codes.get(modality, {})})

    def without(self, counts: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Items that use each code, of each codebook, those that lack its modality left out."""
        rest = tuple(count.copy() for count in counts)
        for each in self.codes.values():
            for (position, code), items in each.items():
                # rows may have been taken out of the table since
                rest[position][code] = max(0, rest[position][code] - items)
        return rest

    def to_manifest(self) -> dict[str, LackingRef]:
        """Plain values, equal for equal tables."""
        return {
            name: LackingRef(
                items=items,
                codes=[[*at, count] for at, count in sorted(self.codes.get(name, {}).items())],
            )
            for name, items in sorted(self.items.items())
        }

    @classmethod
    def from_manifest(cls, noted: Mapping[str, LackingRef]) -> Lacking:
        """What :meth:`to_manifest` gave."""
        return cls(
            {name: each["items"] for name, each in noted.items()},
            {
                name: {(position, code): count for position, code, count in each["codes"]}
                for name, each in noted.items()
            },
        )
