"""Quotation marks, escapes, separators and line breaks in every text format that is read."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.data import _dialect as dialect
from mmq.data._dialect import Signs
from mmq.data._items import read_items
from mmq.data._tables import column_names, read_table
from mmq.errors import FormatError

CODES = ["007", "1.10", "02116", "True", "false", "NA", "null", "nan", "None", "-", "1e5", "+5",
         "2020-01-01", "0x10", "inf", "  padded  "]  # fmt: skip
MARKS = ['"Heroes"', '"Foo', 'Bar"', '5" disc', 'say "hi" now', '""', 'a""b', '"', "it's", "a;b"]
SLASHES = ["C:\\dir\\new", "end\\", '\\"', 'a\\"b,c', "tab\\t", "\\N x"]
BREAKS = ["x\u2028y", "x\u2029y", "x\x0by", "x\x85y", "x\x0cy", "x\x1cy", "x\ry"]
INNER = ["a,b", "x\ny", "x\r\ny", "x\ty"]
ALL = [*CODES, *MARKS, *SLASHES, *BREAKS, *INNER]
ALPHABET = st.text(st.sampled_from(list('ab0",;\\\t\n\r\u2028\x85 ')), min_size=1, max_size=6)


def numbered(titles):
    return [(f"i{place:03d}", title) for place, title in enumerate(titles)]


def with_csv(path, rows, **options):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, **options)
        writer.writerow(["item_id", "title"])
        writer.writerows(rows)
    return path


def literally(path, rows, header="item_id\ttitle", end="\n"):
    lines = [header, *("\t".join(row) for row in rows)]
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def by_spark(path, rows):
    """A CSV whose marks within values stand behind a backslash that stands for itself elsewhere."""
    lines = ["item_id,title"]
    for item, title in rows:
        inner = title.replace('"', '\\"')
        lines.append(f"{item}," + (f'"{inner}"' if set(title) & set(',"\r\n') else title))
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    return path


def read(path):
    items = read_items(path)
    return list(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))


WRITERS = {
    "CSV": {},
    "CSV of Unix": {"lineterminator": "\n"},
    "all quoted": {"quoting": csv.QUOTE_ALL},
    "escaped": {"escapechar": "\\", "doublequote": False, "lineterminator": "\n"},
    "all escaped": {"escapechar": "\\", "doublequote": False, "quoting": csv.QUOTE_ALL},
    "no quotes": {"escapechar": "\\", "quoting": csv.QUOTE_NONE, "lineterminator": "\n"},
}


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS)
def test_csv_of_every_writer(tmp_path, options):
    rows = numbered(ALL)
    assert read(with_csv(tmp_path / "a.csv", rows, **options)) == rows
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    assert read(packed) == rows


def test_csv_of_arrow_and_spark(tmp_path):
    rows = numbered(ALL)
    items, titles = zip(*rows, strict=True)
    pcsv.write_csv(pa.table({"item_id": items, "title": titles}), tmp_path / "a.csv")
    assert read(tmp_path / "a.csv") == rows
    rows = [row for row in rows if not row[1].endswith("\\") and '\\"' not in row[1]]
    assert read(by_spark(tmp_path / "b.csv", rows)) == rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.item"])
def test_tab_separated_values_are_what_stands_there(tmp_path, name, end):
    rows = numbered([each for each in ALL if not set(each) & set("\t\n")])
    header = "item_id:token\ttitle:token_seq" if name == "a.item" else "item_id\ttitle"
    path = literally(tmp_path / name, rows, header, end)
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert read(path) == rows


@given(titles=st.lists(ALPHABET, min_size=1, max_size=8))
def test_one_table_in_every_format(tmp_path_factory, titles):
    folder = tmp_path_factory.mktemp("formats")
    rows = numbered(titles)
    with_csv(folder / "a.csv", rows)
    with_csv(folder / "b.csv", rows, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table = pa.table({"item_id": [row[0] for row in rows], "title": titles})
    pq.write_table(table, folder / "c.parquet")
    dump = [json.dumps({"item_id": item, "title": title}) for item, title in rows]
    (folder / "d.jsonl").write_text("\n".join(dump))
    raw = [json.dumps(json.loads(line), ensure_ascii=False) for line in dump]
    (folder / "e.jsonl").write_text("\r\n".join(raw), encoding="utf-8", newline="")
    for path in sorted(folder.iterdir()):
        assert read(path) == rows, path.name
    if not any(set(title) & set("\t\n\r") for title in titles):
        header = "item_id:token\ttitle:token_seq"
        assert read(literally(folder / "f.item", rows, header)) == [
            (item, title) for item, title in rows
        ] or _quoted_alike(titles)


def _quoted_alike(titles):
    """Whether a CSV writer could have written every value that starts with a mark."""
    marked = [title for title in titles if title.startswith('"')]
    return bool(marked) and all(len(each) > 2 and each.endswith('"') for each in marked)


@pytest.mark.parametrize("options", [{}, {"quoting": csv.QUOTE_ALL}])
def test_csv_writers_with_tabs_are_told(tmp_path, options):
    rows = numbered(ALL)
    assert read(with_csv(tmp_path / "a.tsv", rows, delimiter="\t", **options)) == rows
    rows = numbered(['5" disc', '"Heroes"', "plain"])
    assert read(with_csv(tmp_path / "b.tsv", rows, delimiter="\t", **options)) == rows


def test_marks_in_plays_swallow_nothing(tmp_path):
    rows = [("u1", "t1", "Plain"), ("u1", "t2", '"Heroes'), ("u1", "t3", "X"), ("u2", "t4", 'Z"'),
            ("u2", '"t5', "W"), ("u2", "t6", 'V"')]  # fmt: skip
    path = literally(tmp_path / "plays.tsv", rows, "user_id\titem_id\tname")
    assert [tuple(row.values()) for row in read_table(path).to_pylist()] == rows


def test_databases_write_null_as_backslash_n(tmp_path):
    (tmp_path / "a.tsv").write_text("item_id\ttitle\n1\t\\N\n2\tN\n")
    (tmp_path / "a.csv").write_text("item_id,title\n1,\\N\n2,N\n")
    for name in ("a.tsv", "a.csv"):
        assert read(tmp_path / name) == [(1, None), (2, "N")]


def test_lines_may_end_as_on_old_machines(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfitem_id,title\ri1,A\ri2,B\r")
    (tmp_path / "b.tsv").write_bytes(b"\xef\xbb\xbfitem_id\ttitle\r\ni1\tA\r\ni2\tB")
    for name in ("a.csv", "b.tsv"):
        assert read(tmp_path / name) == [("i1", "A"), ("i2", "B")]
        assert column_names(tmp_path / name) == ["item_id", "title"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", 'i,t\n1,"Heroes" of\n2,b\n', "line 2 holds a quotation mark that is neither"),
        ("a.csv", 'i,t\n1,"x \\"y\\" z",3\n', "line 2 has 3 values, the header has 2|line 2 holds"),
        ("a.tsv", 'i\tt\n1\t"a\n2\n', "line 3 has 1 values, the header has 2"),
        ("a.tsv", b"i\tt\n1\ta\n2\t\xff\n", "line 3 is not UTF-8"),
        ("a.csv.gz", gzip.compress(b"i,t\n" + b"1,2\n" * 999, mtime=0)[:-9], "not a whole gz file"),
    ],
)
def test_what_is_neither_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(FormatError, match=message):
        read_table(tmp_path / name)


def signs_of(text):
    """Letter by letter: what a first look should find."""
    ends, last = '"\r\n,', len(text) - 1
    stray = [
        text[k - 1]
        for k in range(1, last)
        if text[k] == '"' and text[k - 1] not in ends and text[k + 1] not in ends
    ]
    pairs = {text[k : k + 2] for k in range(len(text))}
    return Signs(
        text.count('"'),
        bool(stray) or bool(pairs & {'\\"', "\\,", "\\\n"}),
        "\n" in text and text.count("\r") > text.count("\r\n"),
        bool(stray) and set(stray) == {"\\"},
    )


@given(text=st.text(st.sampled_from('ab",\\\r\n'), max_size=14), size=st.integers(1, 6))
def test_a_look_in_pieces_sees_what_a_look_at_the_whole_sees(text, size):
    data = np.frombuffer(text.encode(), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialect, "_PIECE", size)
        found = dialect.look(data, ",")
        assert dialect.lone_returns(data) == found.returns
    assert found == signs_of(text)


@pytest.mark.parametrize("sign", [";", "\t", "|"])
@pytest.mark.parametrize("options", [{}, WRITERS["escaped"], WRITERS["no quotes"]], ids=str)
def test_csv_may_be_parted_by_other_signs(tmp_path, sign, options):
    rows = numbered([*ALL, "a;b", "a|b", "a\tb", "1;2|3,4"])
    path = with_csv(tmp_path / "a.csv", rows, delimiter=sign, **options)
    assert column_names(path) == ["item_id", "title"]
    assert read(path) == rows


def test_a_header_with_commas_is_parted_by_them(tmp_path):
    (tmp_path / "a.csv").write_text('item_id,"a;b",c|d\n1,2;3,4\n')
    assert read_table(tmp_path / "a.csv").to_pylist() == [
        {"item_id": "1", "a;b": "2;3", "c|d": "4"}
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.item"])
def test_a_header_alone_is_a_table_without_rows(tmp_path, name):
    header = {"a.csv": "i,t", "a.tsv": "i\tt", "a.item": "i:token\tt:token"}[name]
    for end in ("", "\n"):
        (tmp_path / name).write_text(header + end)
        table = read_table(tmp_path / name)
        assert (table.column_names, len(table)) == (["i", "t"], 0)


@pytest.mark.parametrize("sign", [",", ";"])
@pytest.mark.parametrize("title", ['say "hi" now', '"Heroes"', '5" disc', 'a\\"b', '"'])
def test_marks_behind_backslashes_are_told_in_bare_values(tmp_path, sign, title):
    """As pandas writes them (escapechar, no doubling) where nothing else is odd."""
    rows = [("i1", title), ("i2", "end\\"), ("i3", 'the "other" one')]
    path = with_csv(tmp_path / "a.csv", rows, delimiter=sign, **WRITERS["escaped"])
    assert read(path) == rows
    path.write_text('item_id,title\ni1,a 5" disc\ni2,b 5\\" disc\n')  # one is none
    assert read(path) == [("i1", 'a 5" disc'), ("i2", 'b 5\\" disc')]
