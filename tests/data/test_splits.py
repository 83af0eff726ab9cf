from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._interactions import Interactions
from mmq.data._splits import chronological_split, leave_one_out, stored_split
from mmq.errors import DataError, SettingsError

ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.none() | st.integers(-3, 12)), min_size=1, max_size=60
)
SHARES = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.6, 0.0, 0.4), (1.0, 0.0, 0.0)])


def log_of(rows) -> Interactions:
    """A log whose item ids are the row numbers."""
    return Interactions.build(
        {
            "user_id": [user for user, _ in rows],
            "item_id": np.arange(len(rows)),
            "timestamp": pa.array([time for _, time in rows], pa.int64()),
        }
    )


def rows_of(split):
    return [part.item_ids.to_pylist() for part in split]


@given(ROWS)
def test_leave_one_out_against_a_loop(rows):
    train, validation, test = [], [], []
    for user in {user for user, _ in rows}:
        own = [row for row, (owner, _) in enumerate(rows) if owner == user]
        own.sort(key=lambda row: -np.inf if rows[row][1] is None else rows[row][1])
        if len(own) < 3:
            train += own
        else:
            train, validation, test = train + own[:-2], [*validation, own[-2]], [*test, own[-1]]
    split = leave_one_out(log_of(rows))
    assert rows_of(split) == [sorted(train), sorted(validation), sorted(test)]


@given(ROWS, SHARES, st.booleans())
def test_chronological_split_against_a_loop(rows, shares, warm_only):
    times = sorted(time for _, time in rows if time is not None)
    if not times:
        with pytest.raises(DataError, match="no interaction has a timestamp"):
            chronological_split(log_of(rows), shares)
        return
    first = times[max(1, round(shares[0] * len(times))) - 1]
    second = times[max(1, round((shares[0] + shares[1]) * len(times))) - 1]
    parts = [[], [], []]
    for row, (_, time) in enumerate(rows):
        parts[0 if time is None or time <= first else 1 if time <= second else 2].append(row)
    if warm_only:
        warm = {rows[row][0] for row in parts[0]}
        parts[1:] = [[row for row in part if rows[row][0] in warm] for part in parts[1:]]
    assert rows_of(chronological_split(log_of(rows), shares, warm_only)) == parts


@given(ROWS)
def test_no_moment_is_in_two_parts(rows):
    rows = [(user, time or 0) for user, time in rows]
    train, validation, test = chronological_split(log_of(rows), (0.4, 0.3, 0.3))
    moments = [set(part.times.tolist()) for part in (train, validation, test)]
    assert moments[0].isdisjoint(moments[1] | moments[2])
    assert moments[1].isdisjoint(moments[2])
    assert len(train) + len(validation) + len(test) == len(rows)
    assert len(train) >= 0.4 * len(rows) - 0.5


def test_shares_are_exact_where_no_times_tie():
    split = chronological_split(log_of([(0, time) for time in range(100)]))
    assert [len(part) for part in split] == [80, 10, 10]


@pytest.mark.parametrize(
    "shares", [(0.8, 0.2), (0.8, 0.3, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)]
)
def test_shares_that_make_no_sense(shares):
    with pytest.raises(SettingsError, match="three shares that sum to 1"):
        chronological_split(log_of([(0, 1)]), shares)


def test_stored_split():
    log = Interactions.build(
        {"user_id": [1, 1, 1], "item_id": [0, 1, 2], "split": ["test", "train", "valid"]}
    )
    assert rows_of(stored_split(log)) == [[1], [2], [0]]
    with pytest.raises(DataError, match="no split column"):
        stored_split(log_of([(0, 1)]))
