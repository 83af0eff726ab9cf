"""What recommenders take up and give back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmq.semantic_ids import SemanticIDs


class Items(NamedTuple):
    """What a recommender may recommend.

    Attributes:
        item_ids: ``(items,)`` Arrow array.
        ids: their semantic IDs, where they have any.
        popularity: ``(items,)`` int64 interactions of each in the training part.
    """

    item_ids: pa.Array
    ids: SemanticIDs | None
    popularity: np.ndarray


class Recommendations(NamedTuple):
    """The best items of each user, best first.

    Attributes:
        item_ids: a list for each user; shorter than asked for where fewer items may be given.
        scores: theirs; comparable within a user only.
    """

    item_ids: list[list[Any]]
    scores: list[list[float]]
