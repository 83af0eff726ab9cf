import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.decoding import Excluded, Filters
from mmq.recommenders.dense import top_items


@given(st.data())
def test_the_best_items_are_those_of_a_sorted_list(data):
    b, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 30))
    k = data.draw(st.integers(1, items + 3))
    levels = data.draw(st.integers(1, 4))  # few levels: many ties, plateaus too
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = generator.integers(0, levels, (b, items)).astype(np.float32)
    allowed = [None, generator.random(items) < 0.7, generator.random((b, items)) < 0.7][
        data.draw(st.integers(0, 2))
    ]
    lengths = generator.integers(0, 5, b)
    rows = generator.integers(-1, items, lengths.sum())
    excluded = data.draw(st.booleans())
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
    filters = Filters(
        None if allowed is None else torch.from_numpy(allowed),
        Excluded(torch.from_numpy(rows), offsets) if excluded else None,
    )
    found = top_items(torch.from_numpy(scores.copy()), k, filters)
    for user, own in enumerate(np.split(rows, np.cumsum(lengths)[:-1])):
        mask = np.ones(items, bool) if allowed is None else np.broadcast_to(allowed, (b, items))
        mask = mask[user] if mask.ndim == 2 else mask
        given_rows = [
            row for row in range(items) if mask[row] and not (excluded and row in own.tolist())
        ]
        best = sorted(given_rows, key=lambda row: (-scores[user, row], row))[:k]
        assert found.rows[user].tolist() == best + [-1] * (k - len(best))
        expected = [float(scores[user, row]) for row in best]
        assert found.scores[user].tolist() == expected + [-np.inf] * (k - len(best))
