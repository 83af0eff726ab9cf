"""Which items each user may be given."""

from __future__ import annotations

import numpy as np
import torch

from mmq.data._sequences import Sequences
from mmq.decoding import Excluded, Filters


def exclude(histories: Sequences) -> Excluded:
    """What leaves every user's own history out."""
    rows, lengths = histories.pack()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Excluded(torch.from_numpy(rows), torch.from_numpy(offsets))


def of_users(filters: Filters, users: slice) -> Filters:
    """The filters of some of the users."""
    allowed, excluded = filters.allowed, filters.excluded
    if allowed is not None and allowed.ndim == 2:
        allowed = allowed[users]
    if excluded is not None:
        offsets = excluded.offsets[users.start : users.stop + 1]
        excluded = Excluded(excluded.rows[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0])
    return Filters(allowed, excluded)
