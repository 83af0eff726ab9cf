import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.decoding import Excluded, Filters
from mmq.recommenders._dense import best_items, top_items, top_shared


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


def oracle(scores, k):
    """Rows of the best, equal ones by row."""
    return [
        sorted(range(len(each)), key=lambda row: (-each[row], row))[:k] for each in scores.tolist()
    ]


@pytest.mark.parametrize("levels", [2, 60, 1_000, 10**6])
def test_the_best_of_many_are_told_by_groups(levels):
    """More items than groups times k, so that only the best groups are looked at."""
    generator = np.random.default_rng(levels)
    scores = torch.from_numpy(generator.integers(0, levels, (6, 1_999)).astype(np.float32))
    scores[1, 100:] = -torch.inf  # one has fewer groups than wanted, one hardly any item
    scores[2, 3:] = -torch.inf
    found = best_items(scores, 10)
    expected = oracle(scores, 10)
    expected[2][3:] = [-1] * 7
    assert found.rows.tolist() == expected
    there = scores.gather(1, found.rows.clamp(min=0))
    assert torch.equal(found.scores, there.masked_fill(found.rows < 0, -torch.inf))


@given(st.data())
def test_users_of_the_same_scores_get_what_each_alone_would(data):
    users, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 30))
    k = data.draw(st.integers(1, items + 3))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = torch.from_numpy(generator.integers(0, 6, items).astype(np.float32))
    lengths = generator.integers(0, 5, users)
    rows = torch.from_numpy(generator.integers(-1, items, lengths.sum()))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
    shape = data.draw(st.sampled_from([None, (items,), (users, items)]))
    filters = Filters(
        None if shape is None else torch.from_numpy(generator.random(shape) < 0.6),
        Excluded(rows, offsets) if data.draw(st.booleans()) else None,
    )
    found = top_shared(scores, users, k, filters)
    expected = top_items(scores.repeat(users, 1), k, filters)
    assert torch.equal(found.rows, expected.rows)
    assert torch.equal(found.scores, expected.scores)
