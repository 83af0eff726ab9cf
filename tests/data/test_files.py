from __future__ import annotations

import bz2
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq.data._files import fingerprint, table_parts
from mmq.data._interactions import Interactions
from mmq.data._log import LogReader, read_interactions
from mmq.data._tables import column_names, read_table
from mmq.errors import DataError, FormatError
from mmq.ranking import RankingData

ROWS = {"user_id": [1, 2, 1, 3], "item_id": [7, 8, 9, 7], "timestamp": [5, 6, 7, 8]}


def halves():
    table = pa.table(ROWS)
    return table.slice(0, 2), table.slice(2)


def as_parquet(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name, half in zip(names, halves(), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(half, folder / name)
    return folder


def csv_of(table):
    lines = [",".join(table.column_names)]
    lines += [",".join(map(str, row.values())) for row in table.to_pylist()]
    return "\n".join(lines) + "\n"


def test_a_folder_of_parts_is_one_log(tmp_path):
    folder = as_parquet(tmp_path / "a", "part-00000.snappy.parquet", "part-00001.snappy.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.snappy.parquet.crc").touch()
    texts = tmp_path / "b"
    texts.mkdir()
    for place, half in enumerate(halves()):
        (texts / f"part-{place}.csv.gz").write_bytes(gzip.compress(csv_of(half).encode()))
    expected = Interactions.build(ROWS).table
    for path in (folder, folder / "*.parquet", tmp_path / "a*", texts, texts / "part-?.csv.gz"):
        if str(path).endswith("a*"):
            continue
        assert read_interactions(path).table.equals(expected), path
    assert fingerprint(folder) != fingerprint(texts)
    assert fingerprint(folder) == fingerprint(folder)


def test_folders_may_hold_a_column(tmp_path):
    folder = as_parquet(tmp_path, "split=train/0.parquet", "split=test/0.parquet")
    assert column_names(folder)[-1] == "split"
    log = read_interactions(folder)
    assert log.table.column("split").to_pylist() == ["test", "test", "train", "train"]
    assert log.item_ids.to_pylist() == [9, 7, 7, 8]
    none = as_parquet(
        tmp_path / "n", "note=__HIVE_DEFAULT_PARTITION__/a.parquet", "note=a%20b/b.parquet"
    )
    assert read_table(none, ["item_id", "note"]).column("note").to_pylist() == [
        None,
        None,
        "a b",
        "a b",
    ]


def test_parts_of_several_types_go_together(tmp_path):
    first, second = halves()
    pq.write_table(first, tmp_path / "0.parquet")
    items = pa.array(["x", "y"])
    pq.write_table(second.set_column(1, "item_id", items), tmp_path / "1.parquet")
    assert read_interactions(tmp_path).item_ids.to_pylist() == ["7", "8", "x", "y"]
    big = pa.array([2**60 + 1, 2**60 + 3])
    pq.write_table(first.set_column(1, "item_id", big), tmp_path / "0.parquet")
    doubles = pa.array([5.0, 6.0])
    pq.write_table(second.set_column(1, "item_id", doubles), tmp_path / "1.parquet")
    assert read_interactions(tmp_path).item_ids.to_pylist() == [2**60 + 1, 2**60 + 3, 5, 6]
    (tmp_path / "0.parquet").unlink()
    (tmp_path / "1.parquet").unlink()
    (tmp_path / "0.csv").write_text("user_id,item_id\n1,7\n")
    (tmp_path / "1.csv").write_text("user_id,item_id\n1,007\n")
    assert read_interactions(tmp_path).item_ids.to_pylist() == ["7", "007"]


def test_a_ranker_reads_parts_like_a_file(tmp_path):
    table = pa.table(
        {
            "user_id": [k % 5 for k in range(60)],
            "item_id": [k % 7 for k in range(60)],
            "timestamp": range(60),
            "label": [k % 3 == 0 for k in range(60)],
            "store": ["001", "1", "1.10"] * 20,
        }
    )
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(table, tmp_path / "log.parquet")
    pq.write_table(table.slice(0, 25), folder / "0.parquet")
    pq.write_table(table.slice(25), folder / "1.parquet")
    pieces = [
        LogReader.open(path, columns=["store"]) for path in (tmp_path / "log.parquet", folder)
    ]
    one, two = (RankingData.of(each) for each in pieces)
    assert one.fingerprint() == two.fingerprint()
    assert one.vocabulary.columns["store"].to_pylist() == ["001", "1", "1.10"]
    pq.write_table(table.slice(25).drop_columns("store"), folder / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet has no column 'store'"):
        LogReader.open(folder, columns=["store"])


def test_what_is_no_table_is_refused(tmp_path):
    folder = as_parquet(tmp_path / "a", "0.parquet", "1.parquet")
    (folder / "x.csv").write_text("user_id\n1\n")
    with pytest.raises(DataError, match=r"several formats \(0.parquet, x.csv\)"):
        table_parts(folder)
    (folder / "x.csv").unlink()
    (folder / "_delta_log").mkdir()
    (folder / "_delta_log" / "0.json").touch()
    with pytest.raises(DataError, match=r"is a Delta Lake table.*write it out"):
        table_parts(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no part of a table"):
        table_parts(tmp_path / "empty")
    with pytest.raises(DataError, match="no file matches"):
        table_parts(tmp_path / "*.nothing")
    with pytest.raises(DataError, match="there is no table at"):
        table_parts(tmp_path / "nothing.csv")
    (tmp_path / "a.xls").touch()
    with pytest.raises(DataError, match="suffix that is not known"):
        table_parts(tmp_path / "a.xls")


def test_a_part_that_lacks_a_column_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,rating\n1,2,5\n")
    (tmp_path / "b.csv").write_text("user_id,item_id\n1,3\n")
    with pytest.raises(DataError, match=r"b.csv has no column 'rating', which other parts have"):
        read_interactions(tmp_path)
    assert len(read_interactions(tmp_path, {"rating": "none"})) == 2
    (tmp_path / "a.csv").write_text("user_id,item_id,rating\n")  # no rows, as Spark writes
    assert read_interactions(tmp_path).table.to_pylist()[0]["user_id"] == 1
    (tmp_path / "a.csv").unlink()
    (tmp_path / "b.csv").rename(tmp_path / "c.jsonl")
    (tmp_path / "c.jsonl").write_text('{"user_id": 1, "item_id": 2}\n')
    (tmp_path / "d.jsonl").write_text('{"user_id": 1, "item_id": 2, "rating": 5}\n')
    assert read_interactions(tmp_path).table["rating"].to_pylist() == [None, 5.0]


def test_ids_that_are_names_of_folders_are_numbers_like_others(tmp_path):
    for user in (1, 2):
        (tmp_path / f"user_id={user}").mkdir()
        pq.write_table(pa.table({"item_id": [user]}), tmp_path / f"user_id={user}" / "a.parquet")
    assert read_interactions(tmp_path).user_ids.to_pylist() == [1, 2]


@pytest.mark.parametrize(("suffix", "pack"), [(".bz2", bz2.compress), (".gz", gzip.compress)])
def test_json_lines_may_be_packed(tmp_path, suffix, pack):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(pack(b'{"i": 1}\n{"i": 2}\n' * 50))
    assert read_table(path)["i"].to_pylist() == [1, 2] * 50
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="is not a whole"):
        read_table(path)
