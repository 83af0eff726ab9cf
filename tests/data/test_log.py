"""One reader of logs: whole for retrieval, a piece at a time for ranking, to the same rows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmq.data._interactions import Interactions
from mmq.data._log import LogReader, read_interactions
from mmq.errors import DataError, DataWarning
from mmq.ranking import RankingData

ROWS = 60


def table(**changes):
    """A log with labels; a change of None leaves a column out."""
    rng = np.random.default_rng(0)
    columns = {
        "user_id": rng.integers(0, 5, ROWS),
        "item_id": rng.integers(0, 9, ROWS),
        "timestamp": 1_700_000_000 + np.arange(ROWS),
        "label": rng.integers(0, 2, ROWS),
        **changes,
    }
    return pa.table({name: values for name, values in columns.items() if values is not None})


def written(folder, log):
    pq.write_table(log, folder / "log.parquet")
    return folder / "log.parquet"


def test_pieces_are_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("mmq.data._log.PIECE", 7)
    path = written(tmp_path, table(rating=np.arange(ROWS) % 5 + 0.5))
    pieces = [log.table for log, _ in LogReader.open(path)]
    assert len(pieces) > 1
    assert Interactions.together(pieces).table.equals(read_interactions(path).table)


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("label", np.array(["sports", "news"])[np.arange(ROWS) % 2], "0 and 1"),
        ("rating", np.array(["PG", "R"])[np.arange(ROWS) % 2], "numbers"),
        ("split", np.array(["A", "B"])[np.arange(ROWS) % 2], "parts"),
    ],
)
def test_either_way_a_column_of_another_meaning_is_left_alone(tmp_path, name, values, what):
    path = written(tmp_path, table(**{name: values}))
    for read in (read_interactions, LogReader.open):
        with pytest.warns(DataWarning, match=f"{name} holds something else than {what}"):
            read(path)
    with pytest.warns(DataWarning):
        assert name not in LogReader.open(path).names
    if name != "rating":  # which is not looked at beside labels
        with pytest.raises(DataError, match=name):
            RankingData.of(LogReader.open(path, {name: name}))


def test_beside_labels_a_rating_may_be_a_feature(tmp_path):
    stars = np.arange(ROWS) % 4 + 0.5
    path = written(tmp_path, table(rating=stars))
    data = RankingData.of(LogReader.open(path, columns=["rating"]))
    assert list(data.vocabulary.numbers) == ["rating"]
    assert np.concatenate([part.numbers[:, 0] for part in data.parts]).tolist() == stars.tolist()
    path = written(tmp_path, table(rating=stars, label=None))
    with pytest.raises(DataError, match=r"'rating' of .* tells what was liked"):
        LogReader.open(path, columns=["rating"])
