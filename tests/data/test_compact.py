"""A log read a piece at a time is the log read whole, whatever becomes of it."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmq.data import _log, read_interactions
from mmq.data._compact import parquet_rows, read_compact
from mmq.data._spool import Spool
from mmq.errors import DataError
from mmq.recommenders import RetrievalData, SplitSettings


@st.composite
def logs(draw):
    """Columns of a log with ties, rows that come twice, and perhaps ratings, labels and parts."""
    rows = draw(st.integers(12, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = {
        "user_id": pa.array(rng.integers(0, 6, rows)),
        "item_id": pa.array(rng.integers(0, 9, rows)),
    }
    if draw(st.booleans()):
        columns["item_id"] = pa.array([f"item {each}" for each in columns["item_id"].to_pylist()])
    if draw(st.booleans()):
        times = rng.integers(0, 20, rows) + 1_600_000_000
        columns["timestamp"] = pa.array(
            times, mask=rng.random(rows) < draw(st.sampled_from([0, 0.2]))
        )
    if draw(st.booleans()):
        columns["rating"] = pa.array(rng.integers(1, 6, rows) / 1.0, mask=rng.random(rows) < 0.1)
    if draw(st.booleans()):
        columns["label"] = pa.array(rng.integers(0, 2, rows))
    if draw(st.booleans()):
        columns["split"] = pa.array(rng.choice(["train", "train", "validation", "test"], rows))
    return pa.table(columns), draw(st.integers(1, 4))


def written(folder, table, parts):
    """The table in files whose users and row groups are cut anywhere."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    ends = np.linspace(0, len(table), parts + 1).astype(int)
    for number, (start, end) in enumerate(pairwise(ends)):
        pq.write_table(table.slice(start, end - start), folder / f"{number}.parquet")
    return folder


def outcome(log, split, items):
    try:
        data = RetrievalData.of(log, items, split)
    except DataError as error:
        return str(error)
    cases = [
        (each.targets, each.users, *each.histories.pack()) for each in (data.validation, data.test)
    ]
    arrays = [*data.train.pack(), *cases[0], *cases[1]]
    told = {name: each.to_dict() for name, each in data.measured.items()}
    known = data.item_ids.to_pylist(), data.user_ids.to_pylist()
    return [each.tolist() for each in arrays], told, data.ties, known, data.fingerprint()


@settings(max_examples=60)
@given(
    logs(),
    st.sampled_from(["leave-one-out", "chronological", "stored"]),
    st.sampled_from([0, 2, 3]),
    st.sampled_from(["file", "shuffled"]),
    st.booleans(),
    st.booleans(),
)
def test_pieces_and_the_whole_make_the_same_data(
    tmp_path_factory, log, split, core, ties, dedupe, drop
):
    table, parts = log
    folder = written(tmp_path_factory.getbasetemp() / "compact", table, parts)
    if split == "stored" and "split" not in table.column_names:
        split = "leave-one-out"
    asked = SplitSettings(
        split=split, min_interactions=core, ties=ties, dedupe=dedupe, drop_unknown=drop
    )
    items = pa.compute.unique(table["item_id"])[:5] if drop else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_log, "PIECE", 7)
        compact = read_compact(folder)
        assert outcome(compact, asked, items) == outcome(read_interactions(folder), asked, items)
    assert parquet_rows(folder) == len(table) == len(compact)


def test_ids_are_places_and_a_row_takes_16_bytes(tmp_path):
    rows = 10_000
    table = pa.table({"user_id": np.arange(rows) // 10, "item_id": np.arange(rows) % 70,
                      "timestamp": np.arange(rows) + 1_600_000_000})  # fmt: skip
    log = read_compact(written(tmp_path / "log", table, 3))
    assert log.table.nbytes < 16 * rows + 8 * (1000 + 70) + 100
    assert log.users.codes.dtype == np.int32
    assert log.user_ids.to_numpy().tolist() == table["user_id"].to_pylist()
    assert log.filter(np.arange(rows) >= 9990).users.ids.to_pylist() == [999]


def test_columns_lie_in_files_where_a_folder_is_given(tmp_path):
    table = pa.table({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "timestamp": [3, 4, 5]})
    path = tmp_path / "log.parquet"
    pq.write_table(table, path)
    (tmp_path / "spool").mkdir()
    log = read_compact(path, spool=Spool(tmp_path / "spool"))
    assert len(list((tmp_path / "spool").iterdir())) == 3
    assert log.table.equals(read_compact(path).table)


def test_text_that_a_piece_cannot_tell_and_histories_are_read_whole(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"user_id": [1, 2], "item_id": [[5, 6], [7]]}), path)
    assert read_compact(path).item_ids.to_pylist() == [5, 6, 7]
    pq.write_table(pa.table({"user_id": [1], "item_id": [5], "timestamp": ["2020-01-02"]}), path)
    assert read_compact(path).table.equals(read_interactions(path).table)


def test_numbers_in_one_part_and_text_in_another_are_text(tmp_path):
    for number, item in enumerate((7, "x")):
        pq.write_table(
            pa.table({"user_id": [1], "item_id": [item]}), tmp_path / f"{number}.parquet"
        )
    assert read_compact(tmp_path).item_ids.to_pylist() == ["7", "x"]


def test_an_empty_log_is_refused(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(
        pa.table({"user_id": pa.array([], "int64"), "item_id": pa.array([], "int64")}), path
    )
    with pytest.raises(DataError, match="there are no interactions"):
        read_compact(path)
