import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._sequences import Packed, Sequences
from mmq.recommenders._batches import history_batch, training_batch

CPU = torch.device("cpu")
lists = st.lists(st.lists(st.integers(0, 99), min_size=2, max_size=7), min_size=1, max_size=5)


def sequences_of(values):
    rows = np.array([row for each in values for row in each], np.int64)
    return Sequences.of(Packed(rows, np.array([len(each) for each in values])))


@given(lists, st.integers(1, 4))
def test_every_entry_is_asked_for_the_next_ones(values, steps):
    batch = training_batch(sequences_of(values), steps, CPU)
    expected = [
        [each[place + step] if place + step < len(each) else -1 for step in range(1, steps + 1)]
        for each in values
        for place in range(len(each) - 1)
    ]
    assert batch.targets.tolist() == expected
    assert batch.histories.rows.tolist() == [row for each in values for row in each[:-1]]
    assert batch.histories.layout.times.tolist() == [
        place for each in values for place in range(len(each) - 1)
    ]


def test_windows_that_overlap_do_not_see_past_their_end():
    rows = np.arange(10, 16)
    windows = Sequences(rows, np.array([0, 2]), np.array([3, 6]))
    batch = training_batch(windows, 3, CPU)
    assert batch.histories.rows.tolist() == [10, 11, 12, 13, 14]
    assert batch.targets.tolist() == [
        [11, 12, -1],
        [12, -1, -1],
        [13, 14, 15],
        [14, 15, -1],
        [15, -1, -1],
    ]


def test_a_batch_of_histories():
    batch = history_batch(sequences_of([[3, 4], [5]]), CPU)
    assert batch.rows.tolist() == [3, 4, 5]
    assert batch.layout.last.tolist() == [1, 2]
