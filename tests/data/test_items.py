from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq.data._items import ItemColumns, read_display, read_items
from mmq.data._jsonl import read_jsonl
from mmq.errors import DataError, FormatError


def write_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def items(tmp_path):
    return write_lines(
        tmp_path / "items.jsonl",
        [
            {
                "id": 1,
                "title": "One",
                "image": "images/1.jpg",
                "year": 1995,
                "genres": ["a"],
                "sizes": [4],
            },
            {"id": 2, "title": "", "image": None, "year": 1996, "genres": []},
            {"id": 3, "title": "Three", "image": "/abs/3.jpg", "year": None, "genres": []},
            {"id": 4, "image": "https://example.org/4.jpg"},
        ],
    )


def test_same_items_of_every_format(tmp_path):
    rows = [{"id": "a1", "title": "One"}, {"id": "b2", "title": "Two"}]
    write_lines(tmp_path / "i.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "i.parquet")
    (tmp_path / "i.csv").write_text("id,title\na1,One\nb2,Two\n")
    for name in ("i.jsonl", "i.parquet", "i.csv"):
        assert read_items(tmp_path / name, "id").to_pylist() == rows


def test_display_columns(items, tmp_path):
    ids, shown = read_display(items, ItemColumns("id", attributes=("year",)))
    assert ids.to_pylist() == [1, 2, 3, 4]
    assert shown.to_pydict() == {
        "title": ["One", None, "Three", None],
        "image_path": [
            f"{tmp_path}/images/1.jpg", None, "/abs/3.jpg", "https://example.org/4.jpg",
        ],
        "year": ["1995", "1996", None, None],
    }  # fmt: skip


def test_other_columns_may_be_title_and_image(items):
    _, shown = read_display(items, ItemColumns("id", title="year", image="title"))
    assert shown.column("title").to_pylist() == ["1995", "1996", None, None]
    assert shown.column("image_path")[0].as_py().endswith("/One")


def test_a_list_of_text_stays_one(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"item_id": 1, "genres": ["Drama", "War"]}\n{"item_id": 2, "genres": []}\n'
        '{"item_id": 3, "genres": null}\n{"item_id": 4, "genres": ["Comedy"]}\n'
    )
    polars = pa.large_list(pa.large_string())
    others = tmp_path / "items.parquet"
    genres = pa.array([["Drama", None], [None], None], polars)
    titles = pa.array(["a", "b", None], pa.string_view())
    pq.write_table(pa.table({"item_id": [1, 2, 3], "title": titles, "genres": genres}), others)
    shown = read_display(others, ItemColumns(attributes=("genres",)))[1]
    assert shown.column("genres").to_pylist() == [["Drama"], [], None]
    assert shown.column("title").to_pylist() == ["a", "b", None]
    shown = read_display(path, ItemColumns(attributes=("genres",)))[1]
    assert shown.column("genres").to_pylist() == [["Drama", "War"], [], None, ["Comedy"]]


def test_without_title_and_image(tmp_path):
    ids, shown = read_display(write_lines(tmp_path / "i.jsonl", [{"id": 1}]), ItemColumns("id"))
    assert (ids.to_pylist(), shown.num_columns) == ([1], 0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (ItemColumns("idd"), "no column 'idd'; did you mean 'id'.*--id"),
        (ItemColumns("id", title="titel"), "did you mean 'title'.*--title-column"),
        (ItemColumns("id", attributes=("yaer",)), "did you mean 'year'.*--attribute"),
        (ItemColumns("id", attributes=("sizes",)), "'sizes' of .* holds list<"),
        (ItemColumns("id", image="genres"), "image column 'genres' holds list<"),
    ],
)
def test_columns_that_cannot_be_used(items, columns, message):
    with pytest.raises(DataError, match=message):
        read_display(items, columns)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"id": 1}\n{"id": 1}', DataError, "item id 1 occurs 2 times"),
        ('{"id": 1}\n{"x": 1}', DataError, "row 1 has no item id"),
        ('{"id": 1.5}', DataError, "integers or strings"),
        ('{"id": 1}\n{"id": 2, "t', FormatError, "line 2 is not valid JSON"),
        ("", DataError, "empty"),
    ],
)
def test_damaged_items(tmp_path, text, kind, message):
    (tmp_path / "i.jsonl").write_text(text)
    with pytest.raises(kind, match=message):
        read_items(tmp_path / "i.jsonl", "id")


def test_empty_text_is_null_in_every_format(tmp_path):
    table = pa.table({"item_id": ["a", "b"], "title": ["", "T"], "brand": ["x", ""]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text('item_id,title,brand\na,"",x\nb,T,\n')
    (tmp_path / "c.tsv").write_text("item_id\ttitle\tbrand\na\t\tx\nb\tT\t\n")
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, table.to_pylist())))
    for path in sorted(tmp_path.iterdir()):
        _, shown = read_display(path, ItemColumns(attributes=("brand",)))
        assert shown.to_pydict() == {"title": [None, "T"], "brand": ["x", None]}, path.name


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"item_id": 0, "\xff": 1}\n', "line 1 is not valid JSON .the text is not UTF-8"),
        (b'{"item_id": 0, "x": ' + b"[" * 300 + b"]" * 300 + b"}\n", "line 1 nests more than 200"),
        (b'{"item_id": 0, "x": "' + b"[" * 300 + b'"}\n', None),
    ],
)
def test_names_that_are_no_text_and_deep_nesting_end_in_a_sentence(tmp_path, line, expected):
    path = tmp_path / "items.jsonl"
    path.write_bytes(line)
    if expected is None:  # brackets inside a text nest nothing
        assert read_jsonl(path).column_names == ["item_id", "x"]
        return
    with pytest.raises(FormatError, match=expected):
        read_jsonl(path)
