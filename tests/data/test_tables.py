from __future__ import annotations

import gzip
import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data._jsonl import Block, blocks, objects, read_jsonl
from mmq.data._recbole import read_atomic
from mmq.data._tables import read_table
from mmq.errors import DataError, FormatError


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(text=st.text("ab \n", max_size=60), size=st.integers(1, 20))
def test_blocks_hold_every_line_once_and_number_them(tmp_path_factory, text, size):
    path = write(tmp_path_factory.mktemp("blocks") / "x.txt", text)
    found = list(blocks(path, size))
    assert b"".join(block.data for block in found) == text.encode()
    for block, after in itertools.pairwise(found):
        assert block.data.endswith(b"\n")
        assert after.line == block.line + block.data.count(b"\n")
    assert not found or found[0].line == 1


def test_jsonl_keeps_dates_as_text_and_skips_blank_lines(tmp_path):
    text = '\ufeff{"id": 1, "day": "2012-01-01", "tags": ["2012-01-01"]}\n\n  \n{"id": 2, "x": 0.5}'
    assert read_jsonl(write(tmp_path / "a.jsonl", text)).to_pylist() == [
        {"id": 1, "day": "2012-01-01", "tags": ["2012-01-01"], "x": None},
        {"id": 2, "day": None, "tags": None, "x": 0.5},
    ]


def test_jsonl_of_many_blocks_is_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr("mmq.data._jsonl.blocks.__defaults__", (64, None))
    rows = [{"id": i, "price": None if i < 5 else i if i < 20 else i + 0.5} for i in range(40)]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_jsonl(path).to_pylist() == rows
    assert read_jsonl(path, ["price"]).column_names == ["price"]


def test_gzip_is_read_and_a_truncated_one_refused(tmp_path):
    data = gzip.compress(b"".join(b'{"id": %d}\n' % (i * i) for i in range(5000)))
    assert read_table(write(tmp_path / "a.jsonl.gz", data)).num_rows == 5000
    with pytest.raises(FormatError, match="not a whole gzip file"):
        read_table(write(tmp_path / "b.jsonl.gz", data[:-2000]))
    with pytest.raises(FormatError, match="not a whole gzip file"):
        read_table(write(tmp_path / "c.jsonl.gz", b"plain"))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"id": 1}\n\n{"id": 2, "ti', FormatError, "line 3 is not valid JSON"),
        ('{"id": 1}\n[2]\n', FormatError, "line 2 is a list"),
        (b'{"id": 1}\n{"id": "\xff"}\n', FormatError, "line 2 is not valid JSON.*UTF-8"),
        ('{"id": 1}\n{"id": "x"}\n', DataError, "column 'id' changed from number to string"),
        ('{"id": 1, "id": 2}\n', DataError, "column 'id' was specified twice"),
    ],
)
def test_damaged_jsonl_names_the_line(tmp_path, text, kind, message):
    with pytest.raises(kind, match=message):
        read_jsonl(write(tmp_path / "a.jsonl", text))


def test_python_literals_only_where_asked_for():
    block = Block(7, b"{'a': None}\n{\"a\": 1}\n{'a': open('x')}\n")
    found = objects(block, "x", python_literals=True)
    assert [next(found), next(found)] == [{"a": None}, {"a": 1}]
    with pytest.raises(FormatError, match="x line 9 is not valid JSON"):
        next(found)
    with pytest.raises(FormatError, match="x line 7 is not valid JSON"):
        next(objects(block, "x"))


def test_csv_types(tmp_path):
    text = 'id,code,day,title,n,x\n1,007,2012-01-01,"a, ""b""\nc",3,0.5\n\n2,12,,,,\n'
    table = read_table(write(tmp_path / "a.csv", text), ids=("id", "code"))
    assert table.to_pylist() == [
        {"id": 1, "code": "007", "day": "2012-01-01", "title": 'a, "b"\nc', "n": "3", "x": "0.5"},
        {"id": 2, "code": "12", "day": None, "title": None, "n": None, "x": None},
    ]
    assert read_table(tmp_path / "a.csv", ["x", "absent"]).column_names == ["x"]


def test_tsv(tmp_path):
    table = read_table(write(tmp_path / "a.tsv", "id\tt\n1\ta,b\n"))
    assert table.to_pylist() == [{"id": "1", "t": "a,b"}]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('a,b\n1,"x\ny"\n3\n', FormatError, "line 4 has 1 values, the header has 2"),
        ('a,b\n1,x\n2,"cut', FormatError, "quoted value that opens on line 3"),
        (b"a,b\n1,x\n2,\xff\n", FormatError, "UTF-8"),
        (b"a,\xff\n1,x\n", FormatError, "line 1 is not UTF-8"),
        ("a,a\n1,2\n", DataError, "two columns named 'a'"),
    ],
)
def test_damaged_csv(tmp_path, text, kind, message):
    with pytest.raises(kind, match=message):
        read_table(write(tmp_path / "a.csv", text))


def test_a_stray_inch_mark_is_no_damage(tmp_path):
    table = read_table(write(tmp_path / "a.csv", 'id,t\n1,a 5" disc\n'))
    assert table.to_pylist() == [{"id": "1", "t": 'a 5" disc'}]


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(DataError, match="suffix that is not known"):
        read_table(write(tmp_path / "a.xlsx", "x"))
    with pytest.raises(DataError, match="there is no table"):
        read_table(tmp_path / "b.csv")


def test_parquet_columns_and_damage(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1], "b": pa.array(["x"]).dictionary_encode()}), path)
    assert read_table(path, ["b"]).schema == pa.schema({"b": pa.string()})
    with pytest.raises(FormatError, match="not a whole Parquet"):
        read_table(write(tmp_path / "b.parquet", "PAR1"))


ATOMIC = (
    "item_id:token\ttitle:token_seq\tprice:float\tvec:float_seq\tbag:float_seq\n"
    '1\tToy "Story\t1.5\t1 2 3\t1\n'
    "2\t\t\t\t\n"
    "3\tHeat\t2\t-1 .5 1e-3\t2 3\n"
)


def test_atomic_types(tmp_path):
    table = read_atomic(write(tmp_path / "x.item", ATOMIC))
    assert table.schema.field("vec").type == pa.list_(pa.float32(), 3)
    assert table.drop_columns("vec").to_pylist() == [
        {"item_id": "1", "title": 'Toy "Story', "price": 1.5, "bag": [1]},
        {"item_id": "2", "title": None, "price": None, "bag": None},
        {"item_id": "3", "title": "Heat", "price": 2.0, "bag": [2, 3]},
    ]
    vectors = table.column("vec").to_pylist()
    assert vectors[:2] == [[1, 2, 3], None]
    assert vectors[2] == pytest.approx([-1, 0.5, 1e-3])


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("item_id\ttitle\n1\tx\n", DataError, "tab-separated NAME:TYPE"),
        ("a:token\ta:token\n1\tx\n", DataError, "names a column twice"),
        (ATOMIC + "4\tCut", FormatError, "line 5 has 2 values, the header has 5"),
        ("a:token\tp:float_seq\n1\t1 x\n", DataError, "'p' is of type float_seq but"),
    ],
)
def test_damaged_atomic(tmp_path, text, kind, message):
    with pytest.raises(kind, match=message):
        read_atomic(write(tmp_path / "x.item", text))
