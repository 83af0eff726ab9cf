from __future__ import annotations

import decimal
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq import Interactions, SemanticIDs, read_catalogue
from mmq.data._item_ids import as_ids, as_item_ids, as_numbers, joined, same_type
from mmq.data._log import read_interactions
from mmq.errors import DataError

TEXTS = ["B002", "B001", "B010"]
NUMBERS = [12, 7, 2**40]
UUIDS = [uuid.UUID(int=k) for k in (3, 2**100, 1)]

KINDS = {
    "categories": (pa.array(TEXTS).dictionary_encode(), TEXTS),
    "view": (pa.array(TEXTS).cast(pa.string_view()), TEXTS),
    "large": (pa.array(TEXTS, pa.large_string()), TEXTS),
    "categories of large": (pa.array(TEXTS, pa.large_string()).dictionary_encode(), TEXTS),
    "bytes": (pa.array([each.encode() for each in TEXTS]), TEXTS),
    "large bytes": (pa.array([each.encode() for each in TEXTS], pa.large_binary()), TEXTS),
    "four bytes": (pa.array([each.encode() for each in TEXTS], pa.binary(4)), TEXTS),
    "decimal": (pa.array(map(decimal.Decimal, NUMBERS), pa.decimal128(38, 0)), NUMBERS),
    "decimal of 2": (pa.array(map(decimal.Decimal, NUMBERS), pa.decimal128(38, 2)), NUMBERS),
    "double": (pa.array(NUMBERS, pa.float64()), NUMBERS),
    "int16": (pa.array([12, 7, 300], pa.int16()), [12, 7, 300]),
    "uint64": (pa.array(NUMBERS, pa.uint64()), NUMBERS),
    "categories of numbers": (pa.array(NUMBERS).dictionary_encode(), NUMBERS),
    "beyond int64": (pa.array([2**63, 7, 2**64 - 1], pa.uint64()),
                     ["9223372036854775808", "7", "18446744073709551615"]),
    "large decimal": (pa.array([decimal.Decimal(10**30), decimal.Decimal(2), None],
                               pa.decimal128(38, 0)), ["1" + "0" * 30, "2", None]),
    "uuid": (pa.array([each.bytes for each in UUIDS], pa.binary(16)).cast(pa.uuid()),
             [str(each) for each in UUIDS]),
}  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), KINDS.values(), ids=KINDS)
def test_every_kind_of_id(values, expected):
    assert as_item_ids(values).to_pylist() == expected
    assert as_item_ids(pa.chunked_array([values.slice(0, 1), values.slice(1)])).to_pylist() == (
        expected
    )


@pytest.mark.parametrize(
    ("values", "expected"), [each for each in KINDS.values() if None not in each[1]]
)
def test_catalogue_log_and_table_read_ids_alike(tmp_path, values, expected):
    flat = pa.array(np.arange(1, 7, dtype=np.float32))
    text = pa.FixedSizeListArray.from_arrays(flat, 2)
    pq.write_table(pa.table({"item_id": values, "text": text}), tmp_path / "c.parquet")
    log = pa.table({"user_id": values, "item_id": values, "timestamp": [1, 2, 3]})
    pq.write_table(log, tmp_path / "log.parquet")
    assert read_catalogue(tmp_path / "c.parquet").item_ids.to_pylist() == expected
    read = read_interactions(tmp_path / "log.parquet")
    assert (read.item_ids.to_pylist(), read.user_ids.to_pylist()) == (expected, expected)
    assert SemanticIDs.build(values, [[0], [1], [2]], [3]).find(values).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.5], "should be integers or strings, not double"),
        ([float("inf")], "should be integers or strings"),
        (pa.array([2.0**53]), "cannot tell neighbours apart"),
        (pa.array([2.0**24], pa.float32()), "cannot tell neighbours apart"),
        ([True], "not bool"),
        (pa.array([decimal.Decimal("1.5")]), "not decimal"),
        (pa.array([b"\xff\xfe"]), "no UTF-8 text"),
        ([1, "a"], "not a mix"),
    ],
)
def test_what_is_no_id(values, message):
    with pytest.raises(DataError, match=message):
        as_item_ids(values)


