from __future__ import annotations

import csv
import datetime
import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq.data._items import ItemColumns, read_display
from mmq.data._texts import as_text, as_texts
from mmq.errors import DataError

COLUMNS = {
    "code": ["007", "1.10", "02116", None],
    "flag": [True, False, True, None],
    "price": [1.5, 2.0, 1e20, None],
    "year": [1995, 7, -3, None],
    "words": ["True", "NA", "null", "nan"],
    "amount": [*map(decimal.Decimal, ("1.10", "2.00", "3.25")), None],
    "day": [datetime.date(2020, 1, 2), None, None, None],
}
SPELT = {
    "code": ["007", "1.10", "02116", None],
    "flag": ["True", "False", "True", None],
    "price": ["1.5", "2.0", "1e+20", None],
    "year": ["1995", "7", "-3", None],
    "words": ["True", "NA", "null", "nan"],
    "amount": ["1.10", "2.00", "3.25", None],
    "day": ["2020-01-02", None, None, None],
}


def test_attributes_are_the_same_text_whatever_the_format(tmp_path):
    columns = {"item_id": ["a", "b", "c", "d"], **COLUMNS}
    pq.write_table(pa.table(columns), tmp_path / "i.parquet")
    with (tmp_path / "i.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    wanted = ItemColumns(title="code", attributes=tuple(COLUMNS))
    found = [read_display(tmp_path / name, wanted)[1] for name in ("i.parquet", "i.csv")]
    assert found[0].equals(found[1])
    assert found[0].to_pydict() == {"title": SPELT["code"], **SPELT}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    (tmp_path / "i.jsonl").write_text("\n".join(json.dumps(row, default=str) for row in rows))
    assert read_display(tmp_path / "i.jsonl", wanted)[1].equals(found[0])


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_floats_are_spelt_as_short_as_can_be(kind):
    values = np.array([0.1, 2.0, np.nan, -0.5]).astype(kind.to_pandas_dtype())
    assert as_text(pa.array(values)).to_pylist() == ["0.1", "2.0", None, "-0.5"]


def test_lists_keep_what_their_values_hold():
    lists = [["Clothing, Shoes & Jewelry", 'a|b "c"'], [None, ""], [], None]
    for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string())):
        column = pa.chunked_array([pa.array(lists[:1], kind), pa.array(lists[1:], kind)])
        assert as_texts(column).to_pylist() == [lists[0], [], [], None]


def test_what_is_no_text():
    for values in (pa.array([b"\xff"]), pa.array([{"a": 1}]), pa.array([[1]])):
        with pytest.raises(DataError, match="cannot be read as text"):
            as_text(values, "x")
