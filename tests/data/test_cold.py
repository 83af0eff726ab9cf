from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._cold import Withheld, withhold_items
from mmq.data._interactions import Interactions
from mmq.data._log import read_interactions
from mmq.data._splits import leave_one_out
from mmq.errors import DataError, SettingsError

USERS, ITEMS, TIMES = st.sampled_from("pqrs"), st.integers(10, 17), st.integers(-3, 6)
ROWS = st.lists(st.tuples(USERS, ITEMS, st.none() | TIMES), min_size=2, max_size=60).filter(
    lambda rows: len({item for _, item, _ in rows}) > 1
)
SHARES = st.floats(0.01, 0.99)


def log_of(rows) -> Interactions:
    """A log whose ratings are the row numbers, so that rows can be told apart in its parts."""
    users, items, times = zip(*rows, strict=True)
    return Interactions.build(
        {
            "user_id": list(users),
            "item_id": list(items),
            "timestamp": pa.array(times, pa.int64()),
            "rating": np.arange(len(rows)),
        }
    )


def rows_of(part: Interactions) -> list[int]:
    return [int(row) for row in part.table.column("rating").to_pylist()]


def histories(withheld: Withheld) -> list[list[int]]:
    """The history of each case as rows of the whole log."""
    rest = np.array(rows_of(withheld.rest))
    return [rest[withheld.history(case)].tolist() for case in range(len(withheld.cases))]


@given(ROWS, SHARES, st.integers(0, 99))
def test_cases_and_their_histories_against_a_loop(rows, share: float, seed: int) -> None:
    withheld = withhold_items(log_of(rows), share, seed)
    cold = set(withheld.cold_items.to_pylist())
    # a tuple of time and row decides what is earlier: ties keep the order of input
    moments = [(-math.inf if time is None else time, row) for row, (_, _, time) in enumerate(rows)]
    cases, expected = [], []
    for row, (user, item, _) in enumerate(rows):
        earlier = [
            moment
            for moment in sorted(moments)
            if moment < moments[row]
            and rows[moment[1]][0] == user
            and rows[moment[1]][1] not in cold
        ]
        if item in cold and earlier:
            cases.append(row)
            expected.append([place for _, place in earlier])
    assert rows_of(withheld.cases) == cases
    assert histories(withheld) == expected
    assert rows_of(withheld.rest) == [
        row for row, (_, item, _) in enumerate(rows) if item not in cold
    ]


@given(ROWS, SHARES, st.integers(0, 99))
def test_the_share_of_items(rows, share: float, seed: int) -> None:
    log = log_of(rows)
    withheld = withhold_items(log, share, seed)
    items = log.items.ids.to_pylist()
    cold = withheld.cold_items.to_pylist()
    assert len(cold) == min(max(round(share * len(items)), 1), len(items) - 1)
    assert cold == [item for item in items if item in cold]
    assert set(withheld.rest.item_ids.to_pylist()) == set(items) - set(cold)
    assert set(withheld.cases.item_ids.to_pylist()) <= set(cold)


@given(ROWS, SHARES, st.integers(0, 99))
def test_the_order_is_by_user_and_time(rows, share: float, seed: int) -> None:
    withheld = withhold_items(log_of(rows), share, seed)
    rest, order = withheld.rest, withheld.order
    assert sorted(order.tolist()) == list(range(len(rest)))
    users = rest.user_ids.to_pylist()
    by_user = {user: [row for row in order if users[row] == user] for user in users}
    rest_order = rest.user_order()
    for user, own in by_user.items():
        assert own == [row for row in rest_order if users[row] == user]
    changes = sum(users[one] != users[other] for one, other in pairwise(order))
    assert changes == len(by_user) - 1  # each user's rows lie side by side


def test_every_item_is_withheld_as_often_and_the_seed_decides() -> None:
    log = log_of([("p", item, item) for item in range(20)])
    chosen = [tuple(withhold_items(log, 0.25, seed).cold_items.to_pylist()) for seed in range(400)]
    counts = np.bincount(np.concatenate(chosen), minlength=20)
    assert abs(counts - 100).max() < 40  # a sd of 8.7
    assert chosen[7] == tuple(withhold_items(log, 0.25, 7).cold_items.to_pylist())
    assert len(set(chosen)) > 350


def test_a_user_of_cold_items_alone_has_no_case() -> None:
    rows = [("p", 1, 0), ("q", 2, 0), ("p", 2, 1), ("p", 2, 2)]
    by_seed = [withhold_items(log_of(rows), 0.5, seed) for seed in range(20)]
    withheld = next(found for found in by_seed if found.cold_items.to_pylist() == [2])
    assert rows_of(withheld.rest) == [0]
    assert rows_of(withheld.cases) == [2, 3]
    assert histories(withheld) == [[0], [0]]
    other = next(found for found in by_seed if found.cold_items.to_pylist() == [1])
    assert len(other.cases) == len(other.starts) == 0


def test_what_cannot_be_withheld() -> None:
    log = log_of([("p", 1, 0), ("p", 2, 1)])
    for share in (0.0, 1.0, -0.2, math.nan):
        with pytest.raises(SettingsError, match="between 0 and 1"):
            withhold_items(log, share, 0)
    with pytest.raises(DataError, match="fewer than two items"):
        withhold_items(log_of([("p", 1, 0), ("q", 1, 1)]), 0.5, 0)


def test_the_rest_may_be_split(data_folder) -> None:
    log = read_interactions(
        data_folder / "beauty" / "interactions.parquet",
        {"user_id": "user", "item_id": "item", "timestamp": "position"},
    )
    withheld = withhold_items(log, 0.1, 0)
    assert len(withheld.cold_items) == 1210
    assert len(withheld.rest) + len(withheld.cases) < len(log)
    assert (withheld.ends - withheld.starts).min() >= 1
    split = leave_one_out(withheld.rest)
    assert not set(split.train.item_ids.to_pylist()) & set(withheld.cold_items.to_pylist())
    for case in range(0, len(withheld.cases), 500):
        history = withheld.history(case)
        assert set(withheld.rest.user_ids.take(history).to_pylist()) == {
            withheld.cases.user_ids[case].as_py()
        }
        assert (withheld.rest.times[history] < withheld.cases.times[case]).all()
