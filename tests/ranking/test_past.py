"""Histories of rows that are asked about, against a plain loop over the log."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmq.data._interactions import Interactions
from mmq.data._log import LogReader
from mmq.errors import DataError
from mmq.ranking._past import Histories

EVENT = st.tuples(
    st.integers(0, 4), st.sampled_from("abcd"), st.none() | st.integers(1000, 1006), st.booleans()
)


def log_of(events):
    users, items, times, labels = map(list, zip(*events, strict=True))
    columns = {"user_id": users, "item_id": items, "label": [int(each) for each in labels]}
    moments = pa.array([None if each is None else each * 10**6 for each in times], pa.int64())
    return Interactions.build({**columns, "timestamp": moments.cast(pa.timestamp("us"))})


def by_loop(events, user, time):
    """Items of the user's positives before a time, the oldest first, those without a time ahead."""
    liked = [(-1 if t is None else t, item) for who, item, t, label in events
             if who == user and label]  # fmt: skip
    liked.sort(key=lambda each: each[0])  # stable: the order of the log decides ties
    return [item for t, item in liked if time is None or t < time]


def found(histories, rows):
    known, impressions = histories.impressions(rows, pa.table({}))
    packed = impressions.histories(99)
    items = known.items.to_pylist()
    assert [items[place] for place in impressions.items] == rows.item_ids.to_pylist()
    ends = np.cumsum(packed.lengths)
    return [
        [items[row] for row in packed.rows[end - length : end]]
        for end, length in zip(ends, packed.lengths, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=40), st.lists(EVENT, min_size=1, max_size=20))
def test_a_history_is_what_was_liked_before_the_row(events, asked):
    histories = Histories.of(LogReader.of(log_of(events)), 3)
    expected = [by_loop(events, user, time) for user, _, time, _ in asked]
    assert found(histories, log_of(asked)) == expected


def of_times(unit, values):
    count = len(values)
    times = pa.array(values, pa.timestamp(unit))
    return Interactions.build(
        {"user_id": [1] * count, "item_id": ["a"] * count, "timestamp": times}
    )


@pytest.mark.parametrize(("log", "rows"), [("us", "ns"), ("ns", "us"), ("ns", "ns")])
def test_times_of_other_units_are_compared_to_the_last_digit(log, rows):
    moments = {"us": [5], "ns": [4999, 5000, 5001]}
    histories = Histories.of(LogReader.of(of_times(log, moments[log])), 3)
    lengths = [len(each) for each in found(histories, of_times(rows, moments[rows]))]
    nanoseconds = {unit: np.array(each) * (1000 if unit == "us" else 1)
                   for unit, each in moments.items()}  # fmt: skip
    expected = [int((nanoseconds[log] < each).sum()) for each in nanoseconds[rows]]
    assert lengths == expected


def test_a_log_without_outcomes_is_one_of_positives_and_ids_may_be_text():
    log = Interactions.build({"user_id": ["1", "2"], "item_id": ["7", "8"]})
    rows = Interactions.build({"user_id": [2, 3], "item_id": [7, 9]})
    histories = Histories.of(LogReader.of(log), 3)
    known, impressions = histories.impressions(rows, pa.table({}))
    assert known.items.to_pylist() == ["7", "8", "9"]
    assert impressions.items.tolist() == [0, 2]
    assert impressions.histories(9).lengths.tolist() == [1, 0]


def test_a_log_without_positives_gives_no_history():
    log = Interactions.build({"user_id": [1], "item_id": [7], "label": [0]})
    assert found(Histories.of(LogReader.of(log), 3), log) == [[]]


def test_further_columns_are_categories_or_numbers():
    log = Interactions.build({"user_id": [1, 1], "item_id": [7, 8]})
    further = pa.table({"price": ["1.5", None], "device": ["desk", None]})
    known, shown = Histories.of(LogReader.of(log), 3).impressions(log, further, ["price"])
    assert known.kinds() == {"device": "categories", "price": "numbers"}
    assert known.columns["device"].take(pa.array(shown.columns[:, 0])).to_pylist() == ["desk", ""]
    assert shown.numbers[0, 0] == 1.5
    assert np.isnan(shown.numbers[1, 0])
    with pytest.raises(DataError, match=r"'device' .*cannot be read as numbers"):
        Histories.of(LogReader.of(log), 3).impressions(log, further, ["device"])
