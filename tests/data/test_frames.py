"""Data frames of pandas, polars and Arrow in and out, and embeddings in Parquet columns."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq import Catalogue, Interactions, SemanticIDs
from mmq.cli import main
from mmq.data import read_catalogue
from mmq.data._npy import open_column
from mmq.errors import DataError, FormatError, SettingsError

RNG = np.random.default_rng(0)
ITEMS = 50
TEXT = RNG.normal(size=(ITEMS, 4)).astype(np.float32)
COLUMNS = {
    "item_id": [f"i{n}" for n in range(ITEMS)],
    "text": [None if n == 3 else row.tolist() for n, row in enumerate(TEXT)],
    "title": [f"Item {n}" for n in range(ITEMS)],
}
LOG = {"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "rating": [5.0, 1.0, 4.0]}
FRAMES = {
    "pandas": lambda columns: pd.DataFrame(columns, index=range(7, 7 + len(columns["item_id"]))),
    "pandas with a named index": lambda columns: pd.DataFrame(columns).sample(
        frac=1, random_state=0
    ).rename_axis("number").sort_index(),
    "polars": pl.DataFrame,
    "arrow": pa.table,
    "record batch": pa.record_batch,
}  # fmt: skip


@pytest.mark.parametrize("kind", FRAMES)
def test_a_catalogue_of_a_frame(kind):
    made = Catalogue.of_frame(FRAMES[kind](COLUMNS))
    plain = Catalogue.build(
        COLUMNS["item_id"],
        {"text": np.where(np.arange(ITEMS)[:, None] == 3, np.nan, TEXT)},
        {"title": COLUMNS["title"]},
    )
    assert made.fingerprint() == plain.fingerprint()
    assert made.attributes.to_pydict() == plain.attributes.to_pydict()


@pytest.mark.parametrize("kind", FRAMES)
def test_a_log_of_a_frame(kind):
    made = Interactions.build(FRAMES[kind](LOG))
    assert made.table.equals(Interactions.build(LOG).table)


def test_ids_as_a_frame(tmp_path):
    ids = SemanticIDs.build(["a", "b", "c"], [[0, 1], [2, 3], [0, 1]], [3, 4])
    frame = ids.to_arrow().to_pandas()
    assert frame["semantic_id"].map(list).tolist() == [[0, 1], [2, 3], [0, 1]]
    assert pl.from_arrow(ids.to_arrow())["rank"].to_list() == [0, 0, 1]
    ids.write(tmp_path / "ids.parquet")
    assert pq.read_table(tmp_path / "ids.parquet").equals(ids.to_arrow())


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ({"item_id": [1]}, "dict is no data frame; give the catalogue as one of pandas, polars"),
        (pd.DataFrame({"item": [1]}), "has no column 'item_id'; did you mean 'item'?"),
        (pa.table({"item_id": [1], "title": ["x"]}), "the catalogue has no modality"),
        (pa.table({"item_id": [1, 2], "text": [[1.0], [1.0, 2.0]]}), "numbers where others have"),
        (pd.DataFrame({"item_id": [1, "a"]}), "give each column one type"),
    ],
)
def test_frames_that_are_no_catalogue(frame, error):
    with pytest.raises(DataError, match=error.replace("?", r"\?")):
        Catalogue.of_frame(frame)


# --- embeddings in a column of a Parquet file ---


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "items.csv").write_text("item_id\n" + "\n".join(COLUMNS["item_id"]) + "\n")
    pq.write_table(pa.table(COLUMNS), tmp_path / "items.parquet", row_group_size=7)
    return tmp_path


def test_a_column_is_an_array_with_rows_of_nan(shop, monkeypatch):
    monkeypatch.setattr("mmq.data._npy.BATCH", 3)
    found = open_column(shop / "items.parquet", "text")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found).any(1)), [3])
    np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(TEXT, 3, 0))


def imported(shop, modality):
    words = ["import", "npy", "--items", f"{shop}/items.csv", "--modality"]
    return main([*words, modality.format(shop=shop), "--out", f"{shop}/catalogue.parquet"])


def test_a_modality_of_a_column(shop, capsys):
    assert imported(shop, "text={shop}/items.parquet:text") == 0
    made = read_catalogue(shop / "catalogue.parquet")
    assert made.fingerprint() == Catalogue.of_frame(pa.table(COLUMNS)).fingerprint()
    assert imported(shop, "text={shop}/items.parquet:text") == 0  # of the same inputs: replaced
    pq.write_table(pa.table(COLUMNS).slice(0, 40), shop / "items.parquet")
    capsys.readouterr()
    assert imported(shop, "text={shop}/items.parquet:text") == 2
    assert "made from other inputs (modality text another items.parquet)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("modality", "error"),
    [
        ("text={shop}/items.parquet", "should name its column, such as items.parquet:embedding"),
        ("text={shop}/items.parquet:txt", "has no column 'txt'; did you mean 'text'?"),
        ("text={shop}/items.parquet:title", "is string; embeddings are lists of floating-point"),
        ("text={shop}/none.parquet:text", "there is no embedding file at"),
        ("text={shop}/bad.parquet:text", "bad.parquet is"),
    ],
)
def test_columns_that_hold_no_embeddings(shop, capsys, modality, error):
    (shop / "bad.parquet").write_bytes((shop / "items.parquet").read_bytes()[:-9])
    assert imported(shop, modality) == 2
    printed = capsys.readouterr()
    assert error in printed.err
    assert printed.err.count("\n") == 1
    assert not (shop / "catalogue.parquet").exists()


def test_a_file_without_embeddings(tmp_path):
    pq.write_table(
        pa.table({"text": pa.array([[], []], pa.list_(pa.float32()))}), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match="starts without an embedding"):
        open_column(tmp_path / "a.parquet", "text")
    with pytest.raises((FormatError, SettingsError)):
        open_column(__file__, "text")
