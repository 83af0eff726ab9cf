from __future__ import annotations

import numpy as np
import pytest

from mmq.encoders._rows import GrowingRows
from mmq.errors import FormatError


def _batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def test_a_full_file_is_what_numpy_saves(tmp_path):
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    with GrowingRows(tmp_path / "rows.npy", (10, 3), 4) as file:
        for batch in _batches(rows, 4):
            file.append(batch)
    np.save(tmp_path / "numpy.npy", rows)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.parametrize(
    ("cut", "kept"),
    [(0, 0), (60, 0), (128, 0), (128 + 47, 0), (128 + 48, 4), (128 + 100, 8), (128 + 119, 8)],
)
def test_after_a_kill_whole_batches_are_kept(tmp_path, cut, kept):
    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with GrowingRows(path, (10, 3), 4) as file:
        assert file.rows == kept
        for batch in _batches(rows[kept:], 4):
            file.append(batch)
    assert path.read_bytes() == whole


def test_a_finished_file_with_a_short_last_batch_stays_whole(tmp_path):
    np.save(tmp_path / "rows.npy", np.ones((10, 3), np.float32))
    with GrowingRows(tmp_path / "rows.npy", (10, 3), 4) as file:
        assert file.rows == 10


@pytest.mark.parametrize("content", [np.ones((10, 4), np.float32), None])
def test_a_file_of_another_run_is_refused(tmp_path, content):
    path = tmp_path / "rows.npy"
    if content is None:
        path.write_bytes(b"x" * 500)
    else:
        np.save(path, content)
    with pytest.raises(FormatError, match="not of this run"):
        GrowingRows(path, (10, 3), 4)
