from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq import Interactions
from mmq.data._datasets.recbole import read_recbole
from mmq.data._log import read_interactions
from mmq.data._splits import chronological_split, leave_one_out
from mmq.errors import DataError

HISTORIES = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=6).filter(any)


@given(HISTORIES)
def test_a_history_a_row_is_an_event_a_row(histories):
    users = [place for place, items in enumerate(histories) for _ in items]
    places = [place for items in histories for place in range(len(items))]
    flat = Interactions.build(
        {
            "user_id": users,
            "item_id": [each for of in histories for each in of],
            "timestamp": places,
            "rating": places,
        }
    )
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.int32())):
        rows = {
            "user_id": range(len(histories)),
            "item_id": pa.array(histories, kind),
            "timestamp": [list(range(len(items))) for items in histories],
            "rating": [list(range(len(items))) for items in histories],
        }
        assert Interactions.build(rows).table.equals(flat.table)
    without = Interactions.build(
        {"user_id": range(len(histories)), "item_id": pa.array(histories, kind)}
    )
    for mine, theirs in zip(leave_one_out(without), leave_one_out(flat), strict=True):
        assert mine.item_ids.equals(theirs.item_ids)
    with pytest.raises(DataError, match="histories without times"):
        chronological_split(without)


def test_one_time_for_a_history_keeps_its_order(tmp_path):
    rows = pa.table({"user_id": ["a", "b"], "item_id": [[3, 1, 2], [5]], "timestamp": [100, 200]})
    pq.write_table(rows, tmp_path / "log.parquet")
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows.to_pylist()))
    for name in ("log.parquet", "log.jsonl"):
        log = read_interactions(tmp_path / name)
        assert log.item_ids.to_pylist() == [3, 1, 2, 5]
        assert log.times.tolist() == [100_000_000, 100_000_001, 100_000_002, 200_000_000]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": [[1, 2]], "rating": [[1]]}, "row 0 has 2 items and 1 entries in rating"),
        ({"item_id": [1], "rating": [[1]]}, "column rating holds lists, item_id does not"),
        ({"item_id": [[1, None]]}, "row 1 has no item id"),
    ],
)
def test_lists_that_do_not_fit(columns, message):
    with pytest.raises(DataError, match=message):
        Interactions.build({"user_id": [1], **columns})


def benchmark(folder, rows, name="b.inter"):
    lines = ["user_id:token\titem_id_list:token_seq\titem_id:token"]
    lines += [f"{user}\t{' '.join(map(str, before))}\t{item}" for user, before, item in rows]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def events(log):
    order = log.user_order()
    users, items = log.user_ids.to_pylist(), log.item_ids.to_pylist()
    return [(users[row], items[row]) for row in order]


def test_recbole_histories_are_events(tmp_path):
    path = benchmark(tmp_path, [(1, [1, 2, 3], 4), (2, [2, 3], 5)])
    log = read_recbole(path).interactions
    assert events(log) == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 5)]


@given(st.lists(st.integers(0, 5), min_size=3, max_size=9), st.integers(1, 4))
def test_rows_that_go_on_from_each_other_are_read_once(tmp_path_factory, items, length):
    """As RecBole writes them: each row holds the last items before its own."""
    folder = tmp_path_factory.mktemp("rows")
    rows = [
        (7, items[max(place - length, 0) : place], items[place]) for place in range(1, len(items))
    ]
    assert events(read_recbole(benchmark(folder, rows)).interactions) == [(7, i) for i in items]


def test_rows_that_do_not_go_on_are_refused(tmp_path):
    path = benchmark(tmp_path, [(1, [1, 2], 3), (1, [9, 8, 7], 4)])
    with pytest.raises(DataError, match="user 1 in row 1 does not go on"):
        read_recbole(path)


def test_a_divided_recbole_log_is_one(tmp_path):
    header = "user_id:token\titem_id:token\ttimestamp:float\n"
    for part, item in (("train", 1), ("valid", 2), ("test", 3)):
        (tmp_path / f"toy.{part}.inter").write_text(f"{header}u\t{item}\t{item}.5\n")
    log = read_recbole(tmp_path).interactions
    assert log.table.column("split").to_pylist() == ["train", "validation", "test"]
    assert log.item_ids.to_pylist() == [1, 2, 3]


def test_recbole_columns_by_name(tmp_path):
    (tmp_path / "s.inter").write_text("user_id:token\tproduct_id:token\twhen:float\n1\t10\t5.5\n")
    (tmp_path / "s.item").write_text("product_id:token\ttitle:token_seq\n10\tHalf-Life\n")
    with pytest.raises(DataError, match=r"no column 'item_id'; .*product_id.*--item-column"):
        read_recbole(tmp_path)
    found = read_recbole(tmp_path, {"item_id": "product_id", "timestamp": "when"})
    assert found.items.to_pylist() == [{"item_id": 10, "title": "Half-Life"}]
    assert found.interactions.times.tolist() == [5_500_000]
    assert np.array_equal(found.interactions.item_ids, [10])


def test_a_sequence_of_tokens_is_a_history(tmp_path):
    path = tmp_path / "a.inter"
    path.write_text("user_id:token\titem_id:token_seq\nu\t3 1 2\nv\t5\n")
    log = read_interactions(path)
    assert log.user_ids.to_pylist() == ["u", "u", "u", "v"]
    assert log.item_ids.to_pylist() == [3, 1, 2, 5]
    assert log.times.tolist()[:3] == [0, 1, 2]
    path.write_text(
        "user_id:token\titem_id:token_seq\ttimestamp:float_seq\nu\ta b\t1600000000 1600000001.5\n"
    )
    assert read_interactions(path).times.tolist() == [1_600_000_000_000_000, 1_600_000_001_500_000]