def test_integers_of_python_beyond_int64_are_text():
    assert as_item_ids([2**70, None, 5]).to_pylist() == [str(2**70), None, "5"]


def test_text_beyond_one_arrow_array_stays_in_pieces(monkeypatch):
    monkeypatch.setattr("mmq.data._item_ids.reading._OFFSETS", 50)
    pieces = pa.chunked_array([[f"user{k:04d}" for k in range(start, start + 4)]
                               for start in (0, 2, 4)])  # fmt: skip
    log = Interactions.build({"user_id": pieces, "item_id": list(range(12))})
    assert log.table.column("user_id").num_chunks == 3
    assert log.users.codes.tolist() == [0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7]
    assert log.users.ids.to_pylist() == [f"user{k:04d}" for k in range(8)]
    assert log.user_ids.type == pa.large_string()
    assert len(as_ids(pieces.cast(pa.large_string())).chunks) > 3
    assert joined(as_ids(pieces.cast(pa.large_string()))).to_pylist() == pieces.to_pylist()


@given(st.lists(st.integers(0, 99), min_size=1), st.lists(st.text("ab0", max_size=3), min_size=1))
def test_ids_of_several_files_become_one_type(numbers, texts):
    both = same_type([pa.chunked_array([numbers]), pa.chunked_array([texts])])
    assert [each.to_pylist() for each in both] == [[str(each) for each in numbers], texts]
    assert same_type([pa.chunked_array([numbers])] * 2)[0].type == pa.int64()


@pytest.mark.parametrize("nothing", ["", " ", "\t ", None])
@pytest.mark.parametrize("name", ["log.parquet", "log.jsonl", "log.csv", "log.tsv", "log.inter"])
def test_a_user_without_id_is_refused_in_every_format(tmp_path, name, nothing):
    path, users = tmp_path / name, ["u1", nothing]
    if name.endswith("parquet"):
        pq.write_table(pa.table({"user_id": users, "item_id": [1, 2]}), path)
    elif name.endswith("jsonl"):
        text = "null" if nothing is None else f'"{nothing}"'.replace("\t", "\\t")
        path.write_text(f'{{"user_id": "u1", "item_id": 1}}\n{{"user_id": {text}, "item_id": 2}}\n')
    else:
        sign = "," if name.endswith("csv") else "\t"
        kind = ":token" if name.endswith("inter") else ""
        blank = (nothing or "").replace("\t", " ")
        head = f"user_id{kind}{sign}item_id{kind}"
        path.write_text(f"{head}\nu1{sign}1\n{blank}{sign}2\n")
    with pytest.raises(DataError, match="row 1 has no user id"):
        read_interactions(path)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1.0", "-23.0", None], [1, -23, None]),  # pandas, beside a missing one
        (["1", "NULL", "2"], [1, None, 2]),
        (["1.0", "nan", "NaN", "None", "<NA>"], [1, None, None, None, None]),
        (["0.0", "7.0"], [0, 7]),
        (["1.0", "2"], None),
        (["1.10", "2.0"], None),
        (["01.0", "2.0"], None),
        (["-0", "0"], None),
        (["NULL", "bob"], None),
        (["nan", "null"], None),
        (["1" * 30, "2"], None),
    ],
)
def test_whole_numbers_that_are_spelt_otherwise(texts, numbers):
    found = as_numbers(pa.chunked_array([texts], pa.string()))
    assert found.to_pylist() == (texts if numbers is None else numbers)
    late = as_numbers(pa.chunked_array([["5"] * 100, texts], pa.string()))
    if numbers is not None and "1.0" not in texts and "0.0" not in texts:
        assert late.to_pylist() == [5] * 100 + numbers
    else:
        assert late.to_pylist() == ["5"] * 100 + texts or texts == ["nan", "null"]
