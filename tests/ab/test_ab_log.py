from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmq.ab import (
    Event,
    Exposure,
    event_table,
    exposure_table,
    write_table,
)
from mmq.errors import DataError

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_exposures_come_back_as_they_were_written(tmp_path: Path) -> None:
    drawn = Exposure("e1", 7, NOON, "trial", "control", "old", [3, 1], [0.5, 0.1], [0.6, 0.9])
    best = Exposure("e2", 8, NOON, "trial", "treatment", "new", [3, 2], [0.5, 0.1])
    write_table(exposure_table([drawn, best]), tmp_path / "exposures.parquet")
    rows = pq.read_table(tmp_path / "exposures.parquet").to_pylist()
    assert [Exposure(**row) for row in rows] == [drawn, best]


def test_events_of_mixed_ids_are_text() -> None:
    events = [Event("a", "ann", 1, NOON, "click"), Event("b", 2, None, NOON, "order", 9.5)]
    table = event_table(events)
    assert table["user_id"].to_pylist() == ["ann", "2"]
    assert table["item_id"].to_pylist() == [1, None]
    assert event_table([]).num_rows == 0


def test_mistakes_are_one_sentence() -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(DataError, match="has no zone"):
        event_table([Event("a", 1, 1, naive, "click")])
    with pytest.raises(DataError, match="kind 'view'"):
        event_table([Event("a", 1, 1, NOON, "view")])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="shows 2 items and has 1 scores"):
        exposure_table([Exposure("e", 1, NOON, "t", "a", "r", [1, 2], [0.1])])
