import errno

import numpy as np
import pytest
from safetensors import SafetensorError

from mmq import _formats as formats
from mmq._formats import (
    check_tensors,
    read_json,
    read_tensors,
    read_tensors_with_metadata,
    write_json,
    write_tensors,
)
from mmq.errors import DataError, DataWarning, FormatError


def test_json_comes_back_with_what_is_undefined_as_null(tmp_path):
    write_json(tmp_path / "a.json", {"name": "Amélie", "fvu": float("nan"), "parts": (1, 2.5)})
    assert read_json(tmp_path / "a.json", "file") == {
        "name": "Amélie",
        "fvu": None,
        "parts": [1, 2.5],
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"settings": {"se', "is not valid JSON"),
        (b"\xff\xfe\x00", "is not valid JSON"),
        (b"[1, 2]", "should hold a JSON object, not a list"),
    ],
)
def test_damaged_json_is_refused(tmp_path, content, expected):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FormatError, match=expected):
        read_json(tmp_path / "a.json", "file")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match="there is no plan at"):
        read_json(tmp_path / "a.json", "plan")
    with pytest.raises(DataError, match="there is no model at"):
        read_tensors(tmp_path / "a.safetensors", "model")


def test_tensors_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3).T  # not contiguous
    write_tensors(path, {"matrix": matrix}, {"epoch": "3"})
    found, about = read_tensors_with_metadata(path, "model")
    assert (found["matrix"] == matrix).all()
    assert about == {"epoch": "3"}


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_truncated_tensors_are_refused(tmp_path, kept):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"matrix": np.zeros((4, 5), np.float32)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FormatError, match="is not a whole safetensors file"):
        read_tensors(path, "model")


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr(formats, "save_file", full)
    with pytest.raises(DataError, match="the disk is full") as caught:
        write_tensors(tmp_path / "new" / "a.safetensors", {"matrix": np.zeros(3, np.float32)})
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "lacks the tensor 'weight' of shape"),
        ({"weight": np.zeros((2, 3))}, "is float64, not float32"),
        ({"weight": np.zeros((3, 2), np.float32)}, "has shape"),
        (
            {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)},
            "holds a tensor 'bias' that config.json does not know",
        ),
    ],
)
def test_tensors_that_do_not_fit_the_config_are_named(found, expected):
    with pytest.raises(FormatError, match=expected):
        check_tensors(found, {"weight": (2, 3)}, "folder")


def test_a_json_file_that_was_altered_is_refused_and_one_without_a_checksum_is_read(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"epochs": 3, "name": "ä", "undefined": float("nan")})
    assert read_json(path, "config") == {"epochs": 3, "name": "ä", "undefined": None}
    text = path.read_text()
    for altered in (text.replace("3", "8", 1), text.replace("ä", "a")):
        path.write_text(altered)
        with pytest.raises(FormatError, match="its checksum differs"):
            read_json(path, "config")
    path.write_text('{"epochs": 3}')
    assert read_json(path, "config") == {"epochs": 3}


@pytest.mark.parametrize("metadata", [{}, {"epoch": "3", "log": "[]"}])
def test_every_flipped_bit_of_tensors_with_metadata_is_noticed(tmp_path, metadata):
    path = tmp_path / "checkpoint.safetensors"
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(0, np.int64)}
    write_tensors(path, arrays, metadata)
    whole = path.read_bytes()
    assert read_tensors_with_metadata(path, "checkpoint")[1] == metadata
    for place in range(len(whole)):
        for bit in (0, 1, 6):
            altered = bytearray(whole)
            altered[place] ^= 1 << bit
            path.write_bytes(altered)
            try:
                tensors, found = read_tensors_with_metadata(path, "checkpoint")
            except (FormatError, DataWarning):
                continue
            assert found == metadata  # a blank of the header
            assert all((tensors[name] == array).all() for name, array in arrays.items())


def test_json_that_nests_too_deeply_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(FormatError, match="nests too deeply"):
        read_json(tmp_path / "config.json", "config")
