from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq import read_catalogue
from mmq.data._embeddings import as_matrix, width_of
from mmq.data._importers import embedded
from mmq.errors import DataError, DataWarning

ROWS = [[1.0, 2.0, 3.0], None, [0.5, 0.25, -1.0], [4.0, 5.0, 6.0]]
IDS = ["a", "b", "c", "d"]
VALUES = [[1, 2, 3], [0, 0, 0], [0.5, 0.25, -1], [4, 5, 6]]


def forms():
    nan = [[np.nan] * 3 if row is None else row for row in ROWS]
    nothing = [[None] * 3 if row is None else row for row in ROWS]
    empty = [[] if row is None else row for row in ROWS]
    for name, number in (("half", pa.float16()), ("float", pa.float32()), ("double", pa.float64())):
        for kind in (pa.list_(number), pa.large_list(number), pa.list_(number, 3)):
            for rows in (ROWS, nan, nothing, empty):
                if rows is empty and pa.types.is_fixed_size_list(kind):
                    continue
                exact = [row and [x if x is None else np.float16(x) for x in row] for row in rows]
                yield name, pa.array(exact if name == "half" else rows, kind)


@pytest.mark.parametrize(("name", "column"), list(forms()))
def test_every_form_of_embedding_is_the_same_matrix(name, column, tmp_path):
    found = as_matrix(column, "text", 3, pa.array(IDS))
    assert found.values.dtype == np.float32
    assert found.values.tolist() == VALUES
    assert found.present.tolist() == [True, False, True, True]
    assert width_of(column) == 3
    part = as_matrix(column.slice(1, 2), "text", 3, pa.array(IDS[1:3]))
    assert part.values.tolist() == VALUES[1:3]
    pq.write_table(pa.table({"item_id": IDS, "text": column}), tmp_path / "c.parquet")
    catalogue = read_catalogue(tmp_path / "c.parquet")
    assert catalogue.embeddings["text"].tolist() == VALUES
    assert catalogue.present["text"].tolist() == [True, False, True, True]


def test_another_width_names_the_item(tmp_path):
    column = pa.array([[1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert width_of(column) == 3
    table = pa.table({"item_id": ["a", "b", "c"], "text": column})
    message = "text embedding of item 'a' has 2 numbers where others have 3"
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(DataError, match=message):
        read_catalogue(tmp_path / "c.parquet")
    with pytest.raises(DataError, match=message):
        embedded(table)


def test_a_null_among_numbers_is_refused():
    column = pa.array([[1.0, None, 2.0], [1.0, 2.0, 3.0]], pa.list_(pa.float32(), 3))
    with pytest.raises(DataError, match="item 'a' holds a null among numbers"):
        as_matrix(column, "text", 3, pa.array(["a", "b"]))


def test_lists_of_many_lengths_are_no_embedding():
    table = pa.table({"item_id": [1, 2, 3], "prices": [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]]})
    with pytest.warns(DataWarning, match="prices holds lists of many lengths"):
        assert embedded(table) is None


def test_a_column_without_any_embedding(tmp_path):
    column = pa.nulls(2, pa.list_(pa.float32()))
    pq.write_table(pa.table({"item_id": [1, 2], "text": column}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"text of .*c\.parquet is empty in every row"):
        read_catalogue(tmp_path / "c.parquet")
