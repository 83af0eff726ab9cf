import os

import numpy as np
import pytest

from mmq.data._spool import Spool
from mmq.errors import DataError


@pytest.mark.parametrize("shape", [7, (7,), (5, 3), 0, (0,), (4, 0)])
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.int64])
def test_on_disk_it_is_as_in_memory(shape, dtype, tmp_path):
    one, other = Spool().empty(shape, dtype), Spool(tmp_path).empty(shape, dtype)
    assert one.shape == other.shape
    assert one.dtype == other.dtype == dtype
    other[...] = 1
    assert (np.asarray(other) == 1).all()
    assert len(list(tmp_path.iterdir())) == (0 if 0 in np.atleast_1d(shape) else 1)


def test_every_array_has_a_file_of_its_own(tmp_path):
    spool = Spool(tmp_path)
    arrays = [spool.empty(3, np.int64) for _ in range(3)]
    for number, array in enumerate(arrays):
        array[:] = number
        array.flush()
    assert [int(array.sum()) for array in arrays] == [0, 3, 6]
    written = sorted(np.load(path)[0] for path in tmp_path.iterdir())
    assert written == [0, 1, 2]


reserves = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not on this system")


@reserves
def test_the_place_is_taken_at_once(tmp_path):
    Spool(tmp_path).empty(1_000_000, np.int64)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_blocks * 512 >= 8_000_000


@reserves
def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DataError, match="the disk is full"):
        Spool(tmp_path).empty(10, np.int64)
