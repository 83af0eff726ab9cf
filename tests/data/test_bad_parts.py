"""A log or a catalogue in parts, one of which is not as it should be: the sentence it gets."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq.data import CatalogueFile
from mmq.data._compact import read_compact
from mmq.errors import DataError, DataWarning, FormatError
from mmq.recommenders import RetrievalData, SplitSettings
from mmq.workflows._log import concerns, described

COLUMNS = {"catalogue": "text", "log": "user_id"}


@pytest.fixture
def parts(tmp_path):
    """A catalogue and a log of four items and users in four files each."""
    for kind in COLUMNS:
        (tmp_path / kind).mkdir()
    for part in range(4):
        text = pa.array([[1.0, float(part)]], pa.list_(pa.float32(), 2))
        place = f"part-{part:05d}.parquet"
        pq.write_table(pa.table({"item_id": [part], "text": text}), tmp_path / "catalogue" / place)
        rows = {"user_id": [part] * 4, "item_id": range(4), "timestamp": range(1, 5)}
        pq.write_table(pa.table({k: list(v) for k, v in rows.items()}), tmp_path / "log" / place)
    return tmp_path


def read(folder, kind):
    if kind == "log":
        return read_compact(folder / kind)
    file = CatalogueFile(folder / kind)
    file.item_ids()
    return list(file.batches())


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_missing_part(parts, kind):
    (parts / kind / "part-00001.parquet").unlink()
    with pytest.warns(DataWarning, match=r"none of the name part-00001 \(1 such gaps\)"):
        read(parts, kind)


@pytest.mark.parametrize("kind", COLUMNS)
def test_names_that_do_not_count_say_nothing(parts, kind):
    for day, path in enumerate(sorted((parts / kind).iterdir())):
        path.rename(path.with_name(f"202601{day * 7 + 1:02d}.parquet"))
    read(parts, kind)


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_part_without_a_column(parts, kind):
    place = parts / kind / "part-00002.parquet"
    pq.write_table(pq.read_table(place).drop_columns([COLUMNS[kind]]), place)
    with pytest.raises(DataError, match=f"00002.parquet has no column '{COLUMNS[kind]}', which ot"):
        read(parts, kind)


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_part_that_was_written_by_half(parts, kind, share):
    place = parts / kind / "part-00002.parquet"
    whole = place.read_bytes()
    place.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FormatError, match=r"00002.parquet is not a whole Parquet file .* make it"):
        read(parts, kind)


def test_a_part_that_is_there_twice(parts):
    for kind in COLUMNS:
        shutil.copy(parts / kind / "part-00002.parquet", parts / kind / "part-00004.parquet")
    with pytest.raises(DataError, match="item id 2 occurs 2 times; every item needs an id of its"):
        read(parts, "catalogue")
    log = read(parts, "log")
    data = RetrievalData.of(log, settings=SplitSettings(min_interactions=0))
    assert concerns(described(log, data))[-1] == (
        "4 of 20 rows equal an earlier one in all columns and count again; --dedupe leaves them out"
    )
