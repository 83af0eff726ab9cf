from __future__ import annotations

import datetime
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._interactions import Interactions, write_interactions
from mmq.data._log import read_interactions
from mmq.errors import DataError, FormatError


def moment(seconds):
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)


PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=60)


def log_of(pairs, **columns) -> Interactions:
    users, items = zip(*pairs, strict=True)
    return Interactions.build({"user_id": list(users), "item_id": list(items), **columns})


def k_core_by_loop(pairs, k):
    """Row numbers left after dropping one user or item at a time."""
    rows = list(range(len(pairs)))
    while True:
        users = Counter(pairs[row][0] for row in rows)
        items = Counter(pairs[row][1] for row in rows)
        weak_user = next((u for u, count in users.items() if count < k), None)
        weak_item = next((i for i, count in items.items() if count < k), None)
        if weak_user is not None:
            rows = [row for row in rows if pairs[row][0] != weak_user]
        elif weak_item is not None:
            rows = [row for row in rows if pairs[row][1] != weak_item]
        else:
            return rows


@given(PAIRS, st.integers(1, 5))
def test_k_core_is_what_dropping_one_by_one_leaves(pairs, k):
    core = log_of(pairs, timestamp=np.arange(len(pairs))).k_core(k)
    assert (core.times // 10**6).tolist() == k_core_by_loop(pairs, k)


@given(
    st.lists(
        st.tuples(st.none() | st.floats(0, 5, width=32), st.integers(0, 1)), min_size=1, max_size=30
    )
)
def test_positives_have_a_high_rating_or_label_1(rows):
    ratings, labels = zip(*rows, strict=True)
    log = log_of(
        [(1, i) for i in range(len(rows))],
        rating=pa.array(ratings, pa.float32()),
        label=list(labels),
    )
    expected = [i for i, (r, y) in enumerate(rows) if (r is not None and r > 3) or y == 1]
    assert log.positives().item_ids.to_pylist() == expected


def test_implicit_feedback_is_all_positive():
    assert len(log_of([(1, 2), (3, 4)]).positives()) == 2


def test_threshold_is_exclusive():
    log = log_of([(1, 1), (1, 2), (1, 3)], rating=[3.0, 4.0, 5.0])
    assert log.positives(4).item_ids.to_pylist() == [3]


@pytest.mark.parametrize(
    "times",
    [
        [0, 86400, None],
        [0.0, 86400.0, float("nan")],
        ["1970-01-01", "1970-01-02", None],
        ["1970-01-01T00:00:00Z", "1970-01-02T02:00:00+02:00", None],
        [datetime.datetime(1970, 1, 1), datetime.datetime(1970, 1, 2), None],
        [datetime.date(1970, 1, 1), datetime.date(1970, 1, 2), None],
    ],
)
def test_timestamps_become_moments(times):
    log = log_of([(1, 1), (1, 2), (1, 3)], timestamp=times)
    assert log.table.column("timestamp").to_pylist() == [moment(0), moment(86400), None]
    assert log.has_time.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1, None], "item_id": [1, 2]}, "row 1 has no user id"),
        ({"user_id": [1, 2], "item_id": ["a", None]}, "row 1 has no item id"),
        ({"user_id": [1, 2], "item_id": [1, "a"]}, "item ids should be all integers"),
        ({"user_id": [1.5], "item_id": [1]}, "user ids should be integers or strings"),
        ({"user_id": [], "item_id": []}, "no interactions"),
        ({"user_id": [1]}, "need a column 'item_id'"),
        ({"user_id": [1], "item_id": [1], "ratings": [1]}, "did you mean 'rating'"),
        ({"user_id": [1], "item_id": [1], "label": [2]}, "row 0 has the label 2"),
        ({"user_id": [1], "item_id": [1], "label": [None]}, "row 0 has the label None"),
        ({"user_id": [1], "item_id": [1, 2]}, "different lengths"),
        ({"user_id": [1], "item_id": [1], "timestamp": ["soon"]}, "timestamp column"),
        ({"user_id": [1], "item_id": [1], "timestamp": [float("inf")]}, "timestamp column"),
        ({"user_id": [1], "item_id": [1], "rating": ["good"]}, "rating column"),
        ({"user_id": [1], "item_id": [1], "split": ["tset"]}, "split 'tset' is not known"),
    ],
)
def test_what_cannot_be_used_is_refused(columns, message):
    with pytest.raises(DataError, match=message):
        Interactions.build(columns)


def test_users_are_coded_in_order_of_appearance():
    log = Interactions.build({"user_id": ["b", "a", "b"], "item_id": [1, 1, 2]})
    assert log.users.codes.tolist() == [0, 1, 0]
    assert log.users.ids.to_pylist() == ["b", "a"]


def test_parquet_round_trip(tmp_path):
    log = log_of(
        [(1, 2), (3, 4)],
        timestamp=[5, None],
        rating=[4.5, float("nan")],
        label=[True, False],
        split=["val", "test"],
    )
    write_interactions(tmp_path / "log.parquet", log)
    back = read_interactions(tmp_path / "log.parquet")
    assert back.table.equals(log.table)
    assert back.table.column("split").to_pylist() == ["validation", "test"]
    assert back.table.column("rating").to_pylist() == [4.5, None]
    assert [file.name for file in tmp_path.iterdir()] == ["log.parquet"]


def test_csv_with_mapped_columns(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("who,what,timestamp,note\n1,007,5,x\n2,12,,y\n")
    log = read_interactions(path, {"user_id": "who", "item_id": "what"})
    assert log.table.to_pylist() == [
        {"user_id": 1, "item_id": "007", "timestamp": moment(5)},
        {"user_id": 2, "item_id": "12", "timestamp": None},
    ]


def test_recbole_inter(tmp_path):
    path = tmp_path / "x.inter"
    path.write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\ta\t4\t8.8e8\n")
    log = read_interactions(path)
    assert log.table.to_pylist() == [
        {"user_id": 1, "item_id": "a", "timestamp": moment(880000000), "rating": 4.0}
    ]


def test_categorical_and_large_strings_are_taken(tmp_path):
    table = pa.table(
        {
            "user_id": pa.array(["u", "v"]).dictionary_encode(),
            "item_id": pa.array(["a", "b"], pa.large_string()),
            "timestamp": [1, 2],
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    log = read_interactions(tmp_path / "log.parquet")
    assert log.user_ids.to_pylist() == ["u", "v"]
    assert log.item_ids.type == pa.string()


def test_a_missing_column_is_named_with_its_option(tmp_path):
    pq.write_table(
        pa.table({"user": [1], "item_id": [1], "timestamp": [1]}), tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match=r"'user_id'; did you mean 'user'.*--user-column"):
        read_interactions(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"no column 'stars'.*--rating-column"):
        read_interactions(tmp_path / "x.parquet", {"user_id": "user", "rating": "stars"})


def test_truncated_parquet(tmp_path):
    path = tmp_path / "log.parquet"
    write_interactions(path, log_of([(1, 2)]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="not a whole Parquet file"):
        read_interactions(path)


@pytest.mark.skipif("MMQ_DATA" not in os.environ, reason="MMQ_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("name", "users", "items", "count"),
    [("ml1m", 5386, 3084, 517783), ("beauty", 22363, 12101, 198502)],
)
def test_published_sizes_of_5_cores(name, users, items, count):
    path = Path(os.environ["MMQ_DATA"]) / name / "interactions.parquet"
    core = read_interactions(path, {"user_id": "user", "item_id": "item"}).positives().k_core(5)
    assert (len(core.users.ids), len(core.items.ids), len(core)) == (users, items, count)
