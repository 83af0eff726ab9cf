"""Every form in which semantic IDs are found gives the same items and codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmq.errors import DataError, FormatError
from mmq.semantic_ids._imported import IdColumns, read_ids

ITEMS = ["a", "b", "c"]
CODES = [[12, 5, 200], [0, 7, 3], [1, 1, 1]]
TOKENS = [[f"<{word}_{code}>" for word, code in zip("abc", row, strict=True)] for row in CODES]
PRINTED = ["".join(row) for row in TOKENS]


def objects(**columns: list[Any]) -> list[dict[str, Any]]:
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def csv(name: str, values: list[str]) -> str:
    return f"item_id,{name}\n" + "".join(
        f'{item},"{value}"\n' for item, value in zip(ITEMS, values, strict=True)
    )


def texts(template: str) -> str:
    return csv("semantic_id", [template.format(*row) for row in CODES])


SAID = {f"c{place}": [row[place] for row in CODES] for place in range(3)}

FORMS = {
    "object of lists.json": json.dumps(dict(zip(ITEMS, CODES, strict=True))),
    "indented.json": json.dumps(dict(zip(ITEMS, CODES, strict=True)), indent=2),
    "index of tokens.json": json.dumps(dict(zip(ITEMS, TOKENS, strict=True))),
    "object of texts.json": json.dumps(dict(zip(ITEMS, PRINTED, strict=True))),
    "object of objects.json": json.dumps(
        dict(zip(ITEMS, objects(codes=CODES, sid=PRINTED), strict=True))
    ),
    "list of objects.json": json.dumps(objects(item_id=ITEMS, title=[3, "x", None], sid=TOKENS)),
    "lines.jsonl": lines(objects(item_id=ITEMS, semantic_id=CODES, title=[3, "x", None])),
    "lines.json": lines(objects(item_id=ITEMS, semantic_ids=PRINTED)),
    "positions.jsonl": lines(objects(item_id=ITEMS, **SAID)),
    "positions.csv": "item_id,c0,c1,c2\na,12,5,200\nb,0,7,3\nc,1,1,1\n",
    "turned.csv": "c2,c1,c0,item_id\n200,5,12,a\n3,7,0,b\n1,1,1,c\n",
    "from one.tsv": "item_id\tsid_1\tsid_2\tsid_3\na\t12\t5\t200\nb\t0\t7\t3\nc\t1\t1\t1\n",
    "decimals.csv": "item_id,c_0,c_1,c_2\na,12.0,5.0,200.0\nb,0.0,7.0,3.0\nc,1.0,1.0,1.0\n",
    "tokens a column.csv": "item_id,c0,c1,c2\n"
    + "".join(",".join([item, *row]) + "\n" for item, row in zip(ITEMS, TOKENS, strict=True)),
    "dashes.csv": texts("{}-{}-{}"),
    "commas.csv": texts("{},{},{}"),
    "commas and blanks.csv": texts("{}, {}, {}"),
    "blanks.csv": texts("{} {} {}"),
    "bars.csv": texts("{}|{}|{}"),
    "printed list.csv": texts("[{}, {}, {}]"),
    "printed array.csv": texts("[ {}   {} {}]"),
    "printed tokens.csv": texts("['<a_{}>', '<b_{}>', '<c_{}>']"),
    "tokens.csv": texts("<a_{}><b_{}><c_{}>"),
    "tokens and blanks.csv": texts("<a_{}> <b_{}> <c_{}>"),
    "in marks.csv": texts("<|sid_begin|><s_a_{}><s_b_{}><s_c_{}><|sid_end|>"),
    "one word.csv": texts("<|sid_start|><|sid_{}|><|sid_{}|><|sid_{}|><|sid_end|>"),
    "levels.csv": texts("<|L1_{}|><|L2_{}|><|L3_{}|>"),
    "letters.csv": texts("<|A{}|><|B{}|><|C{}|>"),
    "bare words.csv": texts("a_{} b_{} c_{}"),
    "bare letters.csv": texts("a{}-b{}-c{}"),
}


@pytest.mark.parametrize("name", FORMS)
def test_text_forms(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(FORMS[name])
    found = read_ids(path)
    assert found.item_ids.to_pylist() == ITEMS
    assert found.codes.tolist() == CODES
    assert (found.codes.dtype, found.repeated) == (np.int32, 0)


@pytest.mark.parametrize(
    "codes",
    [
        pa.array(CODES),
        pa.array(CODES, pa.list_(pa.uint8(), 3)),
        pa.array(CODES, pa.large_list(pa.float64())),
        pa.array(TOKENS, pa.list_(pa.large_string())),
        pa.array(PRINTED, pa.large_string()),
        pa.array(PRINTED).dictionary_encode(),
    ],
    ids=lambda codes: str(codes.type),
)
def test_parquet_columns(codes: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ITEMS, "semantic_id": codes}), tmp_path / "i.parquet")
    found = read_ids(tmp_path / "i.parquet")
    assert (found.item_ids.to_pylist(), found.codes.tolist()) == (ITEMS, CODES)
    assert found.columns == ("semantic_id",)


def test_a_folder_of_parts_and_a_compressed_file(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in range(3):
        table = pa.table({"pid": [part], "sid": [CODES[part]]})
        pq.write_table(table, folder / f"{part}.parquet")
    found = read_ids(folder, IdColumns("pid"))
    assert (found.item_ids.to_pylist(), found.codes.tolist()) == ([0, 1, 2], CODES)
    (tmp_path / "ids.json.gz").write_bytes(gzip.compress(FORMS["index of tokens.json"].encode()))
    assert read_ids(tmp_path / "ids.json.gz").codes.tolist() == CODES


def test_keys_that_are_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text('{"0": [1, 2], "10": [3, 4]}')
    assert read_ids(path).item_ids.to_pylist() == [0, 10]
    path.write_text('{"00": [1, 2], "10": [3, 4]}')
    assert read_ids(path).item_ids.to_pylist() == ["00", "10"]


def test_columns_by_name(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("asin,left,right,c0,c1\nx,4,2,0,0\n")
    found = read_ids(path, IdColumns("asin", ("right", "left")))
    assert (found.codes.tolist(), found.columns) == ([[2, 4]], ("right", "left"))


def test_first_codes(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text('{"a": [1, 257, 514], "b": [3, 256, 515]}')
    assert read_ids(path, first_codes=(0, 256, 512)).codes.tolist() == [[1, 1, 2], [3, 0, 3]]
    assert read_ids(path, first_codes=(1,)).codes.tolist() == [[0, 256, 513], [2, 255, 514]]
    with pytest.raises(DataError, match=r"row 1 \(item 'b'\) has code 256 at position 1, which is"):
        read_ids(path, first_codes=(0, 257, 512))
    with pytest.raises(DataError, match="--first-codes names 2 positions and the IDs have 3"):
        read_ids(path, first_codes=(0, 256))


def test_rows_that_repeat_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text('{"a": [1, 2], "b": [0, 0], "a": [1, 2], "a": [1, 2]}')
    found = read_ids(path)
    assert (found.item_ids.to_pylist(), found.codes.tolist()) == (["a", "b"], [[1, 2], [0, 0]])
    assert found.repeated == 2
    path.write_text('{"a": [1, 2], "a": [1, 2], "b": [0, 0]}')
    assert read_ids(path).rows.name(1) == "row 2 (item 'b')"


WRONG = {
    '{"a": [1, 2], "b": [1, 2, 3]}': (
        r"row 1 \(item 'b'\) has 3 codes \(\[1, 2, 3\]\) and row 0 \(item 'a'\) has 2"
    ),
    '{"a": [1, 2], "b": [1, -2]}': r"row 1 \(item 'b'\) has \[1, -2\], where a code is negative",
    '{"a": [1, 2], "b": [1, 2.5]}': r"row 1 \(item 'b'\) has \[1.0, 2.5\], where .* no whole",
    '{"a": [1, 2], "b": [1, "x"]}': r"row 1 \(item 'b'\) has \['1', 'x'\], where .* no whole",
    '{"a": [1, 2], "b": [true, false]}': "no whole number",
    '{"a": [1, 2], "b": [1, NaN]}': "no whole number",
    '{"a": [1, 2], "b": [1, [2]]}': "no whole number",
    '{"a": [1, 2], "b": {"c0": 1}}': "row 0 of .* is no object, or a key comes twice",
    '{"a": [1, 2], "b": "1-2"}': "no whole number",
    '{"a": "1,2", "b": "1-2"}': "row 1 .* no whole number",
    '{"a": "1,2", "b": "1,-2"}': r"row 1 \(item 'b'\) has 1,-2, where a code is negative",
    '{"a": "1-2", "b": "1--2"}': "row 1 .* lacks a code",
    '{"a": "1-2", "b": ""}': "row 1 .* lacks a code",
    '{"a": [1, 2], "b": [1, null]}': r"row 1 \(item 'b'\) has \[1, None\], which lacks a code",
    '{"a": [1, 2], "b": null}': r"row 1 \(item 'b'\) has no codes",
    '{"a": [1, 2], "b": []}': r"row 1 \(item 'b'\) has no codes",
    '{"a": null}': r"row 0 \(item 'a'\) has",
    '{"a": ["<x>"]}': r"row 0 \(item 'a'\) has no codes",
    '{"a": [1, 2], "a": [1, 3]}': (
        r"row 1 \(item 'a'\) has \[1, 3\], and \[1, 2\] in row 0; give every item one"
    ),
    '{"a": ["<a_1>", "<b_2>"], "b": ["<b_2>", "<a_1>"]}': (
        r"row 1 \(item 'b'\) .* with 'b_' where row 0 \(item 'a'\) has 'a_'"
    ),
    '{"a": 541165879296}': r"has 541165879296, where a code is past 16,777,216, .* packed",
    '{"a": [99999999999999999999999]}': "a code is past 16,777,216",
    "[[1, 2], [3, 4]]": "does not say which item each semantic ID is of",
    '[{"item_id": "a", "codes": [1]}, 5]': "row 1 of .* is no object",
    '[{"item_id": "a", "codes": [1], "codes": [2]}]': "row 0 of .* a key comes twice",
    '[{"item_id": null, "codes": [1]}]': "row 0 has no item id",
    '[{"item": "a", "codes": [1]}]': "no column 'item_id'; did you mean 'item'.* with --id NAME",
    '{"a": {"x": 1}}': r"no column that is known to hold codes \(it has item_id, x\)",
    '[{"item_id": "a", "c0": 1, "c1": 2, "sid_0": 1}]': "columns c0 and sid_0, which may both be",
    "{}": "is empty; give at least one item",
    "[]": "is empty; give at least one item",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_is_refused_with_its_row(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text(text)
    with pytest.raises(DataError, match=WRONG[text]) as refused:
        read_ids(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", '{"a": [1, 2], "b": [1,', "not valid JSON .line 1"),
        ("a.json", "", "not valid JSON .line 1"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"item_id": 1, "codes": [1]}\n{"b":', "line 2 is not valid JSON"),
        ("a.jsonl", '{"item_id": 1, "codes": [1]}\n{"item_id":', "line 2 is not valid JSON"),
        ("a.parquet", "item_id,c0", "not a whole Parquet file"),
    ],
)
def test_damaged_files(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=sentence):
        read_ids(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("item_id,c0,c1\n", "no rows; give at least one item"),
        ("item_id,c0,c1\na,1,2\nb,,3\n", r"row 1 \(item 'b'\) has \[None, '3'\], which lacks a"),
        ("item_id,c0,c1\na,1,2\n,1,3\n", "row 1 has no item id"),
        ("item_id,c0,c2\na,1,2\n", "no column that is known to hold codes"),
        ("item_id,title\na,b\n", "no column that is known to hold codes"),
        ("item_id,c0,c1\na,1,<x>\n", "no whole number"),
        ("item_id,c0,c1\na,1,1e5\n", "no whole number"),
    ],
)
def test_wrong_delimited_text(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_ids(tmp_path / "ids.csv")


def test_a_column_of_another_name_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("item_id,c0,c1\na,1,2\n")
    with pytest.raises(DataError, match="no column 'cc' of codes; did you mean 'c"):
        read_ids(tmp_path / "ids.csv", IdColumns(codes=("c0", "cc")))
    (tmp_path / "ids.json").write_text('{"a": [1, 2]}')
    with pytest.raises(DataError, match="has no columns c0, c1; leave --code-columns out"):
        read_ids(tmp_path / "ids.json", IdColumns(codes=("c0", "c1")))


def test_pieces_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words, separators and errors are of the whole file, however it is read."""
    monkeypatch.setattr("mmq.semantic_ids._imported.reading._PIECE", 2)
    codes = [["b_7", "x_1"], ["b_2", "x_0"], ["b_1", "x_5"], ["b_0", "x_2"], ["b_3", "x_3"]]
    table = pa.table({"item_id": range(5), "codes": codes})
    pq.write_table(table, tmp_path / "i.parquet", row_group_size=3)
    expected = [[7, 1], [2, 0], [1, 5], [0, 2], [3, 3]]
    assert read_ids(tmp_path / "i.parquet").codes.tolist() == expected
    codes[4] = ["x_3", "b_3"]
    pq.write_table(pa.table({"item_id": range(5), "codes": codes}), tmp_path / "i.parquet")
    with pytest.raises(DataError, match=r"row 4 \(item 4\) .* with 'x_' where row 0"):
        read_ids(tmp_path / "i.parquet")


@given(st.lists(st.lists(st.integers(0, 999), min_size=4, max_size=4), min_size=1, max_size=20))
def test_what_is_written_is_read(codes: list[list[int]]) -> None:
    """Through every way of writing, against the plain lists."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        for name, values in {
            "lists.json": codes,
            "tokens.json": [[f"<s_{n}_{code}>" for n, code in enumerate(row)] for row in codes],
            "texts.json": ["-".join(map(str, row)) for row in codes],
            "printed.json": [str(tuple(row)) for row in codes],
        }.items():
            path = Path(folder) / name
            path.write_text(json.dumps(dict(enumerate(values))))
            found = read_ids(path)
            assert found.codes.tolist() == codes
            assert found.item_ids.to_pylist() == list(range(len(codes)))
